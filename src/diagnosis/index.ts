/**
 * Why kernels refuse: causes as data, each with the question that tells it from the others.
 */

export type { About, AttrFields, Cause, Diagnosis, FailedCall, Finding } from "./cause.ts";
export { CAUSES, diagnose } from "./diagnose.ts";
