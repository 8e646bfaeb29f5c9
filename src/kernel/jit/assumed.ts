/**
 * Checks of what the verifier relied on when it accepted a program: they stop the run where the
 * verifier was wrong, before a pointer leads elsewhere.
 */

import type { AssumedRange } from "../verifier/assumptions.ts";
import { NOT_REACHED, OUT_OF_RANGE } from "./calls.ts";
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
  stop(writer, OUT_OF_RANGE);
  code.end();
}

/** Writes code that stops the run: the verifier found no path to this instruction. */
export function writeNotReached(writer: FunctionWriter): void {
  stop(writer, NOT_REACHED);
}

function stop(writer: FunctionWriter, reason: number): void {
  const { code } = writer;
  code.i32(reason);
  code.get(writer.frame);
  code.i32(writer.slot);
  code.call(writer.program.helper);
  code.op("unreachable");
}

function constant({ code }: FunctionWriter, value: bigint): void {
  code.i64Halves(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
}
