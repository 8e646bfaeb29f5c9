/**
 * What can be said of a program without following its data: that it is made of instructions that
 * exist, in functions that jumps don't leave, with the maps and helpers that there are. Then the
 * verifier walks it. Mirrors bpf_check() in kernel/bpf/verifier.c, in its order.
 */

import { PROG_LOAD } from "../../abi/attr.ts";
import { BPF_F_SLEEPABLE, BPF_F_STRICT_ALIGNMENT, BPF_F_TEST_STATE_FREQ } from "../../abi/bpf.ts";
import { EINVAL } from "../../abi/errno.ts";
import { BPF_CLASS, BPF_LDX, BPF_SIZE } from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import type { Attr } from "../attr.ts";
import { type ContextLayout, contextOf, loadedFrom } from "../bpf/context.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import type { DebugInfo } from "../bpf/prog.ts";
import type { Task } from "../task.ts";
import type { Assumptions } from "./assumptions.ts";
import {
  checkCoreRelocations,
  checkFunctions,
  type EarlyInfo,
  encodeFunctions,
  functionTypes,
  linesBySlot,
  readDebugInfo,
  readLines,
  staticFunctions,
} from "./debug_info.ts";
import type { Subject } from "./environment.ts";
import { instructionFault } from "./instructions.ts";
import { BPF_LOG_LEVEL2, type VerifierLog } from "./log.ts";
import { type ResolvedProgram, resolveMaps, UsedMaps } from "./maps.ts";
import { checkReachability } from "./reachability.ts";
import { checkJumps, findSubprograms, type Subprogram } from "./subprograms.ts";
import { verify } from "./verify.ts";
import { SIZES } from "./walk.ts";

/** A program to check. */
export interface Candidate {
  readonly task: Task;
  readonly attr: Attr;
  /** BPF_PROG_TYPE_… */
  readonly type: number;
  readonly gplCompatible: boolean;
  /** The instructions, as they were given. */
  readonly bytes: Uint8Array;
  readonly insns: readonly Instruction[];
  /** The SHA-256 of the program. */
  readonly digest: Uint8Array;
}

/** What checking found out. No reference is taken on anything yet. */
export interface Structure {
  /** With addresses where map fds were. */
  readonly instructions: readonly Instruction[];
  /** Encoded, with map ids where map fds were. */
  readonly xlated: Uint8Array;
  readonly maps: readonly BpfMap[];
  /** First slots of the functions. */
  readonly subprograms: readonly number[];
  readonly debugInfo: DebugInfo | null;
  /** How many instructions were looked at. */
  readonly processed: number;
  readonly assumptions: Assumptions | null;
}

/** Checks a program and writes the log's last line. A structure or a negative errno. */
export function checkStructure(candidate: Candidate, log: VerifierLog): Structure | number {
  const found = check(candidate, log);
  if (typeof found === "number") log.statistics(0);
  if (typeof found === "number") return found;
  return "errno" in found ? found.errno : found;
}

const NO_LINES: readonly string[] = [];

/** Refused by what it would do. */
interface Refused {
  readonly errno: number;
}

function check(candidate: Candidate, log: VerifierLog): Structure | Refused | number {
  const { task, attr, bytes, insns, digest, gplCompatible } = candidate;
  const fdArray = {
    address: attr.u64(PROG_LOAD.fd_array),
    count: attr.u32(PROG_LOAD.fd_array_cnt),
  };
  const used = new UsedMaps(task, candidate.type, digest, log);
  let errno = used.addAll(fdArray);
  if (errno !== 0) return errno;
  const info = readDebugInfo(task, attr, log);
  if (typeof info === "number") return info;
  const bpfCapable = task.capable("CAP_BPF");
  const subprograms = findSubprograms(insns, { gplCompatible, bpfCapable }, log);
  if (typeof subprograms === "number") return subprograms;
  logFunctions(subprograms, log);
  errno = checkJumps(insns, subprograms, log) || checkFunctions(info, subprograms, log);
  if (errno !== 0) return errno;
  const debugInfo = info === null ? null : finishDebugInfo(candidate, info, subprograms, log);
  if (typeof debugInfo === "number") return debugInfo;

  const resolved = resolveMaps(task, bytes, insns, fdArray, used, log);
  if (typeof resolved === "number") return resolved;
  errno = checkReachability(insns, bpfCapable, log) || checkSleepable(attr, log);
  if (errno !== 0) return errno;
  const lines =
    debugInfo !== null && log.hasPaths
      ? linesBySlot(debugInfo.btf, debugInfo.lineInfo, insns.length)
      : NO_LINES;
  const subject = subjectOf(candidate, info, subprograms, resolved, lines);
  const verdict = verify(subject, log);
  if (verdict.errno !== 0) return { errno: verdict.errno };
  return {
    instructions: withContextLoads(resolved.instructions, subject.layout, verdict.usesContext),
    xlated: resolved.xlated,
    maps: used.maps,
    subprograms: subprograms.map(({ start }) => start),
    debugInfo,
    processed: verdict.processed,
    assumptions: verdict.assumptions,
  };
}

/** With loads of parts of a context's fields from where their bytes are. */
function withContextLoads(
  insns: readonly Instruction[],
  layout: ContextLayout,
  usesContext: (slot: number) => boolean,
): Instruction[] {
  return insns.map((insn, slot) => {
    if (BPF_CLASS(insn.opcode) !== BPF_LDX || !usesContext(slot)) return insn;
    const off = loadedFrom(layout, insn.off, SIZES[BPF_SIZE(insn.opcode)] as number);
    return off === insn.off ? insn : { ...insn, off };
  });
}

function subjectOf(
  { task, attr, insns, type, gplCompatible }: Candidate,
  info: EarlyInfo | null,
  subprograms: readonly Subprogram[],
  { references, instructions }: ResolvedProgram,
  lines: Subject["lines"],
): Subject {
  const bpfCapable = task.capable("CAP_BPF");
  const perfmon = task.capable("CAP_PERFMON");
  const around = { type, gplCompatible, bpfCapable, perfmon, isStatic: staticFunctions(info) };
  const flags = attr.u32(PROG_LOAD.prog_flags);
  /** Slots whose instruction is good: once is enough, however often a walk comes by. */
  const good = new Uint8Array(insns.length);
  return {
    type,
    layout: contextOf(type, attr.u32(PROG_LOAD.expected_attach_type)) as ContextLayout,
    insns,
    subprograms,
    references,
    shown: instructions,
    lines,
    functions: functionTypes(info),
    faultOf: (slot) => {
      if (good[slot] === 1) return null;
      const fault = instructionFault(insns[slot] as Instruction, slot, around);
      if (fault === null) good[slot] = 1;
      return fault;
    },
    bpfCapable,
    perfmon,
    strictAlignment: (flags & BPF_F_STRICT_ALIGNMENT) !== 0,
    monotonicNs: () => task.machine.options.clock.monotonicNs(),
    everyCheckpoint: bpfCapable && (flags & BPF_F_TEST_STATE_FREQ) !== 0,
    possibleCpus: task.machine.options.possibleCpus,
  };
}

function finishDebugInfo(
  { task, attr, insns }: Candidate,
  info: EarlyInfo,
  subprograms: readonly Subprogram[],
  log: VerifierLog,
): DebugInfo | number {
  const lineInfo = readLines(task, attr, info, insns, subprograms, log);
  if (typeof lineInfo === "number") return lineInfo;
  const errno = checkCoreRelocations(attr, log);
  return errno === 0 ? { btf: info.btf, funcInfo: encodeFunctions(info), lineInfo } : errno;
}

function logFunctions(subprograms: readonly Subprogram[], log: VerifierLog): void {
  if ((log.level & BPF_LOG_LEVEL2) === 0) return;
  for (const [i, { start }] of subprograms.entries()) log.line(`func#${i} @${start}`);
}

/** No program type of the embedded kernel may sleep. */
function checkSleepable(attr: Attr, log: VerifierLog): number {
  if ((attr.u32(PROG_LOAD.prog_flags) & BPF_F_SLEEPABLE) === 0) return 0;
  return log.refuse(
    EINVAL,
    "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable",
  );
}
