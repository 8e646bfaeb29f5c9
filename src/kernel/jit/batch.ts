/**
 * How a packet gets to a flow dissector, in WebAssembly: one packet makes keys and context, calls
 * the program, and brings the offsets in the keys within the packet; a loop does so for a batch,
 * each packet of which meets the program that is attached at its turn.
 */

import { BPF_FLOW_KEYS_SIZE, FLOW_KEYS } from "../../abi/flow_keys.ts";
import { OF_ETHERNET } from "../net/dissector.ts";
import { MAX_OFFSET, SK_BUFF } from "../net/flow_dissector.ts";
import { KEYS_OFFSET } from "../net/packet_area.ts";
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

/** Where an Ethernet header has its EtherType. */
const ETHERTYPE_OFFSET = 12;

/** Which locals of a function say where a packet is; all are i32. */
interface PacketLocals {
  readonly context: number;
  readonly frame: number;
  /** An address, and what the keys are from it. */
  readonly base: number;
  readonly keys: number;
  readonly length: number;
  /** Where the network header is, a u16, and above it its EtherType, in network order. */
  readonly header: number;
  readonly flags: number;
  /** Address of the run's state. */
  readonly state: number;
  /** Table index of the program. */
  readonly entry: number;
  /** For a short time only. */
  readonly least: number;
  readonly end: number;
  readonly value: number;
}

const DISSECT_PARAMETERS: readonly number[] = [I32, I32, I32, I32, I32, I32, I32];
const DISSECT_LOCALS = [{ count: 5, type: I32 }] as const;
// Parameters of `dissect` that are made a header of.
const NETWORK_OFFSET = 3;
const PROTOCOL = 4;
const DISSECT: PacketLocals = {
  context: 0,
  frame: 1,
  base: 0,
  keys: KEYS_OFFSET,
  length: 2,
  flags: 5,
  entry: 6,
  header: 7,
  state: 8,
  least: 9,
  end: 10,
  value: 11,
};

// Parameters and locals of `batch`.
const CELL = 0;
const DESCRIPTOR_AT = 3;
const RECORD_AT = 4;
const COUNT = 5;
const INDEX = 6;
const PACKET = 8;
const BATCH_PARAMETERS: readonly number[] = [I32, I32, I32, I32, I32, I32];
const BATCH_LOCALS = [{ count: 10, type: I32 }] as const;
const BATCH: PacketLocals = {
  context: 1,
  frame: 2,
  base: RECORD_AT,
  // Keys come first in a record.
  keys: 0,
  entry: 7,
  length: 9,
  header: 10,
  flags: 11,
  state: 12,
  least: 13,
  end: 14,
  value: 15,
};

/** What the module exports. */
export interface BatchExports {
  /**
   * Runs a packet. Keys are right after the context, which has the addresses of packet and keys
   * already.
   *
   * @param networkOffset - u16. @param protocol - u16, in host order, or OF_ETHERNET.
   * @param entry - table index of the program.
   * @returns what the program returned, as s32.
   */
  readonly dissect: (
    context: number,
    frame: number,
    length: number,
    networkOffset: number,
    protocol: number,
    flags: number,
    entry: number,
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

/** How the module is made. */
export interface BatchOptions {
  /** Programs look in the state for what they may touch. */
  readonly hardened: boolean;
  /** Programs count instructions. */
  readonly counted: boolean;
  /** Other threads have the memory as well. */
  readonly shared: boolean;
}

/** The module that exports `dissect` and `batch`. */
export function batchModule(options: BatchOptions): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importMemory("memory", options.shared);
  module.importTable("table");
  const program = module.type([I32, I32, I32], [I64]);
  const dissectType = module.type(DISSECT_PARAMETERS, [I32]);
  const dissect = module.add(dissectType, DISSECT_LOCALS, dissectCode(program, options));
  module.export("dissect", dissect);
  const batchType = module.type(BATCH_PARAMETERS, []);
  const batch = module.add(batchType, BATCH_LOCALS, batchCode(program, options));
  module.export("batch", batch);
  return module.build().bytes;
}

function dissectCode(program: number, { hardened, counted }: BatchOptions): Code {
  const code = new Code();
  startRun(code, { frame: DISSECT.frame, state: DISSECT.state, counted });
  const pushPacket = (): void => {
    code.get(DISSECT.context);
    code.access("i32.load", SK_BUFF.data);
  };
  makeHeader(code, pushPacket);
  writeKeys(code, DISSECT);
  writeEnd(code, DISSECT, pushPacket);
  if (hardened) writeRegions(code, DISSECT, pushPacket);
  callProgram(code, DISSECT, program);
  clampOffsets(code, DISSECT);
  return code;
}

/** Puts together what a descriptor of a batch has in one word. */
function makeHeader(code: Code, pushPacket: () => void): void {
  code.get(PROTOCOL);
  code.i32(OF_ETHERNET);
  code.op("i32.eq");
  code.open("if", I32);
  pushPacket();
  code.access("i32.load16_u", ETHERTYPE_OFFSET);
  code.i32(16);
  code.op("i32.shl");
  code.else();
  code.get(PROTOCOL);
  code.i32(24);
  code.op("i32.shl");
  code.get(PROTOCOL);
  code.i32(0xff00);
  code.op("i32.and");
  code.i32(8);
  code.op("i32.shl", "i32.or");
  code.end();
  code.get(NETWORK_OFFSET);
  code.op("i32.or");
  code.set(DISSECT.header);
}

function batchCode(program: number, { hardened, counted }: BatchOptions): Code {
  const code = new Code();
  const again = code.open("loop");
  startRun(code, { frame: BATCH.frame, state: BATCH.state, counted });
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
  const described = (local: number, name: keyof typeof DESCRIPTOR): void => {
    code.get(DESCRIPTOR_AT);
    code.access("i32.load", DESCRIPTOR[name]);
    code.set(local);
  };
  described(PACKET, "address");
  described(BATCH.length, "length");
  // The EtherType comes right after it.
  described(BATCH.header, "network_offset");
  described(BATCH.flags, "flags");
  writeKeys(code, BATCH);
  const pushPacket = (): void => code.get(PACKET);
  put(code, "i32.store", BATCH.context, SK_BUFF.data, pushPacket);
  writeEnd(code, BATCH, pushPacket);
  put(code, "i32.store", BATCH.context, SK_BUFF.flow_keys, () => code.get(RECORD_AT));
  if (hardened) writeRegions(code, BATCH, pushPacket);
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

/**
 * What a program finds in its keys: see resetKeys() in net/flow_dissector.ts. Eight bytes at a
 * time, with what is known of them.
 */
function writeKeys(code: Code, { base, keys, header, flags }: PacketLocals): void {
  const known: Readonly<Record<number, () => void>> = {
    [FLOW_KEYS.nhoff[0]]: () => {
      pushNetworkOffset(code, header);
      // The same for thoff, which comes right after it.
      code.i32(0x10001);
      code.op("i32.mul");
    },
    [FLOW_KEYS.is_encap[0]]: () => {
      code.get(header);
      code.i32(0xffff_0000 | 0);
      code.op("i32.and");
    },
    [FLOW_KEYS.flags[0]]: () => code.get(flags),
  };
  for (let at = 0; at < BPF_FLOW_KEYS_SIZE; at += 8) {
    const word = known[at];
    put(code, "i64.store", base, keys + at, () => {
      if (word === undefined) {
        code.i64(0);
      } else {
        word();
        code.op("i64.extend_i32_u");
      }
    });
  }
}

function pushNetworkOffset(code: Code, header: number): void {
  code.get(header);
  code.i32(0xffff);
  code.op("i32.and");
}

function writeEnd(code: Code, { context, length }: PacketLocals, pushPacket: () => void): void {
  put(code, "i32.store", context, SK_BUFF.data_end, () => {
    pushPacket();
    code.get(length);
    code.op("i32.add");
  });
}

/** What a hardened program may touch: the packet, to read, and the keys. */
function writeRegions(code: Code, locals: PacketLocals, pushPacket: () => void): void {
  const { state, length, base, keys } = locals;
  const field = (index: number, word: number, value: () => void): void => {
    const offset = stateField("regions") + index * REGION_BYTES + 4 * word;
    put(code, "i32.store", state, offset, value);
  };
  field(0, 0, pushPacket);
  field(0, 1, () => code.get(length));
  field(0, 2, () => code.i32(0));
  field(1, 0, () => {
    code.get(base);
    code.i32(keys);
    code.op("i32.add");
  });
  field(1, 1, () => code.i32(BPF_FLOW_KEYS_SIZE));
  field(1, 2, () => code.i32(1));
}

/** See clampOffsets() in net/flow_dissector.ts. Most programs leave nothing to be done. */
function clampOffsets(code: Code, locals: PacketLocals): void {
  const { base, keys, length, header, least, end, value } = locals;
  const load = (name: "nhoff" | "thoff"): void => {
    code.get(base);
    code.access("i32.load16_u", keys + FLOW_KEYS[name][0]);
  };
  load("nhoff");
  code.tee(value);
  pushNetworkOffset(code, header);
  code.op("i32.lt_u");
  load("thoff");
  code.tee(end);
  code.get(value);
  code.op("i32.lt_u", "i32.or");
  code.get(end);
  code.get(length);
  code.op("i32.gt_u", "i32.or");
  code.open("if");
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
  pushNetworkOffset(code, header);
  code.set(least);
  for (const name of ["nhoff", "thoff"] as const) {
    load(name);
    unless("i32.gt_u", () => code.get(least));
    unless("i32.lt_u", () => code.get(end));
    code.set(least);
    put(code, "i32.store16", base, keys + FLOW_KEYS[name][0], () => code.get(least));
  }
  code.end();
}
