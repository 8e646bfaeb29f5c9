/**
 * The check of a hardened kernel: whether an access lies within what the program may touch. The
 * stacks, the regions of the run and maps whose values lie side by side are looked through here;
 * about everything else the kernel is asked, which knows each single value.
 */

import {
  BPF_F_NO_PREALLOC,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY_PROG,
  BPF_MAP_TYPE_PROG_ARRAY,
} from "../../abi/bpf.ts";
import { IndexedMap } from "../bpf/map/array.ts";
import { HashMap } from "../bpf/map/hash.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import { Code } from "./code.ts";
import { stateField } from "./function.ts";
import { headerField } from "./maps.ts";
import { MAX_REGIONS, REGION_BYTES, STACK_MASK, STACKS_BYTES } from "./run_state.ts";

// Parameters and local of the function below.
const ADDRESS = 0;
const SIZE = 1;
const WRITE = 2;
const FRAME = 3;
const SLOT = 4;
const OFFSET = 5;

/**
 * The function (address, size, write, frame, slot), all i32, which returns when the access is good.
 * It has one i32 local.
 *
 * @param kernel - the function with the same parameters that has the last word.
 */
export function checkCode(maps: readonly BpfMap[], kernel: number): Code {
  const code = new Code();
  /** Returns if [OFFSET, OFFSET + SIZE) lies in [0, length), length being left by `length`. */
  const returnIfWithin = (length: () => void): void => {
    code.get(OFFSET);
    length();
    code.op("i32.lt_u");
    code.open("if");
    length();
    code.get(OFFSET);
    code.op("i32.sub");
    code.get(SIZE);
    code.op("i32.ge_u");
    code.open("if");
    code.op("return");
    code.end();
    code.end();
  };
  const offsetFrom = (start: () => void): void => {
    code.get(ADDRESS);
    start();
    code.op("i32.sub");
    code.set(OFFSET);
  };
  const state = (offset: number): void => {
    code.get(FRAME);
    code.i32(STACK_MASK);
    code.op("i32.or");
    code.access("i32.load", offset);
  };
  offsetFrom(() => {
    code.get(FRAME);
    code.i32(~STACK_MASK);
    code.op("i32.and");
  });
  returnIfWithin(() => code.i32(STACKS_BYTES));
  for (let i = 0; i < MAX_REGIONS; i++) {
    const region = stateField("regions") + i * REGION_BYTES;
    offsetFrom(() => state(region));
    code.get(WRITE);
    state(region + 8);
    code.op("i32.le_u");
    code.open("if");
    returnIfWithin(() => state(region + 4));
    code.end();
  }
  for (const map of maps) {
    const extent = extentOf(map);
    if (extent === null) continue;
    offsetFrom(() => code.i32(extent.start));
    returnIfWithin(() => code.i32(extent.size));
  }
  for (const parameter of [ADDRESS, SIZE, WRITE, FRAME, SLOT]) code.get(parameter);
  code.call(kernel);
  return code;
}

/** Where the values of a map lie; null when that is not one place, or not all may be touched. */
function extentOf(map: BpfMap): { start: number; size: number } | null {
  const { type, flags, maxEntries } = map.facts;
  if ((flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) !== 0) return null;
  if (type === BPF_MAP_TYPE_PROG_ARRAY) return null;
  const start = headerField(map, "base");
  const stride = headerField(map, "stride");
  if (map instanceof IndexedMap) return { start, size: maxEntries * stride };
  if (!(map instanceof HashMap) || (flags & BPF_F_NO_PREALLOC) !== 0) return null;
  return { start, size: (maxEntries + 1) * stride };
}
