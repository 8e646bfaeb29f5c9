/**
 * The loop over a batch of packets, in WebAssembly: for each packet it makes keys and context,
 * calls the program that is attached now, and brings the offsets in the keys within the packet.
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

// Parameters and locals of the function below.
const CELL = 0;
const CONTEXT = 1;
const FRAME = 2;
const DESCRIPTOR_AT = 3;
const RECORD_AT = 4;
const COUNT = 5;
const INDEX = 6;
const STATE_AT = 7;
const ENTRY = 8;
const END = 9;
const LEAST = 10;
const VALUE = 11;

type KeysField = keyof typeof FLOW_KEYS;
type DescriptorField = keyof typeof DESCRIPTOR;

/** What the module exports. */
export interface BatchExports {
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
 * The module that exports `batch`.
 *
 * @param shared - whether other threads have the memory as well.
 */
export function batchModule(shared: boolean): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importMemory("memory", shared);
  module.importTable("table");
  const program = module.type([I32, I32, I32], [I64]);
  const type = module.type([I32, I32, I32, I32, I32, I32], []);
  const index = module.add(type, [{ count: 6, type: I32 }], batchCode(program));
  module.export("batch", index);
  return module.build().bytes;
}

function batchCode(program: number): Code {
  const code = new Code();
  const again = code.open("loop");
  startRun(code, FRAME, STATE_AT);
  put(code, "i32.store", STATE_AT, stateField("done"), () => code.get(INDEX));
  const next = code.open("block");
  code.get(CELL);
  code.access("i32.load", 0);
  code.tee(ENTRY);
  code.op("i32.eqz");
  code.open("if");
  put(code, "i32.store", RECORD_AT, RECORD.verdict, () => code.i32(VERDICT.none));
  code.branch("br", next);
  code.end();
  writeKeys(code);
  writeContext(code);
  writeRegions(code);
  put(code, "i64.store32", RECORD_AT, RECORD.retval, () => {
    code.get(CONTEXT);
    // As tail calls do: see tail_call.ts.
    code.get(ENTRY);
    code.get(FRAME);
    code.get(ENTRY);
    code.callIndirect(program);
  });
  clampOffsets(code);
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

function described(code: Code, load: Op, name: DescriptorField): void {
  code.get(DESCRIPTOR_AT);
  code.access(load, DESCRIPTOR[name]);
}

/** What a program finds in its keys: see resetKeys() in net/flow_dissector.ts. */
function writeKeys(code: Code): void {
  for (let at = 0; at < BPF_FLOW_KEYS_SIZE; at += 8) {
    put(code, "i64.store", RECORD_AT, at, () => code.i64(0));
  }
  const field = (store: Op, name: KeysField, load: Op, from: DescriptorField): void =>
    put(code, store, RECORD_AT, FLOW_KEYS[name][0], () => described(code, load, from));
  field("i32.store16", "nhoff", "i32.load16_u", "network_offset");
  field("i32.store16", "thoff", "i32.load16_u", "network_offset");
  field("i32.store16", "n_proto", "i32.load16_u", "protocol");
  field("i32.store", "flags", "i32.load", "flags");
}

function pushEnd(code: Code): void {
  described(code, "i32.load", "address");
  described(code, "i32.load", "length");
  code.op("i32.add");
}

function writeContext(code: Code): void {
  put(code, "i32.store", CONTEXT, SK_BUFF.data, () => described(code, "i32.load", "address"));
  put(code, "i32.store", CONTEXT, SK_BUFF.data_end, () => pushEnd(code));
  put(code, "i32.store", CONTEXT, SK_BUFF.flow_keys, () => code.get(RECORD_AT));
}

/** What a hardened program may touch: the packet, to read, and the keys. No socket buffer. */
function writeRegions(code: Code): void {
  put(code, "i32.store", STATE_AT, stateField("skb_tail"), () => code.i32(0));
  const field = (index: number, word: number, value: () => void): void => {
    const offset = stateField("regions") + index * REGION_BYTES + 4 * word;
    put(code, "i32.store", STATE_AT, offset, value);
  };
  field(0, 0, () => described(code, "i32.load", "address"));
  field(0, 1, () => described(code, "i32.load", "length"));
  field(0, 2, () => code.i32(0));
  field(1, 0, () => code.get(RECORD_AT));
  field(1, 1, () => code.i32(BPF_FLOW_KEYS_SIZE));
  field(1, 2, () => code.i32(1));
}

/** See clampOffsets() in net/flow_dissector.ts. */
function clampOffsets(code: Code): void {
  /** Leaves the value on top if it compares so with another one, which is left otherwise. */
  const unless = (compare: Op, pushOther: () => void): void => {
    code.tee(VALUE);
    pushOther();
    code.get(VALUE);
    pushOther();
    code.op(compare, "select");
  };
  described(code, "i32.load", "length");
  unless("i32.lt_u", () => code.i32(MAX_OFFSET));
  code.set(END);
  described(code, "i32.load16_u", "network_offset");
  code.set(LEAST);
  for (const name of ["nhoff", "thoff"] as const) {
    const offset = FLOW_KEYS[name][0];
    code.get(RECORD_AT);
    code.access("i32.load16_u", offset);
    unless("i32.gt_u", () => code.get(LEAST));
    unless("i32.lt_u", () => code.get(END));
    code.set(LEAST);
    put(code, "i32.store16", RECORD_AT, offset, () => code.get(LEAST));
  }
}
