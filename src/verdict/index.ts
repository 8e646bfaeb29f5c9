/**
 * What verifiers say of programs, in the terms of the programs' own source.
 */

export {
  type ExplainedProgram,
  explainVerdict,
  listVerdictCauses,
  type ProgramLine,
  type RefusedInstruction,
  type RefusedLine,
  type VerdictCause,
  type VerdictExplanation,
} from "./explain.ts";
export { readStatistics, type Statistics } from "./log.ts";
