/**
 * Programs for engines to agree on: random, and such that what they compute follows from packet and
 * maps alone, wherever they run.
 */

import * as BPF from "../../src/abi/bpf.ts";
import { BPF_FUNC } from "../../src/abi/helpers.ts";
import * as I from "../../src/abi/insn.ts";
import {
  assemble,
  decodeInstructions,
  type Instruction,
  isLoadImm64,
} from "../../src/asm/index.ts";
import { MAY_GOTO } from "../../src/kernel/jit/function.ts";
import { type Dialect, randomProgram, TAIL_PROGRAMS } from "../kernel/jit/generator.ts";
import { Random } from "../random.ts";
import { debugTypes } from "../verifier/functions.ts";
import { generate } from "../verifier/generate.ts";
import { MAP_INDEX, MAPS, type TestMap } from "../verifier/maps.ts";
import { programOf, type TestProgram } from "../verifier/program.ts";

const TYPES: Readonly<Record<Dialect, number>> = {
  xdp: BPF.BPF_PROG_TYPE_XDP,
  dissector: BPF.BPF_PROG_TYPE_FLOW_DISSECTOR,
  filter: BPF.BPF_PROG_TYPE_SOCKET_FILTER,
};
export const DIALECTS: readonly Dialect[] = Object.keys(TYPES) as Dialect[];

const VALUE_BYTES = 16;
const hash = { type: BPF.BPF_MAP_TYPE_HASH, keySize: 12, valueSize: VALUE_BYTES };

/** The maps of well-formed programs, by the names that their text has. */
const OWN_MAPS: readonly TestMap[] = [
  {
    name: "array",
    type: BPF.BPF_MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: VALUE_BYTES,
    maxEntries: 6,
  },
  { name: "hash", ...hash, maxEntries: 5 },
  // Large enough that Linux, too, forgets nothing.
  { name: "lru", ...hash, type: BPF.BPF_MAP_TYPE_LRU_HASH, maxEntries: 4096 },
  { name: "bytes", ...hash, keySize: 7, maxEntries: 7 },
  ...DIALECTS.map((dialect) => ({
    name: `progs ${dialect}`,
    type: BPF.BPF_MAP_TYPE_PROG_ARRAY,
    keySize: 4,
    valueSize: 4,
    maxEntries: TAIL_PROGRAMS,
  })),
];

/** All maps that programs name by index: first those that verifiers are tried with. */
export const ENGINE_MAPS: readonly TestMap[] = [...MAPS, ...OWN_MAPS];

/** Where the prog array of a dialect is among all maps. */
export function progArrayOf(dialect: Dialect): number {
  return ENGINE_MAPS.findIndex(({ name }) => name === `progs ${dialect}`);
}

/** How often in 100 a program is one of those that verifiers are tried with. */
const FOREIGN_PERCENT = 30;

/** The program of a seed. */
export function engineProgram(seed: number): TestProgram {
  const random = new Random(seed);
  if (random.below(100) < FOREIGN_PERCENT)
    return deterministic(generate(random.below(2 ** 31)), random);
  return wellFormed(seed, random.pick(DIALECTS));
}

const WELL_FORMED = "well-formed";

/** A program that verifiers accept, for a dialect. */
export function wellFormed(seed: number, dialect: Dialect): TestProgram {
  const progs = progArrayOf(dialect);
  return fromText(TYPES[dialect], randomProgram(seed, dialect), `${WELL_FORMED} ${dialect}`, progs);
}

/** A program that names maps of {@link ENGINE_MAPS}. @param progs - which one it calls progs. */
export function fromText(type: number, text: string, origin: string, progs = -1): TestProgram {
  const named = Object.fromEntries(OWN_MAPS.map(({ name }, i) => [name, MAPS.length + i]));
  const instructions = decodeInstructions(
    assemble(text, { constants: { ...MAP_INDEX, ...named, progs } }),
  );
  const others = functionsOf(instructions).map((slot) => [slot, "static"] as const);
  const debug = others.length === 0 ? null : debugTypes(type, [[0, "main"], ...others]);
  return programOf({ type, attachType: 0, instructions, origin, debug });
}

/** First slots of functions that are called, or given to helpers, in ascending order. */
function functionsOf(instructions: readonly Instruction[]): number[] {
  const found = instructions.flatMap((insn, slot) => {
    const isCall = insn.opcode === (I.BPF_JMP | I.BPF_CALL) && insn.src === I.BPF_PSEUDO_CALL;
    const isAddress = isLoadImm64(insn) && insn.src === I.BPF_PSEUDO_FUNC;
    return isCall || isAddress ? [slot + 1 + insn.imm] : [];
  });
  return [...new Set(found)].sort((a, b) => a - b);
}

/** Helpers whose results follow from what they are given. */
const PURE: ReadonlySet<number> = new Set([
  BPF_FUNC.map_lookup_elem,
  BPF_FUNC.map_update_elem,
  BPF_FUNC.map_delete_elem,
  BPF_FUNC.tail_call,
  BPF_FUNC.skb_load_bytes,
  BPF_FUNC.skb_load_bytes_relative,
  BPF_FUNC.loop,
]);

/**
 * The program with a number in place of each clock, random number and the like, and with a stack of
 * zeros: Linux lets programs read what others left there. One that has functions keeps its stack.
 */
function deterministic(program: TestProgram, random: Random): TestProgram {
  const instructions = program.instructions.map((insn, slot) => {
    const before = program.instructions[slot - 1];
    if (before !== undefined && isLoadImm64(before)) return insn;
    const isHelper = insn.opcode === (I.BPF_JMP | I.BPF_CALL) && insn.src === 0;
    if (!isHelper || PURE.has(insn.imm)) return insn;
    const opcode = I.BPF_ALU64 | I.BPF_MOV | I.BPF_K;
    return { opcode, dst: I.BPF_REG_0, src: 0, off: 0, imm: random.below(2 ** 32) | 0 };
  });
  const isOne = functionsOf(instructions).length === 0;
  return {
    ...program,
    instructions: isOne ? [...CLEARED, ...instructions] : instructions,
    flags: 0,
  };
}

/** Writes zeros to the whole stack. */
const CLEARED: readonly Instruction[] = Array.from({ length: I.MAX_BPF_STACK / 8 }, (_, i) => ({
  opcode: I.BPF_ST | I.BPF_MEM | I.BPF_DW,
  dst: I.BPF_REG_10,
  src: 0,
  off: -8 * (i + 1),
  imm: 0,
}));

const FIRST_TAIL_SEED = 0x7a11;

/** The programs that those of a dialect tail call. */
export function tailPrograms(dialect: Dialect): TestProgram[] {
  return Array.from({ length: TAIL_PROGRAMS }, (_, i) => wellFormed(FIRST_TAIL_SEED + i, dialect));
}

let tailMaps: ReadonlyMap<number, readonly number[]> | null = null;

/** Maps that a run may touch, by index: those of programs that are tail called, too. */
export function touchedMaps(program: TestProgram): number[] {
  tailMaps ??= new Map(
    DIALECTS.map((each) => [progArrayOf(each), tailPrograms(each).flatMap(mapsOf)]),
  );
  const own = mapsOf(program);
  const all = new Set([...own, ...own.flatMap((map) => tailMaps?.get(map) ?? [])]);
  return [...all].sort((a, b) => a - b);
}

/** Maps that a program names, by index. */
export function mapsOf({ instructions }: TestProgram): number[] {
  const found = instructions.flatMap((insn) => {
    const { src } = insn;
    const isMap = src === I.BPF_PSEUDO_MAP_FD || src === I.BPF_PSEUDO_MAP_VALUE;
    return isLoadImm64(insn) && isMap ? [insn.imm] : [];
  });
  return [...new Set(found)].sort((a, b) => a - b);
}

const DIFFERENT_ELSEWHERE: ReadonlySet<number> = new Set([
  BPF.BPF_MAP_TYPE_LRU_HASH,
  BPF.BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF.BPF_MAP_TYPE_PERCPU_HASH,
]);

/**
 * Whether a run leaves the same behind on Linux: what a small LRU map forgets, which CPU's values a
 * program meets, and what is on the stacks of functions, is Linux's own affair.
 */
export function isSameOnLinux(program: TestProgram): boolean {
  const isForeign = !program.origin.startsWith(WELL_FORMED);
  if (isForeign && functionsOf(program.instructions).length > 0) return false;
  return mapsOf(program).every((index) => {
    const map = ENGINE_MAPS[index];
    return index >= MAPS.length || (map !== undefined && !DIFFERENT_ELSEWHERE.has(map.type));
  });
}

/** Maps that hold more than this, in bytes, take long to be made as before. */
const MAX_MAP_BYTES = 8192;

/**
 * Whether a program is worth a run: none of its maps is too large, packets lead to it, and no
 * may_goto goes round eight million times (loops.test.ts has those).
 */
export function isRunnable(program: TestProgram): boolean {
  if (program.type === BPF.BPF_PROG_TYPE_SK_LOOKUP) return false;
  if (program.instructions.some(({ opcode }) => opcode === MAY_GOTO)) return false;
  return mapsOf(program).every((index) => {
    const map = ENGINE_MAPS[index];
    if (map === undefined) return false;
    return index >= MAPS.length || map.maxEntries * map.valueSize <= MAX_MAP_BYTES;
  });
}
