/**
 * Which registers are known to hold a map or a function, so that what helpers do with them can be
 * written in place: within a block, and over a whole function for registers that are set once.
 */

import {
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CLASS,
  BPF_JMP,
  BPF_LD,
  BPF_LD_IMM64,
  BPF_LDX,
  BPF_MODE,
  BPF_MOV,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_REG_0,
  BPF_REG_5,
  BPF_REG_6,
  BPF_STX,
  BPF_X,
  MAX_BPF_REG,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import { type Block, nextSlot } from "./cfg.ts";

/** What a register holds: a map, or a function by its first slot. */
type Known = BpfMap | number;

/** Knowledge of the registers at one point of a function. */
export class KnownValues {
  readonly #maps: readonly BpfMap[];
  /** What is known everywhere. */
  #always: readonly (Known | null)[] = [];
  #now: (Known | null)[] = [];

  /** @param maps - those that the program names. */
  constructor(maps: readonly BpfMap[]) {
    this.#maps = maps;
  }

  /** Looks at a function as a whole. */
  prepare(insns: readonly Instruction[], blocks: readonly Block[]): void {
    const always = new Array<Known | null>(MAX_BPF_REG).fill(null);
    const isSet = new Array<boolean>(MAX_BPF_REG).fill(false);
    for (const { start, end } of blocks) {
      for (let slot = start; slot < end; ) {
        const insn = insns[slot] as Instruction;
        for (const register of writtenBy(insn)) {
          // Calls leave nothing in the others.
          if (register < BPF_REG_6) continue;
          always[register] = isSet[register] === true ? null : this.#loadedBy(insn, slot);
          isSet[register] = true;
        }
        slot = nextSlot(insn, slot);
      }
    }
    this.#always = always;
  }

  enterBlock(): void {
    this.#now = [...this.#always];
  }

  /** Takes an instruction into account that was just done. */
  after(insn: Instruction, slot: number): void {
    if (BPF_CLASS(insn.opcode) === BPF_JMP) {
      this.#now.fill(null, BPF_REG_0, BPF_REG_5 + 1);
      return;
    }
    for (const register of writtenBy(insn)) {
      const copied = insn.opcode === MOVE && insn.off === 0;
      const value = copied ? this.#now[insn.src] : this.#loadedBy(insn, slot);
      this.#now[register] = value ?? this.#always[register] ?? null;
    }
  }

  /** The map that a register points to; null when that isn't known. */
  map(register: number): BpfMap | null {
    const known = this.#now[register] ?? null;
    return typeof known === "number" ? null : known;
  }

  /** The first slot of the function that a register names; null when that isn't known. */
  function(register: number): number | null {
    const known = this.#now[register] ?? null;
    return typeof known === "number" ? known : null;
  }

  #loadedBy({ opcode, src, imm }: Instruction, slot: number): Known | null {
    if (opcode !== BPF_LD_IMM64) return null;
    if (src === BPF_PSEUDO_FUNC) return slot + 1 + imm;
    if (src !== BPF_PSEUDO_MAP_FD && src !== BPF_PSEUDO_MAP_IDX) return null;
    return this.#maps.find(({ address }) => address === imm >>> 0) ?? null;
  }
}

const MOVE = BPF_ALU64 | BPF_MOV | BPF_X;

/**
 * Registers that an instruction sets, at most two: those of an atomic operation are counted as if
 * it set all that one may.
 */
function writtenBy({ opcode, dst, src }: Instruction): readonly number[] {
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
