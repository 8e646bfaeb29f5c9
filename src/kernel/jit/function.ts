/**
 * One function of a BPF program as the body of a WebAssembly function: where registers live, and
 * the instructions of its blocks.
 */

import {
  BPF_ALU64,
  BPF_DW,
  BPF_LDX,
  BPF_MEM,
  BPF_MOV,
  BPF_REG_0,
  BPF_REG_1,
  BPF_REG_2,
  BPF_REG_10,
  BPF_X,
  MAX_BPF_STACK,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { findField } from "../bpf/context.ts";
import { MAX_LOOPS } from "../helpers/loop.ts";
import { writeAlu } from "./alu.ts";
import { writeNotReached, writeRangeCheck } from "./assumed.ts";
import { writeAtomic } from "./atomic.ts";
import { writeCall } from "./calls.ts";
import { type Block, buildGraph, countsOf, nextSlot } from "./cfg.ts";
import { seedChecks, writeCheck } from "./check.ts";
import { Code } from "./code.ts";
import { MAX_DISPATCH_BLOCKS, writeDispatched } from "./dispatch.ts";
import { shapeOf } from "./dominators.ts";
import { writeCondition } from "./jump.ts";
import { KnownValues, writtenBy } from "./known_values.ts";
import { writeLegacyPacket } from "./legacy_packet.ts";
import { writeLoadStore } from "./load_store.ts";
import type { Locals } from "./module.ts";
import type { ProgramWriter } from "./program.ts";
import { findRotations, type Rotation } from "./rotate.ts";
import { STACK_MASK, STATE } from "./run_state.ts";
import { clearStack, stackUse } from "./stack.ts";
import { type BlockWriter, writeStructured } from "./structure.ts";
import { I32, I64 } from "./wasm.ts";

/**
 * How a function is entered: as a program, with (r1, r2, frame) as i32, or by a call of a function,
 * with (r1 … r5) as i64 and frame as i32. Both return r0 as i64. A frame is named by its lowest
 * address.
 */
export type Entry = "program" | "function";

/** Locals of registers r0 to r9, and of the frame, by kind of entry. */
const PLACES: Readonly<Record<Entry, { registers: readonly number[]; frame: number }>> = {
  program: { registers: [3, 4, 5, 6, 7, 8, 9, 10, 11, 12], frame: 2 },
  function: { registers: [6, 0, 1, 2, 3, 4, 7, 8, 9, 10], frame: 5 },
};

const MOVE = BPF_ALU64 | BPF_MOV | BPF_X;
const LOAD_DOUBLE_WORD = BPF_LDX | BPF_MEM | BPF_DW;

/** Where instructions aren't counted. */
const NO_COUNTS: ReadonlyMap<number, number> = new Map();

/** What became of a function. */
export interface WrittenFunction {
  readonly locals: readonly Locals[];
  readonly code: Code;
  /** How its control flow was put into WebAssembly's. */
  readonly flow: "structured" | "dispatched";
  /** Slots by where their code begins in the body, ascending. */
  readonly marks: readonly Mark[];
}

/** Where the code of an instruction begins. */
export interface Mark {
  readonly offset: number;
  readonly slot: number;
}

/** Locals, both i32: a region's address, and how far in an access may begin. */
export interface CheckedRegion {
  readonly start: number;
  readonly limit: number;
}

/** Writes a function. */
export class FunctionWriter implements BlockWriter {
  readonly code: Code = new Code();
  readonly program: ProgramWriter;
  readonly insns: readonly Instruction[];
  /** The frame's lowest address: an i32. */
  readonly frame: number;
  /** Locals to compute with: one i64, two i32. */
  readonly wide: number;
  readonly address: number;
  readonly index: number;
  /** Of a hardened program: where the last access was found, by its kind. */
  readonly read: CheckedRegion;
  readonly written: CheckedRegion;
  /** Registers that hold the address of the flow keys, most likely. */
  readonly #keys: Set<number> = new Set();
  /** What is rotated: an i64. */
  readonly #rotated: number;
  /** Rounds by may_goto that are left, and the block to dispatch to. */
  readonly #goto: number;
  readonly #next: number;
  readonly #registers: readonly number[];
  readonly #locals: readonly Locals[];
  readonly #entry: Entry;
  /** The block that the function begins with, if nothing leads back there. */
  #first: Block | null = null;
  readonly known: KnownValues;
  /** The instruction that is being written. */
  slot: number = 0;
  readonly #marks: Mark[] = [];

  constructor(program: ProgramWriter, entry: Entry) {
    this.program = program;
    this.insns = program.insns;
    this.#entry = entry;
    const { registers, frame } = PLACES[entry];
    this.#registers = registers;
    this.frame = frame;
    this.wide = Math.max(...registers) + 1;
    this.#rotated = this.wide + 1;
    this.address = this.wide + 2;
    this.index = this.wide + 3;
    this.#goto = this.wide + 4;
    this.#next = this.wide + 5;
    this.read = { start: this.wide + 6, limit: this.wide + 7 };
    this.written = { start: this.wide + 8, limit: this.wide + 9 };
    const parameters = entry === "program" ? 0 : 5;
    this.#locals = [
      { count: registers.length - parameters + 2, type: I64 },
      { count: 8, type: I32 },
    ];
    this.known = new KnownValues(program.maps);
  }

  /** Writes the function that begins at a slot. Null when engines take no code like it. */
  write(start: number): WrittenFunction | null {
    const { code } = this;
    const blocks = buildGraph(this.insns, start);
    const shape = shapeOf(blocks);
    const isEnteredOnce = shape.isLoopHeader[0] !== 1;
    this.#first = isEnteredOnce ? (blocks[0] ?? null) : null;
    this.known.prepare(this.insns, blocks, isEnteredOnce && this.#entry === "program");
    if (this.#entry === "program") {
      for (const register of [BPF_REG_1, BPF_REG_2]) {
        code.get(register - BPF_REG_1);
        this.set32(register);
      }
    }
    if (this.program.hardened) seedChecks(this);
    clearStack(code, this.frame, stackUse(this.insns, blocks));
    if (this.#usesMayGoto(blocks)) {
      code.i32(MAX_LOOPS + 1);
      code.set(this.#goto);
    }
    if (!shape.reducible && blocks.length > MAX_DISPATCH_BLOCKS) return null;
    if (shape.reducible) writeStructured(blocks, shape, this);
    else writeDispatched(blocks, this, this.#next);
    const flow = shape.reducible ? "structured" : "dispatched";
    return { locals: this.#locals, code, flow, marks: this.#marks };
  }

  // What blocks are made of.

  body(block: Block): void {
    const { start, end } = block;
    this.known.enterBlock(block === this.#first);
    const { assumptions } = this.program;
    if (assumptions !== null && assumptions.reached[start] !== 1) {
      this.#mark(start);
      writeNotReached(this);
      return;
    }
    const rotations = findRotations(this.insns, start, end);
    const counts = this.program.counted ? countsOf(this.insns, block) : NO_COUNTS;
    for (let slot = start; slot < end; ) {
      const insn = this.insns[slot] as Instruction;
      const rotation = rotations.get(slot);
      this.#mark(slot);
      this.#count(counts, slot);
      const range = assumptions?.ranges.get(slot);
      if (range !== undefined) writeRangeCheck(this, range);
      if (rotation?.shift === slot) this.#keep(rotation);
      if (rotation?.slot === slot) this.#rotate(rotation, insn);
      else if (!this.#instruction(insn, slot)) this.trap();
      if (this.program.hardened) this.#followKeys(insn);
      this.known.after(insn, slot);
      slot = nextSlot(insn, slot);
    }
    if (block.terminator.kind === "trap" && this.insns[end] !== undefined) this.#mark(end);
    if (counts.has(end)) {
      this.#mark(end);
      this.#count(counts, end);
    }
  }

  /** Counts the instructions from a slot on, if that is a place to do so. */
  #count(counts: ReadonlyMap<number, number>, slot: number): void {
    const count = counts.get(slot);
    if (count !== undefined) this.program.writeCount(this, count);
  }

  condition(slot: number): void {
    this.#mark(slot);
    writeCondition(this, this.insns[slot] as Instruction);
  }

  exit(): void {
    this.get(BPF_REG_0);
    this.code.op("return");
  }

  trap(): void {
    this.code.op("unreachable");
  }

  round(): void {
    const { hardened, counted } = this.program;
    if (hardened && !counted) this.program.writeRound(this);
  }

  #instruction(insn: Instruction, slot: number): boolean {
    return (
      writeAlu(this, insn) ||
      writeLoadStore(this, insn, slot, this.insns[slot + 1]) ||
      writeAtomic(this, insn) ||
      writeCall(this, insn, slot) ||
      writeLegacyPacket(this, insn)
    );
  }

  #keep({ register }: Rotation): void {
    this.get(register);
    this.code.set(this.#rotated);
  }

  #rotate({ bits }: Rotation, { dst }: Instruction): void {
    this.code.get(this.#rotated);
    this.code.i64(bits);
    this.code.op("i64.rotl");
    this.set(dst);
  }

  #mark(slot: number): void {
    this.slot = slot;
    if (this.program.wantsMarks) this.#marks.push({ offset: this.code.length, slot });
  }

  #usesMayGoto(blocks: readonly Block[]): boolean {
    return blocks.some(({ terminator }) => {
      if (terminator.kind !== "branch") return false;
      return (this.insns[terminator.slot]?.opcode ?? 0) === MAY_GOTO;
    });
  }

  /** Leaves whether may_goto goes: an i32 that is 1 once all {@link MAX_LOOPS} are used up. */
  mayGoto(): void {
    const { code } = this;
    code.get(this.#goto);
    code.i32(1);
    code.op("i32.sub");
    code.tee(this.#goto);
    code.op("i32.eqz");
  }

  // Registers.

  /** Leaves a register as i64. */
  get(register: number): void {
    if (register === BPF_REG_10) {
      this.get32(register);
      this.code.op("i64.extend_i32_u");
    } else {
      this.code.get(this.#local(register));
    }
  }

  /** Leaves the lower half of a register as i32. */
  get32(register: number): void {
    if (register === BPF_REG_10) {
      this.code.get(this.frame);
      this.code.i32(MAX_BPF_STACK);
      this.code.op("i32.add");
    } else {
      this.code.get(this.#local(register));
      this.code.op("i32.wrap_i64");
    }
  }

  /** Sets a register to an i64. */
  set(register: number): void {
    this.code.set(this.#local(register));
  }

  /** Sets a register to an i32, zero-extended. */
  set32(register: number): void {
    this.code.op("i64.extend_i32_u");
    this.set(register);
  }

  #local(register: number): number {
    const local = this.#registers[register];
    if (local === undefined) throw new RangeError(`register: r${register} has no local`);
    return local;
  }

  // Memory.

  /**
   * Leaves the address that an access of `size` bytes at register + `offset` begins with, as i32.
   *
   * @returns what to add to it in the access itself.
   */
  base(register: number, offset: number, size: number, write: boolean): number {
    const { code } = this;
    const fromTop = this.known.stackOffset(register);
    const inFrame = MAX_BPF_STACK + (fromTop ?? 0) + offset;
    if (fromTop !== null && inFrame >= 0 && inFrame + size <= MAX_BPF_STACK) {
      code.get(this.frame);
      return inFrame;
    }
    this.get32(register);
    if (this.program.hardened && !this.#isField(register, offset, size, write)) {
      code.i32(offset);
      code.op("i32.add");
      writeCheck(this, { size, write, isKeys: this.#keys.has(register) });
      return 0;
    }
    if (offset >= 0) return offset;
    code.i32(offset);
    code.op("i32.add");
    return 0;
  }

  /** Whether it is an access to the context that is known to be good. */
  #isField(register: number, offset: number, size: number, write: boolean): boolean {
    const { layout } = this.program;
    if (layout === null || !this.known.isContext(register)) return false;
    return findField(layout, offset, size, write) !== null;
  }

  /**
   * Notes where the flow keys' address goes, block after block as they are written: where control
   * goes otherwise, a check only looks in the wrong place first.
   */
  #followKeys(insn: Instruction): void {
    const { opcode, src, off } = insn;
    const { layout } = this.program;
    const isField = opcode === LOAD_DOUBLE_WORD && layout !== null && this.known.isContext(src);
    const isLoaded = isField && findField(layout, off, 8, false)?.kind === "flow_keys";
    const isCopied = opcode === MOVE && off === 0 && this.#keys.has(src);
    for (const register of writtenBy(insn)) {
      if (isLoaded || isCopied) this.#keys.add(register);
      else this.#keys.delete(register);
    }
  }

  /** Leaves the number of the CPU as i32: always the first, unless several threads run programs. */
  cpu(): void {
    if (!this.program.shared) {
      this.code.i32(0);
      return;
    }
    this.stateBase();
    this.code.access("i32.load", stateField("cpu"));
  }

  /** Leaves the address of the last byte of the stacks, which {@link stateField} counts from. */
  stateBase(): void {
    this.code.get(this.frame);
    this.code.i32(STACK_MASK);
    this.code.op("i32.or");
  }
}

/** Where a field of the state is from what {@link FunctionWriter.stateBase} leaves. */
export function stateField(name: keyof typeof STATE): number {
  return 1 + STATE[name];
}

/** BPF_JMP | BPF_JCOND: there is no other instruction with this opcode. */
export const MAY_GOTO = 0xe5;
