/** Lemmas of arithmetic on bounds: what scalar_alu.ts says of results. */

import * as I from "../../../src/abi/insn.ts";
import {
  all,
  type Goals,
  hasBits,
  holds,
  isIn,
  type Lemma,
  LONG,
  lowHalf,
  lowWord,
  membership,
  type Row,
} from "../lemma.ts";
import type { Fault, Loaded } from "../loader.ts";
import { bitsOf } from "../numbers.ts";
import * as T from "../terms.ts";
import { cutTo } from "./extension.ts";
import { RANGE_NAMES, type Reading, ranges } from "./ranges.ts";
import { upTo } from "./tnum.ts";

type Faults = readonly Fault[];
type Operation = (a: T.Term, b: T.Term) => T.Term;

function fault(from: string, to: string): Fault {
  return { module: "scalar_alu", from, to };
}

const operation =
  (name: string): Operation =>
  (a, b) =>
    T.binary(name, a, b);

const RESULT: Readonly<Record<number, Operation>> = {
  [I.BPF_ADD]: operation("bvadd"),
  [I.BPF_SUB]: operation("bvsub"),
  [I.BPF_AND]: operation("bvand"),
  [I.BPF_OR]: operation("bvor"),
  [I.BPF_XOR]: operation("bvxor"),
  [I.BPF_LSH]: operation("bvshl"),
  [I.BPF_RSH]: operation("bvlshr"),
  [I.BPF_ARSH]: operation("bvashr"),
};

export const NAMES: Readonly<Record<number, string>> = {
  [I.BPF_ADD]: "ADD",
  [I.BPF_SUB]: "SUB",
  [I.BPF_MUL]: "MUL",
  [I.BPF_AND]: "AND",
  [I.BPF_OR]: "OR",
  [I.BPF_XOR]: "XOR",
  [I.BPF_LSH]: "LSH",
  [I.BPF_RSH]: "RSH",
  [I.BPF_ARSH]: "ARSH",
  [I.BPF_NEG]: "NEG",
};

/** The operation on numbers themselves; shifts take the lowest bits of what they shift by. */
export function apply(code: number, x: T.Term, y: T.Term, is64: boolean): T.Term {
  const [a, b] = is64 ? [x, y] : [lowWord(x), lowWord(y)];
  const isShift = code === I.BPF_LSH || code === I.BPF_RSH || code === I.BPF_ARSH;
  const by = isShift ? T.binary("bvand", b, T.constant(b.width, BigInt(b.width - 1))) : b;
  const result =
    code === I.BPF_NEG
      ? T.binary("bvsub", T.constant(a.width, 0n), a)
      : (RESULT[code] as Operation)(a, by);
  return T.zeroExtend(result, LONG);
}

/** The signed ranges from the unsigned ones. */
const CAST: Row = {
  name: "scalar_alu.castSigned",
  claim: "every number that is in the unsigned ranges is in the signed ones",
  faults: [
    fault("if (b.u32minWord <= b.u32maxWord) setS32(b,", "if (b.s32min <= b.s32max) setS32(b,"),
    fault("const isOne = W.compareSigned(", "const isOne = W.compareUnsigned("),
  ],
  prove(lemma): Goals {
    const b = lemma.bounds("b");
    const x = lemma.long("x").term;
    const { u64 = T.FALSE, u32 = T.FALSE, words = T.FALSE } = membership(b, x);
    lemma.assume(u64, u32, words);
    lemma.run(() => {
      lemma.get("scalar_alu.castSigned")(b);
      return null;
    });
    return ranges(b, x);
  },
};

/** Lets functions of two tnums be what their lemmas say. */
export function tnumContracts(lemma: Lemma, code: number, x: T.Term, y: T.Term): void {
  const names: Readonly<Record<number, string>> = {
    [I.BPF_ADD]: "add",
    [I.BPF_SUB]: "sub",
    [I.BPF_AND]: "and",
    [I.BPF_OR]: "or",
    [I.BPF_XOR]: "xor",
  };
  const name = names[code];
  if (name === undefined) return;
  lemma.machine.contracts.set(`tnum.${name}`, (a: Loaded, b: Loaded) => {
    const both = T.and(hasBits(a, x), hasBits(b, y));
    return lemma.tnumWith(name, [[both, (RESULT[code] as Operation)(x, y)]]);
  });
}

const BITWISE_FAULTS: Readonly<Record<number, Faults>> = {
  [I.BPF_AND]: [
    fault(
      "setU32(b, valueLow, Math.min(b.u32max, src.u32max));",
      "setU32(b, valueLow, Math.min(b.u32max, src.s32max));",
    ),
    fault("    b.uminHigh = valueHigh;\n    b.uminLow = valueLow;\n", ""),
  ],
  [I.BPF_OR]: [
    fault(
      "setU32(b, Math.max(b.u32min, src.u32min), mostLow);",
      "setU32(b, Math.max(b.u32min, src.u32min), valueLow);",
    ),
    fault("    b.umaxHigh = mostHigh;\n    b.umaxLow = mostLow;\n", ""),
  ],
  [I.BPF_XOR]: [
    fault("    setU32(b, valueLow, mostLow);\n", ""),
    fault(
      "B.setU64(b, valueHigh, valueLow, mostHigh, mostLow);",
      "B.setU64(b, valueHigh, valueLow, valueHigh, mostLow);",
    ),
  ],
};

function bitwise(code: number): Row {
  return {
    name: `scalar_alu.bitwise, ${NAMES[code]}`,
    claim: "the result of any two numbers is in the bounds",
    uses: ["bounds.learnFromBits"],
    faults: BITWISE_FAULTS[code] ?? [],
    prove(lemma): Goals {
      const [a, b] = [lemma.bounds("a"), lemma.bounds("b")];
      const [x, y] = [lemma.memberOf(a, "x").term, lemma.memberOf(b, "y").term];
      const result = (RESULT[code] as Operation)(x, y);
      lemma.keepsResult(result, "bounds.learnFromBits");
      lemma.run(() => {
        lemma.get("scalar_alu.bitwise")(a, b, code);
        return null;
      });
      return holds(a, result);
    },
  };
}

/** Shifts by a number that is known. */
function shift(name: "shift32" | "shift64", code: number, faults: Faults): Row {
  const is64 = name === "shift64";
  return {
    name: `scalar_alu.${name}, ${NAMES[code]}`,
    claim: `by 0 to ${is64 ? 63 : 31}: the shifted number is in the bounds`,
    cases: upTo(is64 ? 63 : 31),
    uses: [is64 ? "bounds.learnFromBits" : "bounds.learn32FromBits"],
    faults,
    prove(lemma, bits): Goals {
      const b = lemma.bounds("b");
      const x = lemma.memberOf(b, "x").term;
      const result = apply(code, x, T.constant(LONG, BigInt(bits)), is64);
      lemma.keepsResult(result, is64 ? "bounds.learnFromBits" : "bounds.learn32FromBits");
      lemma.run(() => {
        lemma.get(`scalar_alu.${name}`)(b, bits, code);
        return null;
      });
      return holds(b, result);
    },
  };
}

/** Lets the parts of arithmetic() be what their lemmas say. */
export function partContracts(lemma: Lemma, code: number, x: T.Term, y: T.Term): void {
  const { contracts } = lemma.machine;
  const wide = code === I.BPF_MUL || code === I.BPF_NEG ? null : (RESULT[code] as Operation)(x, y);
  const fill = (b: Loaded, condition: T.Term, value: T.Term, withBits: boolean): void => {
    const fresh = lemma.bounds("part");
    for (const [key, end] of Object.entries(fresh)) {
      if (key !== "bits" || withBits) lemma.machine.set(b, key, end);
    }
    const said = withBits ? isIn(fresh, value) : all(ranges(fresh, value));
    lemma.assume(T.implies(condition, said));
  };
  const known = wide ?? lemma.product;
  for (const name of ["addRanges", "subRanges"]) {
    contracts.set(`scalar_alu.${name}`, (b: Loaded, src: Loaded) => {
      const first = code === I.BPF_NEG ? T.constant(LONG, 0n) : x;
      const second = code === I.BPF_NEG ? x : y;
      const value = code === I.BPF_NEG ? T.binary("bvsub", first, second) : known;
      fill(b, T.and(isIn(b, first), isIn(src, second)), value, false);
    });
  }
  const partly = (name: string, readings: readonly Reading[]): void => {
    contracts.set(`scalar_alu.${name}`, (b: Loaded, src: Loaded) => {
      const fresh = lemma.bounds("part");
      for (const reading of readings) {
        const { [reading]: inB = T.FALSE } = membership(b, x);
        const { [reading]: inSource = T.FALSE } = membership(src, y);
        const { [reading]: inFresh = T.FALSE } = membership(fresh, known);
        lemma.assume(T.implies(T.and(inB, inSource), inFresh));
      }
      for (const [key, end] of Object.entries(fresh)) {
        const isOne = readings.some((reading) => key.startsWith(RANGE_NAMES[reading]));
        if (isOne) lemma.machine.set(b, key, end);
      }
    });
  };
  partly("mul32Ranges", ["u32", "s32"]);
  partly("mulSignedRange", ["s64"]);
  partly("mulUnsignedRange", ["u64"]);
  contracts.set("scalar_alu.bitwise", (b: Loaded, src: Loaded) =>
    fill(b, T.and(isIn(b, x), isIn(src, y)), known, true),
  );
  for (const name of ["shift32", "shift64"]) {
    const is64 = name === "shift64";
    lemma.machine.demands.set(`scalar_alu.${name}`, (_: Loaded, by: unknown) => {
      const limit = T.constant(LONG, is64 ? 64n : 32n);
      lemma.machine.require(T.unsignedLess(bitsOf(by, LONG), limit));
    });
    contracts.set(`scalar_alu.${name}`, (b: Loaded, by: unknown) => {
      fill(b, isIn(b, x), apply(code, x, bitsOf(by, LONG), is64), true);
    });
  }
  contracts.set("tnum.mul", (a: Loaded, b: Loaded) =>
    lemma.tnumWith("mul", [[T.and(hasBits(a, x), hasBits(b, y)), known]]),
  );
  contracts.set("tnum.neg", (a: Loaded) =>
    lemma.tnumWith("neg", [[hasBits(a, x), T.binary("bvsub", T.constant(LONG, 0n), x)]]),
  );
  tnumContracts(lemma, code, x, y);
}

const PARTS: Readonly<Record<number, readonly string[]>> = {
  [I.BPF_ADD]: ["scalar_alu.addRanges", "tnum.add"],
  [I.BPF_SUB]: ["scalar_alu.subRanges", "tnum.sub"],
  [I.BPF_MUL]: [
    ...["scalar_alu.mul32Ranges", "scalar_alu.mulSignedRange", "scalar_alu.mulUnsignedRange"],
    "tnum.mul",
  ],
  [I.BPF_NEG]: ["scalar_alu.subRanges", "tnum.neg"],
  [I.BPF_AND]: ["scalar_alu.bitwise, AND"],
  [I.BPF_OR]: ["scalar_alu.bitwise, OR"],
  [I.BPF_XOR]: ["scalar_alu.bitwise, XOR"],
  [I.BPF_LSH]: ["scalar_alu.shift64, LSH", "scalar_alu.shift32, LSH"],
  [I.BPF_RSH]: ["scalar_alu.shift64, RSH", "scalar_alu.shift32, RSH"],
  [I.BPF_ARSH]: ["scalar_alu.shift64, ARSH", "scalar_alu.shift32, ARSH"],
};

const ARITHMETIC_FAULTS: Readonly<Record<number, Faults>> = {
  [I.BPF_ADD]: [
    fault("b.bits = tnum.add(b.bits, src.bits);", ""),
    fault("      addRanges(b, src);\n", ""),
  ],
  [I.BPF_SUB]: [
    fault("b.bits = tnum.sub(b.bits, src.bits);", ""),
    fault("      subRanges(b, src);\n", ""),
  ],
  [I.BPF_MUL]: [
    fault("      mulRanges(b, src);\n", ""),
    fault("b.bits = tnum.mul(b.bits, src.bits);", ""),
  ],
  [I.BPF_NEG]: [
    fault("      B.setExactly(b, 0, 0);\n", ""),
    fault("b.bits = tnum.neg(dst.bits);", "b.bits = dst.bits;"),
  ],
  [I.BPF_AND]: [fault("bitwise(b, src, operation);", ""), fault("if (!is64) zeroExtend(b);", "")],
  [I.BPF_OR]: [fault("bitwise(b, src, operation);", ""), fault("if (!is64) zeroExtend(b);", "")],
  [I.BPF_XOR]: [fault("bitwise(b, src, operation);", ""), fault("if (!is64) zeroExtend(b);", "")],
  [I.BPF_LSH]: [
    fault("if (width === null) return B.unbounded();", "if (width === null) return b;"),
    fault(
      "return known && isShort ? src.bits.valueLow : null;",
      "return isShort ? src.umaxLow : null;",
    ),
  ],
  [I.BPF_RSH]: [
    fault(
      "return known && isShort ? src.bits.valueLow : null;",
      "return known ? src.bits.valueLow : null;",
    ),
    fault(
      "if (is64) shift64(b, width, operation);\n      else shift32(b, width, operation);",
      "shift64(b, width, operation);",
    ),
  ],
  [I.BPF_ARSH]: [
    fault(
      "return known && isShort ? src.bits.valueLow : null;",
      "return known && isShort ? src.uminHigh : null;",
    ),
    fault(
      "if (is64) shift64(b, width, operation);\n      else shift32(b, width, operation);",
      "shift64(b, width, operation);",
    ),
  ],
};

/** A whole instruction on two numbers, from what is proved of its parts. */
function arithmetic(code: number): Row {
  return {
    name: `scalar_alu.arithmetic, ${NAMES[code]}`,
    claim: "the result of any two numbers, in 64 bits and in 32, is in the bounds",
    cases: [64, 32],
    uses: ["bounds.sync", "extension.zeroExtend", ...(PARTS[code] ?? [])],
    faults: ARITHMETIC_FAULTS[code] ?? [],
    prove(lemma, of): Goals {
      const is64 = of === 64;
      const [a, b] = [lemma.bounds("a"), lemma.bounds("b")];
      const [x, y] = [lemma.memberOf(a, "x").term, lemma.memberOf(b, "y").term];
      const long = code === I.BPF_MUL ? lemma.product : apply(code, x, y, true);
      const cut = code === I.BPF_MUL ? lowHalf(long) : apply(code, x, y, false);
      const result = is64 ? long : cut;
      partContracts(lemma, code, x, y);
      lemma.keepsResult(result, "bounds.sync");
      if (!is64) zeroExtendContract(lemma, [x, y, long, cut]);
      const made = lemma.run(() => lemma.get("scalar_alu.arithmetic")(code, a, b, is64));
      return holds(made, result);
    },
  };
}

export function zeroExtendContract(lemma: Lemma, numbers: readonly T.Term[]): void {
  lemma.machine.contracts.set("extension.zeroExtend", (b: Loaded) => {
    const before = numbers.map((x) => isIn(b, x));
    const fresh = lemma.bounds("extended");
    for (const [key, end] of Object.entries(fresh)) lemma.machine.set(b, key, end);
    numbers.forEach((x, i) => {
      lemma.assume(T.implies(before[i] as T.Term, isIn(b, lowHalf(x))));
    });
  });
}

/** The bytes of a number, the last one first. */
function swapped(x: T.Term, bytes: number): T.Term {
  const parts = upTo(bytes - 1).map((i) => T.extract(x, 8 * i + 7, 8 * i));
  return T.zeroExtend(parts.reduce(T.concat), LONG);
}

const REORDER: Row = {
  name: "scalar_alu.reorder",
  claim: "the lowest 2, 4 or 8 bytes of any number, cut off or reversed, are in the bounds",
  cases: [2, 4, 8].flatMap((bytes) => [`${bytes} swapped`, `${bytes} cut`]),
  uses: ["tnum.swap", "extension.truncate", "bounds.sync"],
  faults: [
    fault("B.unbounded(tnum.swap(src.bits, bytes))", "B.unbounded(src.bits)"),
    fault("if (!swaps) return", "if (swaps) return"),
  ],
  prove(lemma, of): Goals {
    const [bytes, way] = String(of).split(" ");
    const size = Number(bytes);
    const b = lemma.bounds("b");
    const x = lemma.memberOf(b, "x").term;
    const isSwap = way === "swapped";
    const result = isSwap ? swapped(x, size) : cutTo(x, size);
    lemma.keepsResult(result, "bounds.sync");
    return holds(
      lemma.run(() => lemma.get("scalar_alu.reorder")(b, size, isSwap)),
      result,
    );
  },
};

const SHIFT_FAULTS: Readonly<Record<string, Faults>> = {
  "shift64 LSH": [
    fault(
      "if (shift === 32) B.setS64(b, b.s32min, 0, b.s32max, 0);",
      "if (shift === 32) B.setS64(b, b.u32minWord, 0, b.s32max, 0);",
    ),
    fault("W.shiftLeftHigh(0, 1, 63 - shift);", "W.shiftLeftHigh(0, 4, 63 - shift);"),
  ],
  "shift64 RSH": [
    fault(
      "    b.umaxLow = W.shiftRightLow(umaxHigh, umaxLow, shift);\n    B.unbound32(b);",
      "    b.umaxLow = W.shiftRightLow(umaxHigh, umaxLow, shift);",
    ),
    fault(
      "b.umaxLow = W.shiftRightLow(umaxHigh, umaxLow, shift);",
      "b.umaxLow = W.shiftRightLow(umaxHigh, uminLow, shift);",
    ),
  ],
  "shift64 ARSH": [
    fault(
      "b.sminHigh = W.shiftSignedHigh(sminHigh, shift);",
      "b.sminHigh = W.shiftRightHigh(sminHigh, shift);",
    ),
    fault(
      "b.sminLow = W.shiftSignedLow(sminHigh, sminLow, shift);",
      "b.sminLow = W.shiftSignedLow(sminHigh, smaxLow, shift);",
    ),
  ],
  "shift32 LSH": [
    fault("b.u32max > 2 ** (31 - shift)", "b.u32max > 2 ** (33 - shift)"),
    fault(
      "b.bits = tnum.lowHalf(tnum.shiftLeft(low, shift));",
      "b.bits = tnum.shiftLeft(low, shift);",
    ),
  ],
  "shift32 RSH": [
    fault(
      "setU32(b, b.u32min >>> shift, b.u32max >>> shift);",
      "setU32(b, b.u32min >> shift, b.u32max >>> shift);",
    ),
    fault(
      "setS32(b, B.S32_MIN, B.S32_MAX);\n    b.bits = tnum.shiftRight",
      "b.bits = tnum.shiftRight",
    ),
  ],
  "shift32 ARSH": [
    fault(
      "setS32(b, b.s32min >> shift, b.s32max >> shift);",
      "setS32(b, b.s32min >> shift, b.s32max >>> shift);",
    ),
    fault(
      "b.bits = tnum.shiftRightSigned(low, shift, 32);",
      "b.bits = tnum.shiftRightSigned(low, shift, 64);",
    ),
  ],
};

export const ARITHMETIC_ROWS: readonly Row[] = [
  CAST,
  ...[I.BPF_AND, I.BPF_OR, I.BPF_XOR].map(bitwise),
  ...(["shift64", "shift32"] as const).flatMap((name) =>
    [I.BPF_LSH, I.BPF_RSH, I.BPF_ARSH].map((code) =>
      shift(name, code, SHIFT_FAULTS[`${name} ${NAMES[code]}`] ?? []),
    ),
  ),
  ...Object.keys(NAMES).map((code) => arithmetic(Number(code))),
  REORDER,
];
