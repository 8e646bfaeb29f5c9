/** Lemmas of numbers that are cut and extended, in registers and in parts of the stack. */

import { type Goals, holds, type Lemma, LONG, lowHalf, type Row } from "../lemma.ts";
import type { Fault, Loaded } from "../loader.ts";
import * as T from "../terms.ts";

function fault(from: string, to: string): Fault {
  return { module: "extension", from, to };
}

/** The lowest bytes, the others being 0. */
export function cutTo(x: T.Term, size: number): T.Term {
  return T.zeroExtend(T.extract(x, size * 8 - 1, 0), LONG);
}

/** The lowest bytes, extended by their sign. */
export function signedCut(x: T.Term, size: number, width = LONG): T.Term {
  return T.zeroExtend(T.signExtend(T.extract(x, size * 8 - 1, 0), width), LONG);
}

function cut(
  name: string,
  claim: string,
  sizes: readonly number[],
  result: (x: T.Term, size: number) => T.Term,
  faults: readonly [Fault, Fault],
  uses: readonly string[] = [],
): Row {
  return {
    name: `extension.${name}`,
    claim,
    cases: sizes,
    uses,
    faults,
    prove(lemma: Lemma, of): Goals {
      const size = Number(of);
      const b = lemma.bounds("b");
      const x = lemma.memberOf(b, "x").term;
      lemma.keepsResult(result(x, size), ...uses);
      const changed = lemma.run((): Loaded => {
        const made = lemma.get(`extension.${name}`)(b, size);
        return made === undefined ? b : made;
      });
      return holds(changed, result(x, size));
    },
  };
}

export const EXTENSION_ROWS: readonly Row[] = [
  cut(
    "zeroExtend",
    "the lower half of any number, extended by zeros, is in the bounds",
    [4],
    lowHalf,
    [
      fault("isPositive ? b.s32max : -1);", "b.s32max);"),
      fault(
        "B.setU64(b, 0, b.u32minWord, 0, b.u32maxWord);",
        "B.setU64(b, 0, b.u32minWord, 0, b.s32max);",
      ),
    ],
  ),
  cut(
    "truncate",
    "the lowest 1, 2 or 4 bytes of any number, extended by zeros, are in the bounds",
    [1, 2, 4],
    cutTo,
    [
      fault("(uminLow & ~mask) !== (umaxLow & ~mask)", "false"),
      fault("if (size < 4) B.unbound32(b);", ""),
    ],
    ["bounds.sync"],
  ),
  cut(
    "signExtend64",
    "the lowest 1, 2 or 4 bytes of any number, extended by their sign, are in the bounds",
    [1, 2, 4],
    (x, size) => signedCut(x, size),
    [
      fault(
        "sminHigh === smaxHigh && (width === 32 || sminLow >> width === smaxLow >> width);",
        "sminHigh === smaxHigh;",
      ),
      fault(
        "    B.setU64(b, low >> 31, low, high >> 31, high);\n    b.s32min",
        "    B.setU64(b, low >> 31, low, 0, high);\n    b.s32min",
      ),
    ],
  ),
  cut(
    "signExtend32",
    "the lowest 1 or 2 bytes of any number, extended by their sign to 4 bytes, are in the bounds",
    [1, 2],
    (x, size) => signedCut(x, size, 32),
    [
      fault("before.s32min >> width === before.s32max >> width && ", ""),
      fault(
        "    b.bits = tnum.range(0, low, 0, high);",
        "    b.bits = tnum.constantWords(0, low);",
      ),
    ],
  ),
];
