/**
 * Lemmas of linked numbers: what is learnt of one holds for the others, in whatever way the link
 * came to be: by a sum, a copy, or a spill and a fill of parts.
 */

import * as I from "../../../src/abi/insn.ts";
import { type Goals, holds, isIn, type Lemma, LONG, lowHalf, type Row, WORD } from "../lemma.ts";
import type { Fault, Loaded } from "../loader.ts";
import { bitsOf } from "../numbers.ts";
import * as T from "../terms.ts";
import { apply, partContracts, zeroExtendContract } from "./arithmetic.ts";
import { cutTo, signedCut } from "./extension.ts";

type Width = 0 | 32 | 64;

const WIDTHS: readonly Width[] = [0, 32, 64];
/** The id of numbers that are linked already, and the next one that nothing has. */
const LINKED = 1;
const NEW = 2;

/** What an id means: how a number is made of the one that the id stands for. */
function isMadeOf({ sumWidth, off }: Loaded, x: T.Term, base: T.Term): T.Term {
  const sum = T.binary("bvadd", base, bitsOf(off, LONG));
  const isShort = T.equal(T.extract(base, 63, WORD), T.constant(WORD, 0n));
  return T.and(
    T.implies(is(sumWidth, 0), T.equal(x, base)),
    T.implies(is(sumWidth, 64), T.equal(x, sum)),
    T.implies(is(sumWidth, 32), T.and(isShort, T.equal(x, lowHalf(sum)))),
  );
}

function is(value: unknown, number: number): T.Term {
  return T.equal(bitsOf(value, LONG), T.constant(LONG, BigInt(number)));
}

interface Linked {
  readonly register: Loaded;
  readonly value: T.Term;
}

/** Any number that is linked to a base. */
function linked(lemma: Lemma, name: string, width: Width, base: T.Term): Linked {
  const { Register } = lemma.modules.register;
  const bounds = lemma.bounds(name);
  const value = lemma.memberOf(bounds, `${name}.number`).term;
  const off = width === 0 ? 0 : lemma.word(`${name}.off`);
  const register = new Register("scalar", bounds, off, LINKED, width);
  lemma.assume(isMadeOf(register, value, base));
  return { register, value };
}

/** That a register holds a number, and is linked to what it is said to be linked to. */
function isRight(register: Loaded, value: T.Term, bases: Readonly<Record<number, T.Term>>): Goals {
  const links = Object.entries(bases).map(([id, base]) =>
    T.implies(is(register.id, Number(id)), isMadeOf(register, value, base)),
  );
  return { ...holds(register.bounds, value), link: T.and(...links) };
}

/** Functions that only take notes. */
function noteContracts(lemma: Lemma): void {
  const names = ["speculation.maskNumbers", "speculation.noteStore", "precision.markPrecise"];
  for (const name of names) lemma.machine.contracts.set(name, () => undefined);
}

const SPREAD_FAULTS: readonly Fault[] = [
  {
    module: "branch",
    from: "if (source.sumWidth !== 0 && source.sumWidth !== width) continue;",
    to: "",
  },
  { module: "branch", from: "if (width === 32) zeroExtend(bounds);", to: "" },
  {
    module: "branch",
    from: "BigInt(target.off) - BigInt(source.off)",
    to: "BigInt(source.off) - BigInt(target.off)",
  },
];

const SPREAD: Row = {
  name: "branch.spread",
  claim: "what is learnt of a number is true of those that are linked to it; widths of both sums",
  cases: WIDTHS.flatMap((source) => WIDTHS.map((target) => `${source} to ${target}`)),
  uses: ["scalar_alu.addRanges", "tnum.add", "extension.zeroExtend", "bounds.sync"],
  faults: SPREAD_FAULTS,
  prove(lemma, of): Goals {
    const [first, second] = String(of).split(" to ").map(Number) as [Width, Width];
    const base = lemma.long("base").term;
    const source = linked(lemma, "source", first, base);
    const target = linked(lemma, "target", second, base);
    const by = T.binary(
      "bvsub",
      bitsOf(target.register.off, LONG),
      bitsOf(source.register.off, LONG),
    );
    const sum = T.binary("bvadd", source.value, by);
    partContracts(lemma, I.BPF_ADD, source.value, by);
    zeroExtendContract(lemma, [sum]);
    lemma.keepsResult(target.value, "bounds.sync");
    const place = { register: target.register };
    const state = {
      frame: { get: () => source.register },
      at: () => place.register,
      put: (_: unknown, register: Loaded) => lemma.machine.set(place, "register", register),
    };
    return lemma.goals(() => {
      lemma.get("branch.spread")(state, 3, [{}]);
      return isRight(place.register, target.value, { [LINKED]: base });
    });
  },
};

/** Sums and differences of a linked number and another one. */
const SUMS: Row = {
  name: "alu.binary, links",
  claim: "a number to which another is added is linked only to what it is a sum of",
  cases: [I.BPF_ADD, I.BPF_SUB].flatMap((code) =>
    [32, 64].flatMap((bits) =>
      WIDTHS.map((width) => `${code === I.BPF_ADD ? "ADD" : "SUB"} ${bits}, of ${width}`),
    ),
  ),
  uses: ["scalar_alu.arithmetic, ADD", "scalar_alu.arithmetic, SUB"],
  faults: [
    // The fault that was there: a 32-bit sum of a number that isn't known to fit 32 bits.
    { module: "links", from: "(is64 || bounds.umaxHigh === 0)", to: "true" },
    {
      module: "links",
      from: "if (is64 && by.bits.valueHigh !== value >> 31) return null;",
      to: "",
    },
    {
      module: "links",
      from: "return value === B.S32_MIN ? null : 0 - value;",
      to: "return value;",
    },
    { module: "links", from: "sumWidth === 0 && ", to: "" },
  ],
  prove(lemma, of): Goals {
    const [, name, bits, width] = /^(\w+) (\d+), of (\d+)$/.exec(String(of)) ?? [];
    const code = name === "ADD" ? I.BPF_ADD : I.BPF_SUB;
    const is64 = bits === "64";
    const base = lemma.long("base").term;
    const target = linked(lemma, "target", Number(width) as Width, base);
    const bounds = lemma.bounds("source");
    const added = lemma.memberOf(bounds, "source.number").term;
    const source = new lemma.modules.register.Register("scalar", bounds);
    const result = apply(code, target.value, added, is64);
    noteContracts(lemma);
    lemma.machine.contracts.set("scalar_alu.arithmetic", () => {
      const made = lemma.bounds("result");
      lemma.assume(isIn(made, result));
      return made;
    });
    const opcode = (is64 ? I.BPF_ALU64 : I.BPF_ALU) | code | I.BPF_X;
    const env = {
      insn: { opcode, dst: 3, src: 4, off: 0, imm: 0 },
      subject: { bpfCapable: true, perfmon: true },
      slot: 0,
      state: { speculative: false },
      ranges: { noteNumbers: (): void => {} },
    };
    return lemma.goals(() => {
      const made = lemma.get("alu.binary")(env, target.register, source, is64);
      return isRight(made, result, { [LINKED]: base });
    });
  },
};

/** An instruction's registers, by number, and what the verifier does with them. */
function environment(lemma: Lemma, insn: Loaded, registers: Record<number, Loaded>): Loaded {
  const slots: Record<number, Loaded> = { 0: lemma.modules.stack.EMPTY_SLOT };
  const frame = {
    get: (i: number) => registers[i],
    set: (i: number, register: Loaded) => lemma.machine.set(registers, String(i), register),
    slot: (i: number) => slots[i],
    setSlot: (i: number, slot: Loaded) => lemma.machine.set(slots, String(i), slot),
  };
  const note = (): void => {};
  return {
    insn,
    subject: { bpfCapable: true, perfmon: true },
    state: { frame, frames: [frame], depth: 0 },
    nextId: () => NEW,
    noteAccess: note,
    noteRead: note,
    noteWrite: note,
  };
}

/** Moves: whole, of 32 bits, and extended by the sign of 1, 2 or 4 bytes. */
const MOVES: Row = {
  name: "alu.moveRegister",
  claim: "what is moved is in the bounds, and linked to its source only where both are equal",
  cases: ["64 0", "64 8", "64 16", "64 32", "32 0", "32 8", "32 16"].flatMap((form) =>
    WIDTHS.map((width) => `${form}, of ${width}`),
  ),
  uses: ["extension.signExtend64", "extension.signExtend32", "extension.zeroExtend", "bounds.sync"],
  faults: [
    { module: "alu", from: "B.widthOf(source.bounds) <= 32", to: "B.widthOf(source.bounds) <= 33" },
    {
      module: "extension",
      from: "umaxHigh === 0 && umaxLow >>> (size * 8 - 1) === 0",
      to: "umaxHigh === 0 && umaxLow >>> (size * 8) === 0",
    },
  ],
  prove(lemma, of): Goals {
    const [, bits, cut, width] = /^(\d+) (\d+), of (\d+)$/.exec(String(of)) ?? [];
    const is64 = bits === "64";
    const base = lemma.long("base").term;
    const source = linked(lemma, "source", Number(width) as Width, base);
    const x = source.value;
    const size = Number(cut) / 8;
    const result = size > 0 ? signedCut(x, size, is64 ? LONG : WORD) : is64 ? x : lowHalf(x);
    lemma.keepsResult(result, "bounds.sync");
    const registers: Record<number, Loaded> = { 3: source.register, 4: source.register };
    const env = environment(lemma, { dst: 3, src: 4, off: Number(cut) }, registers);
    return lemma.goals(() => {
      lemma.get("alu.moveRegister")(env, is64);
      const bases = { [LINKED]: base, [NEW]: x };
      const moved = isRight(registers[3] as Loaded, result, bases);
      const { link: stays = T.FALSE } = isRight(registers[4] as Loaded, x, bases);
      return { ...moved, source: stays };
    });
  },
};

const SIZES = [1, 2, 4, 8];

/** What a number is after so many of its bytes were stored and others loaded. */
const FILLS: Row = {
  name: "stack_access.storeFixed, loadFixed, narrowed",
  claim:
    "what is loaded of a stored number's bytes is in the bounds, and linked only where it is equal",
  cases: SIZES.flatMap((stored) =>
    SIZES.filter((loaded) => loaded <= stored).flatMap((loaded) =>
      ["zeros", "sign"].flatMap((extension) =>
        WIDTHS.map((width) => `${stored} ${loaded} ${extension}, of ${width}`),
      ),
    ),
  ),
  uses: ["extension.truncate", "extension.signExtend64"],
  faults: [
    {
      module: "stack_access",
      from: "return B.widthOf(spilled.bounds) > size * 8 ? spilled.unlinked() : spilled;",
      to: "return spilled;",
    },
    {
      module: "stack_access",
      from: "return fitsSigned(contents.bounds, size) ?",
      to: "return size > 0 ?",
    },
  ],
  prove(lemma, of): Goals {
    const [, stored, loaded, extension, width] =
      /^(\d) (\d) (\w+), of (\d+)$/.exec(String(of)) ?? [];
    const base = lemma.long("base").term;
    const source = linked(lemma, "source", Number(width) as Width, base);
    const size = Number(loaded);
    const isSigned = extension === "sign";
    const result = isSigned ? signedCut(source.value, size) : cutTo(source.value, size);
    lemma.keepsResult(result, "bounds.sync");
    noteContracts(lemma);
    const registers: Record<number, Loaded> = { 3: source.register };
    const env = environment(lemma, {}, registers);
    const pointer = { frame: 0 };
    return lemma.goals(() => {
      const what = { register: 3, contents: source.register };
      lemma.get("stack_access.storeFixed")(env, pointer, -8, Number(stored), what);
      const filled = lemma.get("stack_access.loadFixed")(env, pointer, -8, size, true);
      const made = lemma.get("stack_access.narrowed")(filled, size, isSigned);
      return isRight(made, result, { [LINKED]: base, [NEW]: source.value });
    });
  },
};

export const LINK_ROWS: readonly Row[] = [SUMS, SPREAD, MOVES, FILLS];
