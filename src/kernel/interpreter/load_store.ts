/**
 * Loads, stores and 64-bit immediates: RFC 9669, sections 5.1, 5.2 and 5.4. Every access is checked
 * by {@link Run.checkRead} or {@link Run.checkWrite} before it touches memory.
 */

import {
  BPF_B,
  BPF_CLASS,
  BPF_DW,
  BPF_H,
  BPF_LD_IMM64,
  BPF_LDX,
  BPF_MEM,
  BPF_MEMSX,
  BPF_MODE,
  BPF_PSEUDO_FUNC,
  BPF_SIZE,
  BPF_ST,
  BPF_STX,
  BPF_W,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { FUNCTION_TAG } from "../program_run.ts";
import { IMMEDIATE_REGISTER, type Registers } from "./registers.ts";
import type { Step } from "./step.ts";

/** Takes a register's value from memory. */
type Load = (registers: Registers, dst: number, view: DataView, address: number) => void;
/** Puts a register's value into memory. */
type Store = (registers: Registers, src: number, view: DataView, address: number) => void;

/** Bytes of an access, by BPF_SIZE. */
export const ACCESS_BYTES: ReadonlyMap<number, number> = new Map([
  [BPF_B, 1],
  [BPF_H, 2],
  [BPF_W, 4],
  [BPF_DW, 8],
]);

const loadDoubleWord: Load = (registers, dst, view, address) =>
  registers.setHalves(dst, view.getUint32(address, true), view.getUint32(address + 4, true));

const LOADS: ReadonlyMap<number, Load> = new Map<number, Load>([
  [BPF_B, (registers, dst, view, address) => registers.setU32(dst, view.getUint8(address))],
  [BPF_H, (registers, dst, view, address) => registers.setU32(dst, view.getUint16(address, true))],
  [BPF_W, (registers, dst, view, address) => registers.setU32(dst, view.getUint32(address, true))],
  [BPF_DW, loadDoubleWord],
]);

const SIGNED_LOADS: ReadonlyMap<number, Load> = new Map<number, Load>([
  [BPF_B, (registers, dst, view, address) => registers.setS32(dst, view.getInt8(address))],
  [BPF_H, (registers, dst, view, address) => registers.setS32(dst, view.getInt16(address, true))],
  [BPF_W, (registers, dst, view, address) => registers.setS32(dst, view.getInt32(address, true))],
]);

const STORES: ReadonlyMap<number, Store> = new Map<number, Store>([
  [BPF_B, (registers, src, view, address) => view.setUint8(address, registers.low(src))],
  [BPF_H, (registers, src, view, address) => view.setUint16(address, registers.low(src), true)],
  [BPF_W, (registers, src, view, address) => view.setUint32(address, registers.low(src), true)],
  [
    BPF_DW,
    (registers, src, view, address) => {
      view.setUint32(address, registers.low(src), true);
      view.setUint32(address + 4, registers.high(src), true);
    },
  ],
]);

/** A step for a load, a store or a 64-bit immediate; null when the instruction is none. */
export function decodeLoadStore(
  insn: Instruction,
  slot: number,
  following: Instruction | undefined,
): Step | null {
  const { opcode } = insn;
  if (opcode === BPF_LD_IMM64) return following ? loadImmediate(insn, slot, following) : null;
  const mode = BPF_MODE(opcode);
  switch (BPF_CLASS(opcode)) {
    case BPF_LDX:
      if (mode !== BPF_MEM && mode !== BPF_MEMSX) return null;
      return load(insn, slot, (mode === BPF_MEM ? LOADS : SIGNED_LOADS).get(BPF_SIZE(opcode)));
    case BPF_STX:
      return mode === BPF_MEM ? store(insn, slot, insn.src) : null;
    case BPF_ST:
      return mode === BPF_MEM ? storeImmediate(insn, slot) : null;
    default:
      return null;
  }
}

/**
 * `lddw`. Maps and their values have become addresses by now; a function of the program becomes a
 * number that is no address.
 */
function loadImmediate(insn: Instruction, slot: number, following: Instruction): Step {
  const { dst, src, imm } = insn;
  const next = slot + 2;
  if (src === BPF_PSEUDO_FUNC) {
    const target = slot + 1 + imm;
    return (run) => {
      run.registers.setHalves(dst, target, FUNCTION_TAG);
      return next;
    };
  }
  const high = following.imm;
  return (run) => {
    run.registers.setHalves(dst, imm, high);
    return next;
  };
}

function load(insn: Instruction, slot: number, take: Load | undefined): Step | null {
  if (take === undefined) return null;
  const { dst, src, off } = insn;
  const size = ACCESS_BYTES.get(BPF_SIZE(insn.opcode)) ?? 0;
  const next = slot + 1;
  return (run) => {
    const address = run.address(src, off);
    run.checkRead(address, size);
    take(run.registers, dst, run.view, address);
    return next;
  };
}

function store(insn: Instruction, slot: number, src: number): Step | null {
  const put = STORES.get(BPF_SIZE(insn.opcode));
  if (put === undefined) return null;
  const { dst, off } = insn;
  const size = ACCESS_BYTES.get(BPF_SIZE(insn.opcode)) ?? 0;
  const next = slot + 1;
  return (run) => {
    const address = run.address(dst, off);
    run.checkWrite(address, size);
    put(run.registers, src, run.view, address);
    return next;
  };
}

function storeImmediate(insn: Instruction, slot: number): Step | null {
  const step = store(insn, slot, IMMEDIATE_REGISTER);
  if (step === null) return null;
  const { imm } = insn;
  return (run) => {
    run.registers.setS32(IMMEDIATE_REGISTER, imm);
    return step(run);
  };
}
