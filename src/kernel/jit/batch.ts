/**
 * How a packet gets to a flow dissector, in WebAssembly: one packet makes keys and context, calls
 * the program, and brings the offsets in the keys within the packet; a loop does so for a batch,
 * each packet of which meets the program that is attached at its turn.
 */

import { BPF_FLOW_KEYS_SIZE, FLOW_KEYS } from "../../abi/flow_keys.ts";
import { MAX_OFFSET, SK_BUFF } from "../net/flow_dissector.ts";
import {
  DESCRIPTOR,
  DESCRIPTOR_BYTES,
  RECORD,
  RECORD_BYTES,
  VERDICT,
} from "../net/packet_batch.ts";
import { Code } from "./code.ts";
import { stateField } from "./function.ts";
import { ModuleBuilder } from "./module.ts";
import { startRun } from "./program.ts";
import { REGION_BYTES } from "./run_state.ts";
import { I32, I64, type Op } from "./wasm.ts";

/** Which locals of a function say where a packet is; all are i32. */
interface PacketLocals {
  /** Parameters of `dissect`, see {@link BatchExports}. */
  readonly entry: number;
  readonly context: number;
  readonly frame: number;
  readonly keys: number;
  readonly packet: number;
  readonly length: number;
  readonly networkOffset: number;
  readonly protocol: number;
  readonly flags: number;
  /** Address of the run's state. */
  readonly state: number;
  /** For a short time only. */
  readonly least: number;
  readonly end: number;
  readonly value: number;
}

const DISSECT_PARAMETERS: readonly number[] = [I32, I32, I32, I32, I32, I32, I32, I32, I32];
const DISSECT: PacketLocals = {
  entry: 0,
  context: 1,
  frame: 2,
  keys: 3,
  packet: 4,
  length: 5,
  networkOffset: 6,
  protocol: 7,
  flags: 8,
  state: 9,
  least: 10,
  end: 11,
  value: 12,
};

// Parameters and locals of `batch`.
const CELL = 0;
const DESCRIPTOR_AT = 3;
const RECORD_AT = 4;
const COUNT = 5;
const INDEX = 6;
const BATCH: PacketLocals = {
  context: 1,
  frame: 2,
  // Keys come first in a record.
  keys: RECORD_AT,
  entry: 7,
  packet: 8,
  length: 9,
  networkOffset: 10,
  protocol: 11,
  flags: 12,
  state: 13,
  least: 14,
  end: 15,
  value: 16,
};

/** What the module exports. */
export interface BatchExports {
  /**
   * Runs a packet.
   *
   * @param entry - table index of the program.
   * @param keys - where its flow keys are to be; @param packet - where its bytes are.
   * @param networkOffset - u16, from the packet's first byte.
   * @param protocol - the EtherType, as a u16 that is read from network order in the machine's.
   * @returns what the program returned, as s32.
   */
  readonly dissect: (
    entry: number,
    context: number,
    frame: number,
    keys: number,
    packet: number,
    length: number,
    networkOffset: number,
    protocol: number,
    flags: number,
  ) => number;
  /**
   * Runs packets.
   *
   * @param cell - address of the table index of the program that is attached now; 0: none is.
   * @param descriptor - address of the first packet's; @param record - and of its record.
   * @param count - how many packets, 1 or more; how many are done stands in the state.
   */
  readonly batch: (
    cell: number,
    context: number,
    frame: number,
    descriptor: number,
    record: number,
    count: number,
  ) => void;
}

/**
 * The module that exports `dissect` and `batch`.
 *
 * @param shared - whether other threads have the memory as well.
 */
export function batchModule(shared: boolean): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importMemory("memory", shared);
  module.importTable("table");
  const program = module.type([I32, I32, I32], [I64]);
  const dissectType = module.type(DISSECT_PARAMETERS, [I32]);
  const dissect = module.add(dissectType, [{ count: 4, type: I32 }], dissectCode(program));
  module.export("dissect", dissect);
  const type = module.type([I32, I32, I32, I32, I32, I32], []);
  module.export("batch", module.add(type, [{ count: 11, type: I32 }], batchCode(program)));
  return module.build().bytes;
}

function dissectCode(program: number): Code {
  const code = new Code();
  startRun(code, DISSECT.frame, DISSECT.state);
  beforeRun(code, DISSECT);
  callProgram(code, DISSECT, program);
  clampOffsets(code, DISSECT);
  return code;
}

function batchCode(program: number): Code {
  const code = new Code();
  const again = code.open("loop");
  startRun(code, BATCH.frame, BATCH.state);
  put(code, "i32.store", BATCH.state, stateField("done"), () => code.get(INDEX));
  const next = code.open("block");
  code.get(CELL);
  code.access("i32.load", 0);
  code.tee(BATCH.entry);
  code.op("i32.eqz");
  code.open("if");
  put(code, "i32.store", RECORD_AT, RECORD.verdict, () => code.i32(VERDICT.none));
  code.branch("br", next);
  code.end();
  const described = (local: number, load: Op, name: keyof typeof DESCRIPTOR): void => {
    code.get(DESCRIPTOR_AT);
    code.access(load, DESCRIPTOR[name]);
    code.set(local);
  };
  described(BATCH.packet, "i32.load", "address");
  described(BATCH.length, "i32.load", "length");
  described(BATCH.networkOffset, "i32.load16_u", "network_offset");
  described(BATCH.protocol, "i32.load16_u", "protocol");
  described(BATCH.flags, "i32.load", "flags");
  beforeRun(code, BATCH);
  put(code, "i32.store", RECORD_AT, RECORD.retval, () => callProgram(code, BATCH, program));
  clampOffsets(code, BATCH);
  put(code, "i32.store", RECORD_AT, RECORD.verdict, () => code.i32(VERDICT.returned));
  code.end();
  add(code, DESCRIPTOR_AT, DESCRIPTOR_BYTES);
  add(code, RECORD_AT, RECORD_BYTES);
  add(code, INDEX, 1);
  code.get(INDEX);
  code.get(COUNT);
  code.op("i32.lt_u");
  code.branch("br_if", again);
  code.end();
  return code;
}

function beforeRun(code: Code, locals: PacketLocals): void {
  writeKeys(code, locals);
  writeContext(code, locals);
  writeRegions(code, locals);
}

/** Leaves on top what the program returned. */
function callProgram(code: Code, { context, frame, entry }: PacketLocals, program: number): void {
  code.get(context);
  // As tail calls do: see tail_call.ts.
  code.get(entry);
  code.get(frame);
  code.get(entry);
  code.callIndirect(program);
  code.op("i32.wrap_i64");
}

function put(code: Code, store: Op, base: number, offset: number, value: () => void): void {
  code.get(base);
  value();
  code.access(store, offset);
}

function add(code: Code, local: number, value: number): void {
  code.get(local);
  code.i32(value);
  code.op("i32.add");
  code.set(local);
}

/** What a program finds in its keys: see resetKeys() in net/flow_dissector.ts. */
function writeKeys(code: Code, locals: PacketLocals): void {
  const { keys, networkOffset, protocol, flags } = locals;
  for (let at = 0; at < BPF_FLOW_KEYS_SIZE; at += 8) {
    put(code, "i64.store", keys, at, () => code.i64(0));
  }
  const field = (store: Op, name: keyof typeof FLOW_KEYS, local: number): void =>
    put(code, store, keys, FLOW_KEYS[name][0], () => code.get(local));
  field("i32.store16", "nhoff", networkOffset);
  field("i32.store16", "thoff", networkOffset);
  field("i32.store16", "n_proto", protocol);
  field("i32.store", "flags", flags);
}

function writeContext(code: Code, locals: PacketLocals): void {
  const { context, packet, length, keys } = locals;
  put(code, "i32.store", context, SK_BUFF.data, () => code.get(packet));
  put(code, "i32.store", context, SK_BUFF.data_end, () => {
    code.get(packet);
    code.get(length);
    code.op("i32.add");
  });
  put(code, "i32.store", context, SK_BUFF.flow_keys, () => code.get(keys));
}

/** What a hardened program may touch: the packet, to read, and the keys. No socket buffer. */
function writeRegions(code: Code, locals: PacketLocals): void {
  const { state, packet, length, keys } = locals;
  put(code, "i32.store", state, stateField("skb_tail"), () => code.i32(0));
  const field = (index: number, word: number, value: () => void): void => {
    const offset = stateField("regions") + index * REGION_BYTES + 4 * word;
    put(code, "i32.store", state, offset, value);
  };
  field(0, 0, () => code.get(packet));
  field(0, 1, () => code.get(length));
  field(0, 2, () => code.i32(0));
  field(1, 0, () => code.get(keys));
  field(1, 1, () => code.i32(BPF_FLOW_KEYS_SIZE));
  field(1, 2, () => code.i32(1));
}

/** See clampOffsets() in net/flow_dissector.ts. */
function clampOffsets(code: Code, locals: PacketLocals): void {
  const { keys, length, networkOffset, least, end, value } = locals;
  /** Leaves the value on top if it compares so with another one, which is left otherwise. */
  const unless = (compare: Op, pushOther: () => void): void => {
    code.tee(value);
    pushOther();
    code.get(value);
    pushOther();
    code.op(compare, "select");
  };
  code.get(length);
  unless("i32.lt_u", () => code.i32(MAX_OFFSET));
  code.set(end);
  code.get(networkOffset);
  code.set(least);
  for (const name of ["nhoff", "thoff"] as const) {
    const offset = FLOW_KEYS[name][0];
    code.get(keys);
    code.access("i32.load16_u", offset);
    unless("i32.gt_u", () => code.get(least));
    unless("i32.lt_u", () => code.get(end));
    code.set(least);
    put(code, "i32.store16", keys, offset, () => code.get(least));
  }
}
