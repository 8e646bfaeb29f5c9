/**
 * Where the functions of a program begin, and that no jump leaves its function. Mirrors
 * add_subprog_and_kfunc() and check_subprogs() in kernel/bpf/verifier.c.
 */

import { E2BIG, EINVAL, EPERM } from "../../abi/errno.ts";
import { BPF_FUNC } from "../../abi/helpers.ts";
import {
  BPF_ABS,
  BPF_CALL,
  BPF_CLASS,
  BPF_EXIT,
  BPF_IND,
  BPF_JA,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_MODE,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
} from "../../abi/insn.ts";
import { type Instruction, isLoadImm64, jumpOffset } from "../../asm/index.ts";
import type { VerifierLog } from "./log.ts";

/** The most functions a program may have, the main one included. */
export const BPF_MAX_SUBPROGS = 256;

const CALL = BPF_JMP | BPF_CALL;
/** What a function may end with. */
const LAST: ReadonlySet<number> = new Set([
  BPF_JMP | BPF_EXIT,
  BPF_JMP | BPF_JA,
  BPF_JMP32 | BPF_JA,
]);

/** One function of a program. */
export interface Subprogram {
  /** Its first slot, and the one after its last. */
  readonly start: number;
  readonly end: number;
  readonly hasTailCall: boolean;
  /** It contains LD_ABS or LD_IND. */
  readonly hasLdAbs: boolean;
}

/**
 * Whether the instruction names another function of the program: its slot is `imm` past the next.
 */
export function namesFunction(insn: Instruction): boolean {
  if (insn.opcode === CALL) return insn.src === BPF_PSEUDO_CALL;
  return isLoadImm64(insn) && insn.src === BPF_PSEUDO_FUNC;
}

/** Who calls functions. */
interface Caller {
  readonly gplCompatible: boolean;
  /** The loader has CAP_BPF. */
  readonly bpfCapable: boolean;
}

/** The functions in ascending order, or a negative errno. */
export function findSubprograms(
  insns: readonly Instruction[],
  { gplCompatible, bpfCapable }: Caller,
  log: VerifierLog,
): Subprogram[] | number {
  const starts = new Set([0]);
  for (let slot = 0; slot < insns.length; slot++) {
    const insn = insns[slot] as Instruction;
    const isKfunc = insn.opcode === CALL && insn.src === BPF_PSEUDO_KFUNC_CALL;
    if (!isKfunc && !namesFunction(insn)) continue;
    if (!bpfCapable) {
      const what = "loading/calling other bpf or kernel functions";
      return log.refuse(EPERM, `${what} are allowed for CAP_BPF and CAP_SYS_ADMIN`);
    }
    if (isKfunc) return refuseKfunc(gplCompatible, log);
    const start = slot + insn.imm + 1;
    if (start < 0 || start >= insns.length) {
      return log.refuse(EINVAL, "call to invalid destination");
    }
    if (starts.size >= BPF_MAX_SUBPROGS && !starts.has(start)) {
      return log.refuse(E2BIG, "too many subprograms");
    }
    starts.add(start);
  }
  const sorted = [...starts].sort((a, b) => a - b);
  return sorted.map((start, i) => describe(insns, start, sorted[i + 1] ?? insns.length));
}

function refuseKfunc(gplCompatible: boolean, log: VerifierLog): number {
  return log.refuse(
    EINVAL,
    gplCompatible
      ? "Linux has kernel functions that a program may call, the embedded kernel has none"
      : "cannot call kernel function from non-GPL compatible program",
  );
}

function describe(insns: readonly Instruction[], start: number, end: number): Subprogram {
  let hasTailCall = false;
  let hasLdAbs = false;
  for (let slot = start; slot < end; slot++) {
    const { opcode, src, imm } = insns[slot] as Instruction;
    if (opcode === CALL && src === 0 && imm === BPF_FUNC.tail_call) hasTailCall = true;
    if (BPF_CLASS(opcode) !== BPF_LD) continue;
    if (BPF_MODE(opcode) === BPF_ABS || BPF_MODE(opcode) === BPF_IND) hasLdAbs = true;
  }
  return { start, end, hasTailCall, hasLdAbs };
}

/** Every jump stays in its function, and no function runs over its end. 0 or a negative errno. */
export function checkJumps(
  insns: readonly Instruction[],
  subprograms: readonly Subprogram[],
  log: VerifierLog,
): number {
  for (const { start, end } of subprograms) {
    for (let slot = start; slot < end; slot++) {
      const insn = insns[slot] as Instruction;
      const offset = jumpOffset(insn);
      if (offset !== undefined) {
        const target = slot + offset + 1;
        if (target < start || target >= end) {
          return log.refuse(EINVAL, `jump out of range from insn ${slot} to ${target}`);
        }
      }
      if (slot === end - 1 && !LAST.has(insn.opcode)) {
        return log.refuse(EINVAL, "last insn is not an exit or jmp");
      }
    }
  }
  return 0;
}
