/**
 * Which registers are known to hold a map, a function, or a pointer to the context or the stack, so
 * that what is done with them can be written in place: within a block, and over a whole function
 * for registers that are set once.
 */

import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CLASS,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  BPF_LD_IMM64,
  BPF_LDX,
  BPF_MODE,
  BPF_MOV,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_REG_0,
  BPF_REG_1,
  BPF_REG_5,
  BPF_REG_6,
  BPF_REG_10,
  BPF_STX,
  BPF_X,
  MAX_BPF_REG,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import { type Block, nextSlot } from "./cfg.ts";

/** What a register holds. */
type Known =
  | { readonly kind: "map"; readonly map: BpfMap }
  /** A function, by its first slot. */
  | { readonly kind: "function"; readonly slot: number }
  | { readonly kind: "context" }
  /** r10 plus an offset. */
  | { readonly kind: "stack"; readonly offset: number };

const CONTEXT: Known = { kind: "context" };
const STACK_TOP: Known = { kind: "stack", offset: 0 };

/** Knowledge of the registers at one point of a function. */
export class KnownValues {
  readonly #maps: readonly BpfMap[];
  /** What is known everywhere. */
  #always: readonly (Known | null)[] = [];
  #atEntry: (Known | null)[] = [];
  #now: (Known | null)[] = [];

  /** @param maps - those that the program names. */
  constructor(maps: readonly BpfMap[]) {
    this.#maps = maps;
  }

  /**
   * Looks at a function as a whole.
   *
   * @param hasContext - whether r1 is the context where it begins, and nowhere else can lead there.
   */
  prepare(insns: readonly Instruction[], blocks: readonly Block[], hasContext: boolean): void {
    const always = new Array<Known | null>(MAX_BPF_REG).fill(null);
    const isSet = new Array<boolean>(MAX_BPF_REG).fill(false);
    always[BPF_REG_10] = STACK_TOP;
    this.#always = always;
    this.#atEntry = [...always];
    if (hasContext) this.#atEntry[BPF_REG_1] = CONTEXT;
    blocks.forEach(({ start, end }, number) => {
      // What a register is copied from is known in the first block, which comes before all others.
      this.#now = number === 0 ? [...this.#atEntry] : [];
      for (let slot = start; slot < end; ) {
        const insn = insns[slot] as Instruction;
        this.after(insn, slot);
        for (const register of writtenBy(insn)) {
          // Calls leave nothing in the others.
          if (register < BPF_REG_6 || register === BPF_REG_10) continue;
          always[register] = isSet[register] === true ? null : (this.#now[register] ?? null);
          isSet[register] = true;
        }
        slot = nextSlot(insn, slot);
      }
    });
  }

  /** @param isEntry - whether it is the block that the function begins with. */
  enterBlock(isEntry: boolean): void {
    this.#now = [...(isEntry ? this.#atEntry : this.#always)];
  }

  /** Takes an instruction into account that was just done. */
  after(insn: Instruction, slot: number): void {
    if (BPF_CLASS(insn.opcode) === BPF_JMP) {
      this.#now.fill(null, BPF_REG_0, BPF_REG_5 + 1);
      return;
    }
    for (const register of writtenBy(insn)) this.#now[register] = this.#result(insn, slot);
  }

  /** The map that a register points to; null when that isn't known. */
  map(register: number): BpfMap | null {
    const known = this.#now[register];
    return known?.kind === "map" ? known.map : null;
  }

  /** The first slot of the function that a register names; null when that isn't known. */
  function(register: number): number | null {
    const known = this.#now[register];
    return known?.kind === "function" ? known.slot : null;
  }

  isContext(register: number): boolean {
    return this.#now[register]?.kind === "context";
  }

  /** How far from r10 a register points; null when that isn't known. */
  stackOffset(register: number): number | null {
    const known = this.#now[register];
    return known?.kind === "stack" ? known.offset : null;
  }

  /** What is in the register that an instruction sets. */
  #result({ opcode, dst, src, off, imm }: Instruction, slot: number): Known | null {
    if (opcode === MOVE && off === 0) return this.#now[src] ?? null;
    if (opcode === ADD_IMMEDIATE) {
      const known = this.#now[dst];
      return known?.kind === "stack" ? { kind: "stack", offset: known.offset + imm } : null;
    }
    if (opcode !== BPF_LD_IMM64) return null;
    if (src === BPF_PSEUDO_FUNC) return { kind: "function", slot: slot + 1 + imm };
    if (src !== BPF_PSEUDO_MAP_FD && src !== BPF_PSEUDO_MAP_IDX) return null;
    const map = this.#maps.find(({ address }) => address === imm >>> 0);
    return map === undefined ? null : { kind: "map", map };
  }
}

const ADD_IMMEDIATE = BPF_ALU64 | BPF_ADD | BPF_K;
const MOVE = BPF_ALU64 | BPF_MOV | BPF_X;

/**
 * Registers that an instruction sets, at most two: those of an atomic operation are counted as if
 * it set all that one may.
 */
export function writtenBy({ opcode, dst, src }: Instruction): readonly number[] {
  switch (BPF_CLASS(opcode)) {
    case BPF_ALU:
    case BPF_ALU64:
    case BPF_LDX:
      return [dst];
    case BPF_LD:
      return [opcode === BPF_LD_IMM64 ? dst : BPF_REG_0];
    case BPF_JMP:
      return [BPF_REG_0];
    case BPF_STX:
      return BPF_MODE(opcode) === BPF_ATOMIC ? [BPF_REG_0, dst, src] : [];
    default:
      return [];
  }
}
