/**
 * The entry `nslink/doctor`: what a kernel can do, what this task may do, and how to mend it.
 */

export { type Check, type CheckStatus, type Checkup, examine, formatCheckup } from "./checkup.ts";
export {
  FEATURES,
  type Feature,
  type FeatureState,
  type ProbedFeature,
  probeFeature,
  probeFeatures,
  requireFeature,
} from "./features.ts";
