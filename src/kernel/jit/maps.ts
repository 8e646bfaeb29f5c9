/**
 * bpf_map_lookup_elem, written in place for the maps whose elements programs find without help:
 * arrays by an index, hashes by a function of their own for each map.
 */

import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
} from "../../abi/bpf.ts";
import { BPF_REG_0, BPF_REG_1, BPF_REG_2 } from "../../abi/insn.ts";
import { ELEMENT, MAP_HEADER } from "../bpf/map/layout.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import { Code } from "./code.ts";
import type { FunctionWriter } from "./function.ts";
import { compareKeys, hashOfKey, MAX_INLINE_KEY } from "./hash_key.ts";
import type { Locals } from "./module.ts";
import { I32, I64 } from "./wasm.ts";

const ARRAYS: ReadonlySet<number> = new Set([BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY]);
/** An LRU map's lookups change its order, which only the map itself knows. */
const HASHES: ReadonlySet<number> = new Set([BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH]);

/** Writes a lookup; false when it is not known in which map, or the map has to do it itself. */
export function writeLookup(writer: FunctionWriter): boolean {
  const map = writer.known.map(BPF_REG_1);
  if (map === null) return false;
  const { type, keySize } = map.facts;
  if (ARRAYS.has(type)) {
    writeArrayLookup(writer, map);
    return true;
  }
  if (!HASHES.has(type) || keySize > MAX_INLINE_KEY) return false;
  const { code } = writer;
  const offset = writer.base(BPF_REG_2, 0, keySize, false);
  if (offset > 0) {
    code.i32(offset);
    code.op("i32.add");
  }
  code.call(writer.program.lookup(map));
  if (writer.program.shared && headerField(map, "cpu_stride") > 0) {
    // Nothing is added to 0, which says that there is no such element.
    code.tee(writer.index);
    writeCpuOffset(writer, map);
    code.i32(0);
    code.get(writer.index);
    code.op("select", "i32.add");
  }
  writer.set32(BPF_REG_0);
  return true;
}

/** A field of a map's header: it stays as it is for the life of the map. */
export function headerField(map: BpfMap, name: keyof typeof MAP_HEADER): number {
  return map.machine.memory.view.getUint32(map.address + MAP_HEADER[name][0], true);
}

/** Leaves how far the value of this CPU is from that of the first. */
function writeCpuOffset(writer: FunctionWriter, map: BpfMap): void {
  writer.cpu();
  writer.code.i32(headerField(map, "cpu_stride"));
  writer.code.op("i32.mul");
}

/** `r0 = index < max_entries ? base + index * stride : 0`, as Linux writes it in place, too. */
function writeArrayLookup(writer: FunctionWriter, map: BpfMap): void {
  const { code, index } = writer;
  const stride = headerField(map, "stride");
  code.access("i32.load", writer.base(BPF_REG_2, 0, 4, false));
  code.tee(index);
  code.i32(headerField(map, "max_entries"));
  code.op("i32.lt_u");
  code.open("if", I64);
  code.get(index);
  code.i32(stride);
  code.op("i32.mul");
  code.i32(headerField(map, "base"));
  code.op("i32.add");
  if (writer.program.shared && headerField(map, "cpu_stride") > 0) {
    writeCpuOffset(writer, map);
    code.op("i32.add");
  }
  code.op("i64.extend_i32_u");
  code.else();
  code.i64(0);
  code.end();
  writer.set(BPF_REG_0);
}

// Parameter and locals of a hash map's lookup.
const KEY = 0;
const HASH = 1;
const WORD = 2;
const FOUND = 3;

/** Locals of {@link hashLookupCode}. */
export const HASH_LOOKUP_LOCALS: readonly Locals[] = [{ count: 3, type: I32 }];

/** The function (key address) -> value address or 0, both i32, of one hash map. */
export function hashLookupCode(map: BpfMap): Code {
  const code = new Code();
  const { keySize } = map.facts;
  hashOfKey(code, { key: KEY, hash: HASH, word: WORD }, keySize, headerField(map, "seed"));
  // The element's address is loaded from its predecessor, which the bucket's head counts as.
  code.get(HASH);
  code.i32(headerField(map, "bucket_mask"));
  code.op("i32.and");
  code.i32(4);
  code.op("i32.mul");
  code.access("i32.load", headerField(map, "buckets"));
  code.set(FOUND);
  const next = code.open("loop");
  code.get(FOUND);
  code.op("i32.eqz");
  code.open("if");
  code.i32(0);
  code.op("return");
  code.end();
  const differs = code.open("block");
  code.get(FOUND);
  code.access("i32.load", ELEMENT.hash[0]);
  code.get(HASH);
  code.op("i32.ne");
  code.branch("br_if", differs);
  compareKeys(code, FOUND, headerField(map, "key_offset"), KEY, keySize, differs);
  code.get(FOUND);
  code.i32(headerField(map, "value_offset"));
  code.op("i32.add", "return");
  code.end();
  code.get(FOUND);
  code.access("i32.load", ELEMENT.next[0]);
  code.set(FOUND);
  code.branch("br", next);
  code.end();
  code.op("unreachable");
  return code;
}
