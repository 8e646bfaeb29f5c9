/**
 * Programs that a verifier has something to say about: random, but put together of what compilers
 * write, so that about half of them are accepted, and many others almost.
 */

import {
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
  BPF_SK_LOOKUP,
} from "../../src/abi/bpf.ts";
import * as I from "../../src/abi/insn.ts";
import type { Instruction } from "../../src/asm/index.ts";
import type { Random } from "../random.ts";

/** A program, its maps by number: 0 the array, 1 the hash. */
export interface RandomProgram {
  readonly type: number;
  readonly attachType: number;
  readonly instructions: readonly Instruction[];
}

/** What the generator believes of a register. It need not be right. */
type Kind = "none" | "number" | "ctx" | "stack" | "packet" | "end" | "value" | "value?" | "keys";

/** An instruction, or a jump to a label. */
type Part = Instruction | { readonly jump: Instruction; readonly label: number };

const SIZES = [I.BPF_B, I.BPF_H, I.BPF_W, I.BPF_DW];
const BYTES: Readonly<Record<number, number>> = {
  [I.BPF_B]: 1,
  [I.BPF_H]: 2,
  [I.BPF_W]: 4,
  [I.BPF_DW]: 8,
};
// biome-ignore format: a list of names reads best filled
const OPERATIONS = [
  I.BPF_ADD, I.BPF_ADD, I.BPF_ADD, I.BPF_SUB, I.BPF_SUB, I.BPF_AND, I.BPF_AND, I.BPF_OR, I.BPF_XOR,
  I.BPF_MUL, I.BPF_LSH, I.BPF_RSH, I.BPF_ARSH, I.BPF_DIV, I.BPF_MOD,
];
// biome-ignore format: a list of names reads best filled
const CONDITIONS = [
  I.BPF_JEQ, I.BPF_JNE, I.BPF_JGT, I.BPF_JGE, I.BPF_JLT, I.BPF_JLE, I.BPF_JSGT, I.BPF_JSGE,
  I.BPF_JSLT, I.BPF_JSLE, I.BPF_JSET,
];
// biome-ignore format: a list of numbers reads best filled
const CONSTANTS = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 47, 48, 55, 56, 63, 64, 65, 127, 128, 255, 256, 511, 512,
  0xffff, 0x7fffffff, -1, -2, -8, -64, -0x80000000, 0x10000, 0x20000000,
];
const TYPES = [
  { type: BPF_PROG_TYPE_XDP, attachType: 0 },
  { type: BPF_PROG_TYPE_XDP, attachType: 0 },
  { type: BPF_PROG_TYPE_FLOW_DISSECTOR, attachType: 0 },
  { type: BPF_PROG_TYPE_SOCKET_FILTER, attachType: 0 },
  { type: BPF_PROG_TYPE_SK_LOOKUP, attachType: BPF_SK_LOOKUP },
];
/** Offsets of context fields worth reading, by program type, and whether they are numbers. */
const FIELDS: Readonly<Record<number, readonly (readonly [number, number, Kind])[]>> = {
  [BPF_PROG_TYPE_XDP]: [
    [0, I.BPF_W, "packet"],
    [4, I.BPF_W, "end"],
    [12, I.BPF_W, "number"],
  ],
  [BPF_PROG_TYPE_FLOW_DISSECTOR]: [
    [76, I.BPF_W, "packet"],
    [80, I.BPF_W, "end"],
    [144, I.BPF_DW, "keys"],
  ],
  [BPF_PROG_TYPE_SOCKET_FILTER]: [
    [0, I.BPF_W, "number"],
    [48, I.BPF_W, "number"],
    [16, I.BPF_W, "number"],
  ],
  [BPF_PROG_TYPE_SK_LOOKUP]: [
    [8, I.BPF_W, "number"],
    [36, I.BPF_H, "number"],
    [60, I.BPF_W, "number"],
  ],
};

/** Thrown to give up on a piece. */
const NOTHING_FITS: unique symbol = Symbol("nothing fits");
const ACCUMULATOR = 0;
const ARRAY_VALUE_SIZE = 64;
const MAX_PIECES = 24;

function insn(opcode: number, dst: number, src: number, off: number, imm: number): Instruction {
  return { opcode, dst, src, off, imm };
}

class Generator {
  readonly #random: Random;
  readonly #type: number;
  readonly #parts: Part[] = [];
  readonly #kinds: Kind[] = Array.from({ length: I.MAX_BPF_REG }, () => "none" as Kind);
  /** Where labels are, by number; undefined: not yet. */
  readonly #labels: number[] = [];
  readonly #open: number[] = [];
  /** What counts the rounds of the loop that is being written; -1: there is none. */
  #counter: number = -1;
  /** What registers hold on the way of a jump, by label. */
  readonly #held: Kind[][] = [];

  constructor(random: Random, type: number) {
    this.#random = random;
    this.#type = type;
    this.#kinds[1] = "ctx";
    this.#kinds[10] = "stack";
  }

  generate(): Instruction[] {
    const random = this.#random;
    this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_X, 6, 1, 0, 0));
    this.#kinds[6] = "ctx";
    if (random.chance(95)) this.#loadFields();
    this.#emit(insn(I.BPF_JMP | I.BPF_CALL, 0, 0, 0, 7));
    this.#clobber("number");
    const pieces = 3 + random.below(MAX_PIECES);
    for (let i = 0; i < pieces; i++) {
      try {
        this.#piece();
      } catch (error) {
        if (error !== NOTHING_FITS) throw error;
      }
      while (this.#open.length > 0 && random.chance(25)) this.#close();
    }
    while (this.#open.length > 0) this.#close();
    if (random.chance(90))
      this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_K, 0, 0, 0, random.below(2)));
    this.#emit(insn(I.BPF_JMP | I.BPF_EXIT, 0, 0, 0, 0));
    return this.#assemble();
  }

  #emit(part: Part): void {
    this.#parts.push(part);
  }

  /** A jump forward, to where the label will be. */
  #forward(jump: Instruction): void {
    const label = this.#labels.length;
    this.#labels.push(-1);
    this.#open.push(label);
    this.#held[label] = this.#kinds.slice();
    this.#emit({ jump, label });
  }

  #close(): void {
    const label = this.#open.splice(this.#random.below(this.#open.length), 1)[0];
    if (label === undefined) return;
    this.#labels[label] = this.#parts.length;
    for (const [i, kind] of this.#held[label]?.entries() ?? []) {
      if (this.#kinds[i] !== kind) this.#kinds[i] = "none";
    }
  }

  /** A register that should hold one of these; where none does, one that is made to. */
  #register(...kinds: readonly Kind[]): number {
    const fitting = this.#kinds.flatMap((kind, i) => (kinds.includes(kind) ? [i] : []));
    if (this.#random.chance(1)) return this.#random.below(11);
    if (fitting.length > 0) return this.#random.pick(fitting);
    if (!kinds.includes("number")) throw NOTHING_FITS;
    const register = this.#target();
    this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_K, register, 0, 0, this.#constant()));
    this.#kinds[register] = "number";
    return register;
  }

  #target(): number {
    const targets = [0, 2, 3, 4, 5, 7, 8, 9].filter((register) => register !== this.#counter);
    return this.#random.pick(targets);
  }

  #constant(): number {
    return this.#random.chance(80) ? this.#random.pick(CONSTANTS) : this.#random.u32() | 0;
  }

  #loadFields(): void {
    for (const [off, size, kind] of FIELDS[this.#type] ?? []) {
      const dst = kind === "packet" ? 7 : kind === "end" ? 8 : 9;
      this.#emit(insn(I.BPF_LDX | I.BPF_MEM | size, dst, 6, off, 0));
      this.#kinds[dst] = kind;
    }
  }

  #piece(): void {
    const pieces: readonly (readonly [number, () => void])[] = [
      [8, () => this.#move()],
      [14, () => this.#arithmetic()],
      [14, () => this.#compare()],
      [12, () => this.#stack()],
      [10, () => this.#packet()],
      [8, () => this.#lookup()],
      [10, () => this.#value()],
      [6, () => this.#bounded()],
      [4, () => this.#keys()],
      [4, () => this.#field()],
      [4, () => this.#helper()],
      [3, () => this.#loop()],
      [3, () => this.#atomic()],
      [3, () => this.#extend()],
    ];
    const total = pieces.reduce((sum, [weight]) => sum + weight, 0);
    let at = this.#random.below(total);
    for (const [weight, make] of pieces) {
      if (at < weight) {
        make();
        return;
      }
      at -= weight;
    }
  }

  #move(): void {
    const dst = this.#target();
    const code = this.#random.chance(75) ? I.BPF_ALU64 : I.BPF_ALU;
    if (this.#random.chance(50)) {
      this.#emit(insn(code | I.BPF_MOV | I.BPF_K, dst, 0, 0, this.#constant()));
      this.#kinds[dst] = "number";
      return;
    }
    const src = this.#register("number", "packet", "stack", "value", "value?");
    this.#emit(insn(code | I.BPF_MOV | I.BPF_X, dst, src, 0, 0));
    this.#kinds[dst] = code === I.BPF_ALU64 ? (this.#kinds[src] as Kind) : "number";
  }

  #arithmetic(): void {
    const operation = this.#random.pick(OPERATIONS);
    const code = this.#random.chance(65) ? I.BPF_ALU64 : I.BPF_ALU;
    const dst = this.#register("number");
    if (dst === I.BPF_REG_10) return;
    if (this.#random.chance(8)) {
      const pointer = this.#register("packet", "value");
      if (pointer === I.BPF_REG_10) return;
      const imm = this.#random.below(16) - 4;
      this.#emit(insn(I.BPF_ALU64 | I.BPF_ADD | I.BPF_K, pointer, 0, 0, imm));
      return;
    }
    if (this.#random.chance(55)) {
      const isShift =
        operation === I.BPF_LSH || operation === I.BPF_RSH || operation === I.BPF_ARSH;
      const width = code === I.BPF_ALU64 ? 64 : 32;
      let imm = isShift ? this.#random.below(width) : this.#constant();
      if (imm === 0 && (operation === I.BPF_DIV || operation === I.BPF_MOD)) imm = 3;
      this.#emit(insn(code | operation | I.BPF_K, dst, 0, 0, imm));
    } else {
      const src = this.#register("number");
      const off =
        (operation === I.BPF_DIV || operation === I.BPF_MOD) && this.#random.chance(30) ? 1 : 0;
      this.#emit(insn(code | operation | I.BPF_X, dst, src, off, 0));
    }
  }

  #compare(): void {
    const code = this.#random.chance(65) ? I.BPF_JMP : I.BPF_JMP32;
    const operation = this.#random.pick(CONDITIONS);
    const dst = this.#register("number");
    const byRegister = this.#random.chance(35);
    const src = byRegister ? this.#register("number") : 0;
    const imm = byRegister ? 0 : this.#constant();
    this.#forward(insn(code | operation | (byRegister ? I.BPF_X : I.BPF_K), dst, src, 0, imm));
  }

  #offset(): number {
    return -8 * (1 + this.#random.below(6));
  }

  #stack(): void {
    const size = this.#random.pick(SIZES);
    const bytes = BYTES[size] as number;
    let off = this.#offset() + bytes * this.#random.below(8 / bytes);
    if (this.#random.chance(2)) off += this.#random.below(40) - 8;
    const choice = this.#random.below(10);
    if (choice < 2) {
      this.#emit(insn(I.BPF_ST | I.BPF_MEM | size, 10, 0, off, this.#constant()));
    } else if (choice < 6) {
      const kinds: Kind[] =
        size === I.BPF_DW ? ["number", "packet", "value", "value?", "end"] : ["number"];
      this.#emit(insn(I.BPF_STX | I.BPF_MEM | size, 10, this.#register(...kinds), off, 0));
    } else {
      const dst = this.#target();
      const mode = size !== I.BPF_DW && this.#random.chance(20) ? I.BPF_MEMSX : I.BPF_MEM;
      this.#emit(insn(I.BPF_LDX | mode | size, dst, 10, off, 0));
      this.#kinds[dst] = "number";
    }
  }

  /** Looks whether some bytes are there, and perhaps reads them. */
  #packet(): void {
    const random = this.#random;
    if (this.#type !== BPF_PROG_TYPE_XDP && this.#type !== BPF_PROG_TYPE_FLOW_DISSECTOR) return;
    const pointer = this.#register("packet");
    const count = 1 + random.below(24);
    if (random.chance(60)) {
      const end = this.#register("end");
      const probe = this.#target();
      this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_X, probe, pointer, 0, 0));
      this.#kinds[probe] = "packet";
      this.#emit(insn(I.BPF_ALU64 | I.BPF_ADD | I.BPF_K, probe, 0, 0, count));
      const isForward = random.chance(75);
      const good = isForward ? [I.BPF_JGT, I.BPF_JGE] : [I.BPF_JLT, I.BPF_JLE];
      const operation = random.pick(random.chance(92) ? good : CONDITIONS);
      const [a, b] = isForward ? [probe, end] : [end, probe];
      this.#forward(insn(I.BPF_JMP | operation | I.BPF_X, a, b, 0, 0));
    } else if (random.chance(85)) {
      return;
    }
    const size = random.pick(SIZES);
    const off = random.below(count) - (BYTES[size] as number) + (random.chance(90) ? 1 : 2);
    if (off < 0 && random.chance(95)) return;
    if (random.chance(85)) {
      const dst = this.#target();
      const at = Math.max(off, random.chance(5) ? -2 : 0);
      this.#emit(insn(I.BPF_LDX | I.BPF_MEM | size, dst, pointer, at, 0));
      this.#kinds[dst] = "number";
    } else {
      this.#emit(
        insn(I.BPF_STX | I.BPF_MEM | size, pointer, this.#register("number"), Math.max(off, 0), 0),
      );
    }
  }

  #lookup(): void {
    const random = this.#random;
    const map = random.below(2);
    const off = this.#offset();
    if (random.chance(90)) {
      const size = map === 0 ? I.BPF_W : I.BPF_DW;
      if (random.chance(50)) {
        this.#emit(insn(I.BPF_ST | I.BPF_MEM | size, 10, 0, off, random.below(6)));
      } else {
        this.#emit(insn(I.BPF_STX | I.BPF_MEM | size, 10, this.#register("number"), off, 0));
      }
    }
    this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_X, 2, 10, 0, 0));
    this.#emit(insn(I.BPF_ALU64 | I.BPF_ADD | I.BPF_K, 2, 0, 0, off));
    this.#emit(insn(I.BPF_LD_IMM64, 1, I.BPF_PSEUDO_MAP_FD, 0, map));
    this.#emit(insn(0, 0, 0, 0, 0));
    this.#emit(insn(I.BPF_JMP | I.BPF_CALL, 0, 0, 0, 1));
    this.#clobber("value?");
    if (!random.chance(85)) return;
    const dst = random.pick([7, 8, 9, 0]);
    this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_X, dst, 0, 0, 0));
    const tested = random.chance(50) ? dst : 0;
    this.#kinds[dst] = "none";
    this.#kinds[ACCUMULATOR] = "none";
    this.#forward(insn(I.BPF_JMP | I.BPF_JEQ | I.BPF_K, tested, 0, 0, 0));
    this.#kinds[dst] = "value";
    this.#kinds[ACCUMULATOR] = "value";
  }

  #clobber(result: Kind): void {
    for (let i = 0; i <= 5; i++) this.#kinds[i] = "none";
    this.#kinds[0] = result;
  }

  #value(): void {
    const random = this.#random;
    const pointer = this.#register("value");
    const size = random.pick(SIZES);
    const off = random.below(ARRAY_VALUE_SIZE - (random.chance(90) ? 16 : 0));
    if (random.chance(50)) {
      const dst = this.#target();
      this.#emit(insn(I.BPF_LDX | I.BPF_MEM | size, dst, pointer, off, 0));
      this.#kinds[dst] = "number";
    } else {
      this.#emit(insn(I.BPF_STX | I.BPF_MEM | size, pointer, this.#register("number"), off, 0));
    }
  }

  /** A number that is bounded, added to a pointer, and an access there. */
  #bounded(): void {
    const random = this.#random;
    const number = this.#register("number");
    const base = this.#register("value", "value", "packet", "stack");
    if (number === I.BPF_REG_10) return;
    const limit = random.pick([7, 8, 15, 16, 31, 32, 47, 48, 55, 56, 63, 64]);
    const how = random.below(4);
    const code = random.chance(60) ? I.BPF_ALU64 : I.BPF_ALU;
    const jump = code === I.BPF_ALU64 ? I.BPF_JMP : I.BPF_JMP32;
    if (how === 0) this.#emit(insn(code | I.BPF_AND | I.BPF_K, number, 0, 0, limit));
    if (how === 1) this.#forward(insn(jump | I.BPF_JGT | I.BPF_K, number, 0, 0, limit));
    if (how === 2) this.#forward(insn(jump | I.BPF_JSGT | I.BPF_K, number, 0, 0, limit));
    if (how === 2) this.#forward(insn(jump | I.BPF_JSLT | I.BPF_K, number, 0, 0, 0));
    if (how === 3) {
      this.#emit(insn(code | I.BPF_RSH | I.BPF_K, number, 0, 0, code === I.BPF_ALU ? 26 : 58));
    }
    const dst = random.pick([2, 3, 4, 5, 7, 9]);
    const kind = this.#kinds[base] as Kind;
    this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_X, dst, base, 0, 0));
    const operation = random.chance(85) ? I.BPF_ADD : I.BPF_SUB;
    this.#emit(insn(I.BPF_ALU64 | operation | I.BPF_X, dst, number, 0, 0));
    this.#kinds[dst] = kind;
    const size = kind === "stack" && random.chance(85) ? I.BPF_B : random.pick(SIZES);
    const off =
      kind === "stack" ? -80 + random.below(random.chance(90) ? 16 : 80) : random.below(12);
    this.#emit(insn(I.BPF_LDX | I.BPF_MEM | size, random.pick([0, 3]), dst, off, 0));
    this.#kinds[0] = "number";
  }

  #keys(): void {
    if (this.#type !== BPF_PROG_TYPE_FLOW_DISSECTOR) return;
    const pointer = this.#register("keys");
    const size = this.#random.pick(SIZES);
    const off = this.#random.below(58) - (BYTES[size] as number) + 1;
    if (this.#random.chance(40)) {
      this.#emit(insn(I.BPF_LDX | I.BPF_MEM | size, this.#target(), pointer, off, 0));
    } else {
      this.#emit(insn(I.BPF_STX | I.BPF_MEM | size, pointer, this.#register("number"), off, 0));
    }
  }

  #field(): void {
    const [off, size, kind] = this.#random.pick(FIELDS[this.#type] ?? [[0, I.BPF_W, "number"]]);
    const dst = this.#target();
    const isOdd = this.#random.chance(4);
    this.#emit(
      insn(
        I.BPF_LDX | I.BPF_MEM | (isOdd ? this.#random.pick(SIZES) : size),
        dst,
        this.#register("ctx"),
        off + (isOdd ? this.#random.below(5) : 0),
        0,
      ),
    );
    this.#kinds[dst] = kind;
  }

  #helper(): void {
    const random = this.#random;
    const hasSkb =
      this.#type === BPF_PROG_TYPE_SOCKET_FILTER || this.#type === BPF_PROG_TYPE_FLOW_DISSECTOR;
    const id = random.pick(hasSkb ? [5, 7, 8, 26, 26, 6] : [5, 7, 8, 7, 6]);
    if (id === 26 || id === 6) {
      const off = this.#offset();
      const buffer = id === 26 ? 3 : 1;
      const size = random.chance(70) ? random.pick([1, 4, 8, 16]) : this.#constant();
      this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_X, buffer, 10, 0, 0));
      this.#emit(insn(I.BPF_ALU64 | I.BPF_ADD | I.BPF_K, buffer, 0, 0, off));
      if (random.chance(60)) {
        this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_K, buffer + 1, 0, 0, size));
      } else {
        const src = this.#register("number");
        this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_X, buffer + 1, src, 0, 0));
        this.#emit(insn(I.BPF_ALU64 | I.BPF_AND | I.BPF_K, buffer + 1, 0, 0, 7));
        if (random.chance(60))
          this.#emit(insn(I.BPF_ALU64 | I.BPF_ADD | I.BPF_K, buffer + 1, 0, 0, 1));
      }
      if (id === 26) {
        this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_X, 1, 6, 0, 0));
        this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_K, 2, 0, 0, random.below(20)));
      }
    }
    this.#emit(insn(I.BPF_JMP | I.BPF_CALL, 0, 0, 0, id));
    this.#clobber("number");
  }

  /** A loop of a few rounds, or of unknown many. */
  #loop(): void {
    const random = this.#random;
    const counter = random.pick([7, 9, 0]);
    this.#emit(insn(I.BPF_ALU64 | I.BPF_MOV | I.BPF_K, counter, 0, 0, 0));
    this.#counter = counter;
    // Rounds that change the counter come to a million instructions, in vain.
    this.#kinds[counter] = random.chance(1) ? "number" : "none";
    const label = this.#labels.length;
    this.#labels.push(this.#parts.length);
    const count = random.below(3);
    for (let i = 0; i < count; i++) {
      if (random.chance(50)) this.#arithmetic();
      else this.#stack();
    }
    if (!random.chance(1)) this.#emit(insn(I.BPF_ALU64 | I.BPF_ADD | I.BPF_K, counter, 0, 0, 1));
    const operation = random.pick([I.BPF_JLT, I.BPF_JNE, I.BPF_JSLT]);
    const limit = random.pick([2, 5, 10, 33]);
    this.#emit({ jump: insn(I.BPF_JMP | operation | I.BPF_K, counter, 0, 0, limit), label });
    this.#kinds[counter] = "number";
    this.#counter = -1;
  }

  #atomic(): void {
    const size = this.#random.pick([I.BPF_W, I.BPF_DW]);
    const onStack = this.#random.chance(60);
    const pointer = onStack ? 10 : this.#register("value", "packet");
    const off = onStack ? this.#offset() : 8 * this.#random.below(8);
    const imm = this.#random.pick([
      I.BPF_ADD,
      I.BPF_ADD | I.BPF_FETCH,
      I.BPF_OR,
      I.BPF_XCHG,
      I.BPF_CMPXCHG,
    ]);
    this.#emit(insn(I.BPF_STX | I.BPF_ATOMIC | size, pointer, this.#register("number"), off, imm));
  }

  /** Extends a sign, swaps bytes or negates. */
  #extend(): void {
    const dst = this.#register("number");
    if (dst === I.BPF_REG_10) return;
    const choice = this.#random.below(3);
    if (choice === 0) {
      const code = this.#random.pick([I.BPF_ALU, I.BPF_ALU64]);
      const off = this.#random.pick(code === I.BPF_ALU ? [8, 16] : [8, 16, 32]);
      this.#emit(insn(code | I.BPF_MOV | I.BPF_X, dst, this.#register("number"), off, 0));
    } else if (choice === 1) {
      this.#emit(
        insn(I.BPF_ALU | I.BPF_END | I.BPF_TO_BE, dst, 0, 0, this.#random.pick([16, 32, 64])),
      );
    } else {
      this.#emit(insn(this.#random.pick([I.BPF_ALU, I.BPF_ALU64]) | I.BPF_NEG, dst, 0, 0, 0));
    }
  }

  #assemble(): Instruction[] {
    return this.#parts.map((part, at) => {
      if (!("jump" in part)) return part;
      const target = this.#labels[part.label] as number;
      return { ...part.jump, off: target - at - 1 };
    });
  }
}

/** The program that comes of a random number. */
export function randomProgram(random: Random): RandomProgram {
  const { type, attachType } = random.pick(TYPES);
  return { type, attachType, instructions: new Generator(random, type).generate() };
}
