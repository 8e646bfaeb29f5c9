/**
 * Checks of what the verifier relied on when it accepted a program: they stop the run where the
 * verifier was wrong, before a pointer leads elsewhere.
 */

import type { Prog } from "../bpf/prog.ts";
import { NEVER_REACHED, OUT_OF_ASSUMED_RANGE } from "../program_run.ts";
import type { AssumedRange } from "../verifier/assumptions.ts";
import type { FunctionWriter } from "./function.ts";

const S64_MIN = -(1n << 63n);
const S64_MAX = (1n << 63n) - 1n;

/** Writes code that stops the run unless the register is in the range. */
export function writeRangeCheck(
  writer: FunctionWriter,
  { register, smin, smax }: AssumedRange,
): void {
  if (smin === S64_MIN && smax === S64_MAX) return;
  const { code } = writer;
  writer.get(register);
  if (smin === smax) {
    constant(writer, smin);
    code.op("i64.ne");
  } else {
    if (smin !== 0n) {
      constant(writer, smin);
      code.op("i64.sub");
    }
    constant(writer, smax - smin);
    code.op("i64.gt_u");
  }
  code.open("if");
  code.op("unreachable");
  code.end();
}

/** Writes code that stops the run: the verifier found no path to this instruction. */
export function writeNotReached({ code }: FunctionWriter): void {
  code.op("unreachable");
}

/**
 * Why a run trapped: which of the checks above stopped it, if one did.
 *
 * The checks trap by themselves instead of calling the kernel with a reason. A call, though never
 * made, makes a loop over bytes slower (`bench engine`, fsm: 1.31 times no check at all, not 1.22).
 *
 * @param message - the engine's own. @param slot - of the instruction; -1 where it is not known.
 */
export function reasonOfTrap({ facts }: Prog, slot: number, message: string): string {
  const { assumptions = null } = facts;
  if (assumptions === null || slot < 0 || !message.includes("unreachable")) return message;
  if (assumptions.reached[slot] !== 1) return NEVER_REACHED;
  return assumptions.ranges.has(slot) ? OUT_OF_ASSUMED_RANGE : message;
}

function constant({ code }: FunctionWriter, value: bigint): void {
  code.i64Halves(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
}
