/**
 * What verifiers say of programs, in the terms of the programs' own source.
 */

export type { CauseRule } from "./cause.ts";
export {
  type ExplainedProgram,
  explainVerdict,
  type ProgramLine,
  type RefusedInstruction,
  type RefusedLine,
  VERDICT_CAUSES,
  type VerdictCause,
  type VerdictExplanation,
} from "./explain.ts";
export { readStatistics, type Statistics } from "./log.ts";
