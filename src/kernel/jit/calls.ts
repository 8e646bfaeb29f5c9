/**
 * Calls: of functions of the program, of helpers, and of other programs in a prog array.
 *
 * A helper that is not written in place is called in JavaScript, with its number and the frame;
 * arguments and result go through the state of the run, so that no 64-bit number crosses over.
 */

import { MAX_TAIL_CALL_CNT } from "../../abi/bpf.ts";
import { E2BIG, EINVAL } from "../../abi/errno.ts";
import { BPF_FUNC } from "../../abi/helpers.ts";
import {
  BPF_CALL,
  BPF_CLASS,
  BPF_JMP,
  BPF_OP,
  BPF_PSEUDO_CALL,
  BPF_REG_0,
  BPF_REG_1,
  BPF_REG_2,
  BPF_REG_3,
  BPF_REG_4,
  BPF_REG_5,
  BPF_SRC,
  BPF_X,
  MAX_BPF_STACK,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { MAP_HEADER } from "../bpf/map/layout.ts";
import { PROG_ENTRY_OFFSET, ProgArray } from "../bpf/map/prog_array.ts";
import { MAX_LOOPS } from "../helpers/loop.ts";
import { type FunctionWriter, stateField } from "./function.ts";
import { writeLookup } from "./maps.ts";
import { STACK_MASK } from "./run_state.ts";
import { I64 } from "./wasm.ts";

/** Stands for a helper's number where there is no frame left to call a function in. */
export const NO_FRAME = -1;
/** Stands for a helper's number where a tail call has missed: r2 and r3 say which. */
export const TAIL_CALL_MISSED = -4;
/** Stands for a helper's number where a run has no instructions left. */
export const OVER_LIMIT = -3;
/** Stands for a helper's number where a tail call is to be checked. */
export const CHECK_TAIL_CALL = -2;

const ARGUMENTS = [BPF_REG_1, BPF_REG_2, BPF_REG_3, BPF_REG_4, BPF_REG_5] as const;

/** Writes a call; false when the instruction is none that exists. */
export function writeCall(writer: FunctionWriter, insn: Instruction, slot: number): boolean {
  const { opcode, dst, src, imm } = insn;
  if (BPF_CLASS(opcode) !== BPF_JMP || BPF_OP(opcode) !== BPF_CALL) return false;
  // Linux refuses to load `callx`; the instruction set has it, and it means a helper by number.
  if (BPF_SRC(opcode) === BPF_X) {
    callHelper(writer, () => writer.get32(dst));
    return true;
  }
  if (src === BPF_PSEUDO_CALL) {
    const target = slot + 1 + imm;
    if (writer.insns[target] === undefined) return false;
    for (const register of ARGUMENTS) writer.get(register);
    callFunction(writer, target);
    writer.set(BPF_REG_0);
    return true;
  }
  if (src !== 0) return false;
  if (!writeInPlace(writer, imm)) callHelper(writer, () => writer.code.i32(imm));
  return true;
}

/** Helpers that need no JavaScript here; false when this call does. */
function writeInPlace(writer: FunctionWriter, id: number): boolean {
  switch (id) {
    case BPF_FUNC.tail_call:
      if (writer.program.hardened && !isGoodTailCall(writer)) {
        callHelper(writer, () => writer.code.i32(CHECK_TAIL_CALL));
      }
      writeTailCall(writer);
      return true;
    case BPF_FUNC.map_lookup_elem:
      return writeLookup(writer);
    case BPF_FUNC.loop:
      return writeLoop(writer);
    case BPF_FUNC.get_smp_processor_id:
      writer.cpu();
      writer.set32(BPF_REG_0);
      return true;
    case BPF_FUNC.get_numa_node_id:
      // All CPUs are of one node.
      writer.code.i64(0);
      writer.set(BPF_REG_0);
      return true;
    default:
      return false;
  }
}

function callHelper(writer: FunctionWriter, pushId: () => void): void {
  const { code, address } = writer;
  writer.stateBase();
  code.set(address);
  ARGUMENTS.forEach((register, i) => {
    code.get(address);
    writer.get(register);
    code.access("i64.store", stateField("arguments") + 8 * i);
  });
  pushId();
  code.get(writer.frame);
  code.i32(writer.slot);
  code.call(writer.program.helper);
  writer.stateBase();
  code.access("i64.load", stateField("r0"));
  writer.set(BPF_REG_0);
}

/** Calls a function, its five arguments being left already, in a frame of its own; leaves r0. */
function callFunction(writer: FunctionWriter, slot: number): void {
  const { code, frame } = writer;
  // The lowest frame has none below it.
  code.get(frame);
  code.i32(STACK_MASK);
  code.op("i32.and", "i32.eqz");
  code.open("if");
  code.i32(NO_FRAME);
  code.get(frame);
  code.i32(writer.slot);
  code.call(writer.program.helper);
  code.op("unreachable");
  code.end();
  code.get(frame);
  code.i32(-MAX_BPF_STACK);
  code.op("i32.add");
  code.call(writer.program.function(slot));
}

/** Whether context and prog array are known to be where they should be. */
function isGoodTailCall({ known }: FunctionWriter): boolean {
  return known.isContext(BPF_REG_1) && known.map(BPF_REG_2) instanceof ProgArray;
}

/**
 * bpf_tail_call(ctx, prog_array, index). Which program an index leads to is read from the array, so
 * that an update counts at once. Falls through where there is none, or after too many.
 */
function writeTailCall(writer: FunctionWriter): void {
  const { code, address, index } = writer;
  const field = (name: keyof typeof MAP_HEADER): void => {
    writer.get32(BPF_REG_2);
    code.access("i32.load", MAP_HEADER[name][0]);
  };
  writer.get32(BPF_REG_3);
  code.tee(index);
  field("max_entries");
  code.op("i32.lt_u");
  code.open("if");
  code.get(index);
  field("stride");
  code.op("i32.mul");
  field("base");
  code.op("i32.add");
  code.access("i32.load", PROG_ENTRY_OFFSET);
  code.tee(index);
  code.open("if");
  writer.stateBase();
  code.tee(address);
  code.access("i32.load", stateField("tail_calls"));
  code.i32(MAX_TAIL_CALL_CNT);
  code.op("i32.lt_u");
  code.open("if");
  code.get(address);
  code.get(address);
  code.access("i32.load", stateField("tail_calls"));
  code.i32(1);
  code.op("i32.add");
  code.access("i32.store", stateField("tail_calls"));
  writer.get32(BPF_REG_1);
  code.get(writer.frame);
  code.get(index);
  code.returnCall(writer.program.tail);
  code.end();
  code.end();
  code.end();
  if (writer.program.misses) tellOfMiss(writer);
}

/** A tail call has come back: nothing of this is on the way of one that succeeds. */
function tellOfMiss(writer: FunctionWriter): void {
  const { code, frame } = writer;
  for (const register of [BPF_REG_2, BPF_REG_3]) {
    writer.stateBase();
    writer.get(register);
    code.access("i64.store", stateField("arguments") + 8 * (register - BPF_REG_1));
  }
  code.i32(TAIL_CALL_MISSED);
  code.get(frame);
  code.i32(writer.slot);
  code.call(writer.program.helper);
}

/** bpf_loop(nr_loops, callback, callback_ctx, flags) with a callback that is known. */
function writeLoop(writer: FunctionWriter): boolean {
  const { code, index } = writer;
  const callback = writer.known.function(BPF_REG_2);
  if (callback === null) return false;
  const done = code.open("block", I64);
  code.i64(-EINVAL);
  writer.get(BPF_REG_4);
  code.op("i64.eqz", "i32.eqz");
  code.branch("br_if", done);
  code.op("drop");
  code.i64(-E2BIG);
  writer.get32(BPF_REG_1);
  code.i32(MAX_LOOPS);
  code.op("i32.gt_u");
  code.branch("br_if", done);
  code.op("drop");
  code.i32(0);
  code.set(index);
  const again = code.open("loop");
  writer.round();
  code.get(index);
  code.op("i64.extend_i32_u");
  code.get(index);
  writer.get32(BPF_REG_1);
  code.op("i32.ge_u");
  code.branch("br_if", done);
  code.op("drop");
  code.get(index);
  code.op("i64.extend_i32_u");
  writer.get(BPF_REG_3);
  for (let i = 0; i < 3; i++) code.i64(0);
  callFunction(writer, callback);
  code.get(index);
  code.i32(1);
  code.op("i32.add");
  code.set(index);
  code.op("i64.eqz");
  code.branch("br_if", again);
  code.get(index);
  code.op("i64.extend_i32_u");
  code.branch("br", done);
  code.end();
  code.op("unreachable");
  code.end();
  writer.set(BPF_REG_0);
  return true;
}
