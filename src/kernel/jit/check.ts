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
import { type FunctionWriter, stateField } from "./function.ts";
import { headerField } from "./maps.ts";
import type { Locals } from "./module.ts";
import { MAX_REGIONS, REGION_BYTES, STACK_MASK, STACKS_BYTES } from "./run_state.ts";
import { I32 } from "./wasm.ts";

/** Where a region begins that has no room for any access: the last byte of what is addressable. */
const NOWHERE = -1;
/** The widest access: what is checked in place may be as wide as this. */
const WIDEST = 8;

// Parameters and locals of the function below.
const ADDRESS = 0;
const SIZE = 1;
const WRITE = 2;
const FRAME = 3;
const SLOT = 4;
const START = 5;
const LENGTH = 6;
const OFFSET = 7;

/** Locals of {@link checkCode}. */
export const CHECK_LOCALS: readonly Locals[] = [{ count: 3, type: I32 }];

/**
 * The function (address, size, write, frame, slot), all i32, which returns when the access is good.
 * It leaves in the state in which region that was, for the check in place.
 *
 * @param kernel - the function with the same parameters that has the last word.
 */
export function checkCode(maps: readonly BpfMap[], kernel: number): Code {
  const code = new Code();
  for (const [start, length] of [
    [() => stacks(code), () => code.i32(STACKS_BYTES)],
    ...extentsOf(maps).map(
      ({ start, size }) => [() => code.i32(start), () => code.i32(size)] as const,
    ),
  ] as const) {
    returnIfWithin(code, start, length);
  }
  for (let i = 0; i < MAX_REGIONS; i++) {
    const region = stateField("regions") + i * REGION_BYTES;
    const word = (index: number): void => {
      state(code);
      code.access("i32.load", region + 4 * index);
    };
    code.get(WRITE);
    word(2);
    code.op("i32.le_u");
    code.open("if");
    returnIfWithin(
      code,
      () => word(0),
      () => word(1),
    );
    code.end();
  }
  remember(
    code,
    () => code.i32(NOWHERE),
    () => code.i32(0),
  );
  for (const parameter of [ADDRESS, SIZE, WRITE, FRAME, SLOT]) code.get(parameter);
  code.call(kernel);
  return code;
}

/** Leaves what fields of the state are counted from. */
function state(code: Code): void {
  code.get(FRAME);
  code.i32(STACK_MASK);
  code.op("i32.or");
}

/** Leaves the address of the lowest stack. */
function stacks(code: Code): void {
  code.get(FRAME);
  code.i32(~STACK_MASK);
  code.op("i32.and");
}

/** Returns if the access lies in [start, start + length). */
function returnIfWithin(code: Code, start: () => void, length: () => void): void {
  start();
  code.set(START);
  length();
  code.set(LENGTH);
  code.get(ADDRESS);
  code.get(START);
  code.op("i32.sub");
  code.tee(OFFSET);
  code.get(LENGTH);
  code.op("i32.lt_u");
  code.open("if");
  code.get(LENGTH);
  code.get(OFFSET);
  code.op("i32.sub");
  code.get(SIZE);
  code.op("i32.ge_u");
  code.open("if");
  // A region that is less than the widest access is none for the check in place.
  code.get(LENGTH);
  code.i32(WIDEST);
  code.op("i32.ge_u");
  code.open("if");
  remember(
    code,
    () => code.get(START),
    () => {
      code.get(LENGTH);
      code.i32(WIDEST);
      code.op("i32.sub");
    },
  );
  code.else();
  remember(
    code,
    () => code.i32(NOWHERE),
    () => code.i32(0),
  );
  code.end();
  code.op("return");
  code.end();
  code.end();
}

/** Notes a region for the check in place. */
function remember(code: Code, start: () => void, limit: () => void): void {
  state(code);
  start();
  code.access("i32.store", stateField("checked_start"));
  state(code);
  limit();
  code.access("i32.store", stateField("checked_limit"));
}

/** An access to be checked. */
export interface CheckedAccess {
  /** Bytes. */
  readonly size: number;
  readonly write: boolean;
  /** Whether it most likely is one to the flow keys. */
  readonly isKeys: boolean;
}

/**
 * Writes the check in place: takes an address from the stack and leaves it, checked. It looks first
 * in the region where the last access of its kind was found, which is kept in two locals. The keys
 * are where the last write was found, mostly.
 */
export function writeCheck(writer: FunctionWriter, { size, write, isKeys }: CheckedAccess): void {
  const { code, frame, index } = writer;
  const { start, limit } = write || isKeys ? writer.written : writer.read;
  code.tee(index);
  code.get(start);
  code.op("i32.sub");
  code.get(limit);
  code.op("i32.gt_u");
  code.open("if");
  code.get(index);
  code.i32(size);
  code.i32(write ? 1 : 0);
  code.get(frame);
  code.i32(writer.slot);
  code.call(writer.program.check());
  // Where a read was found a write may be forbidden.
  if (write || !isKeys) {
    writer.stateBase();
    code.access("i32.load", stateField("checked_start"));
    code.set(start);
    writer.stateBase();
    code.access("i32.load", stateField("checked_limit"));
    code.set(limit);
  }
  code.end();
  code.get(index);
}

/**
 * Lets a function begin with the first two regions as those where the last accesses were found: the
 * packet is what most programs read, the keys what a dissector writes.
 */
export function seedChecks(writer: FunctionWriter): void {
  const { code, address, index: usable } = writer;
  writer.stateBase();
  code.set(address);
  for (const [{ start, limit }, number] of [
    [writer.read, 0],
    [writer.written, 1],
  ] as const) {
    const word = (index: number): void => {
      code.get(address);
      code.access("i32.load", stateField("regions") + number * REGION_BYTES + 4 * index);
    };
    word(1);
    code.i32(WIDEST);
    code.op("i32.ge_u");
    if (number > 0) {
      word(2);
      code.op("i32.and");
    }
    code.set(usable);
    word(0);
    code.i32(NOWHERE);
    code.get(usable);
    code.op("select");
    code.set(start);
    word(1);
    code.i32(WIDEST);
    code.op("i32.sub");
    code.i32(0);
    code.get(usable);
    code.op("select");
    code.set(limit);
  }
}

/** Places of maps all of whose values may be read and written. */
function extentsOf(maps: readonly BpfMap[]): readonly { start: number; size: number }[] {
  return maps.map(extentOf).filter((extent) => extent !== null);
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
