/**
 * Atomic operations: RFC 9669, section 5.3, and Linux's load-acquire and store-release. One program
 * runs at a time here, so what is left of atomicity is the order of the parts.
 */

import {
  BPF_ADD,
  BPF_AND,
  BPF_ATOMIC,
  BPF_CLASS,
  BPF_CMPXCHG,
  BPF_DW,
  BPF_FETCH,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MEM,
  BPF_MODE,
  BPF_OR,
  BPF_REG_0,
  BPF_SIZE,
  BPF_STORE_REL,
  BPF_STX,
  BPF_W,
  BPF_XCHG,
  BPF_XOR,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { decodeLoadStore } from "./load_store.ts";
import type { Step } from "./step.ts";

/** What is stored, from what was there and the source register. */
type Update = (old: bigint, operand: bigint) => bigint;

const UPDATES: ReadonlyMap<number, Update> = new Map<number, Update>([
  [BPF_ADD, (old, operand) => old + operand],
  [BPF_OR, (old, operand) => old | operand],
  [BPF_AND, (old, operand) => old & operand],
  [BPF_XOR, (old, operand) => old ^ operand],
  [BPF_XCHG, (_old, operand) => operand],
]);

/** A step for an atomic operation, or null when the instruction is none. */
export function decodeAtomic(insn: Instruction, slot: number): Step | null {
  const { opcode, imm } = insn;
  if (BPF_CLASS(opcode) !== BPF_STX || BPF_MODE(opcode) !== BPF_ATOMIC) return null;
  const width = BPF_SIZE(opcode);
  if (imm === BPF_LOAD_ACQ) return decodeLoadStore(plain(insn, BPF_LDX), slot, undefined);
  if (imm === BPF_STORE_REL) return decodeLoadStore(plain(insn, BPF_STX), slot, undefined);
  if (width !== BPF_W && width !== BPF_DW) return null;
  if (imm === BPF_CMPXCHG) return compareAndExchange(insn, slot);
  const update = UPDATES.get(imm === BPF_XCHG ? imm : imm & ~BPF_FETCH);
  return update === undefined ? null : readModifyWrite(insn, slot, update);
}

/** The load or store that orders nothing. */
function plain(insn: Instruction, instructionClass: number): Instruction {
  return { ...insn, opcode: instructionClass | BPF_MEM | BPF_SIZE(insn.opcode) };
}

function readModifyWrite(insn: Instruction, slot: number, update: Update): Step {
  const { dst, src, off, imm } = insn;
  const memory = cell(BPF_SIZE(insn.opcode));
  const fetch = (imm & BPF_FETCH) !== 0;
  const next = slot + 1;
  return (run) => {
    const address = run.address(dst, off);
    run.checkAtomic(address, memory.size);
    const old = memory.get(run.view, address);
    memory.set(run.view, address, update(old, run.registers.get(src)));
    if (fetch) run.registers.set(src, old);
    return next;
  };
}

/** r0 is what to compare with, and gets what was there. */
function compareAndExchange(insn: Instruction, slot: number): Step {
  const { dst, src, off } = insn;
  const memory = cell(BPF_SIZE(insn.opcode));
  const next = slot + 1;
  return (run) => {
    const { registers } = run;
    const address = run.address(dst, off);
    run.checkAtomic(address, memory.size);
    const old = memory.get(run.view, address);
    const expected = BigInt.asUintN(8 * memory.size, registers.get(BPF_REG_0));
    if (old === expected) memory.set(run.view, address, registers.get(src));
    registers.set(BPF_REG_0, old);
    return next;
  };
}

/** Access to 4 or 8 bytes as an unsigned number; what is set is cut to that width. */
interface Cell {
  readonly size: number;
  readonly get: (view: DataView, address: number) => bigint;
  readonly set: (view: DataView, address: number, value: bigint) => void;
}

function cell(width: number): Cell {
  if (width === BPF_DW) {
    return {
      size: 8,
      get: (view, address) => view.getBigUint64(address, true),
      set: (view, address, value) => view.setBigUint64(address, value, true),
    };
  }
  return {
    size: 4,
    get: (view, address) => BigInt(view.getUint32(address, true)),
    set: (view, address, value) => view.setUint32(address, Number(BigInt.asUintN(32, value)), true),
  };
}
