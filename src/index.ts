/**
 * `nslink`: programs, maps, links and network namespaces, on whatever kernel stands behind the
 * seam.
 */

export * from "./abi/bpf.ts";
export { decodeFlowKeys, type FlowKeys } from "./abi/flow_keys.ts";
export { bytes, type Codec, perCpu, u8, u16, u32, u64 } from "./codec.ts";
export { Collection, type CollectionOptions } from "./collection.ts";
export { CAUSES, type Cause, diagnose, type FailedCall, type Finding } from "./diagnosis/index.ts";
export {
  loadObject,
  type MapSpec,
  ObjectError,
  type ObjectSpec,
  type ProgramSpec,
} from "./elf/index.ts";
export { BpfError, type Diagnosis, UnsupportedError, VerifierError } from "./errors.ts";
export type {
  BpffsCalls,
  Dissection,
  Frame,
  Kernel,
  NetNsCalls,
  NetNsEntry,
  NetNsIdentity,
  NetNsReference,
} from "./kernel.ts";
export { Link, type LinkInfo } from "./link.ts";
export { BpfMap, type MapInfo, type MapOptions } from "./map.ts";
export { NetNs } from "./netns.ts";
export {
  Program,
  type ProgramInfo,
  type ProgramOptions,
  type RunOptions,
  type RunResult,
} from "./program.ts";
export { type Remedy, remedyWords } from "./remedy.ts";
export {
  type ExplainedProgram,
  explainVerdict,
  listVerdictCauses,
  type ProgramLine,
  type RefusedInstruction,
  type RefusedLine,
  readStatistics,
  type Statistics,
  type VerdictCause,
  type VerdictExplanation,
} from "./verdict/index.ts";
