/**
 * Takes out of an operation what could hurt the machine that it runs on, or that takes forever.
 */

import {
  GET_NEXT_ID,
  LINK_CREATE,
  MAP_BATCH,
  MAP_CREATE,
  MAP_ELEM,
  TEST_RUN,
} from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { endOf } from "../../src/abi/layout.ts";
import { CLOSED_FD } from "../contract/case.ts";
import { bytesOfValue, LRU_ENTRIES } from "./generate_map.ts";
import { HASHES, type ObjectTable } from "./objects.ts";
import { type BpfOperation, numberAt, slotAt, withSlot } from "./operation.ts";
import { ALL_LAYOUTS, IS_FD, IS_ID, IS_NUMBER } from "./tamper.ts";
import { WALKS } from "./translate.ts";

const MAX_REPEAT = 16;
/** BPF_F_TEST_XDP_LIVE_FRAMES: the packets would really be sent. */
const LIVE_FRAMES = 2;
/** What a map may take, in bytes; or else so much that no machine has it. */
const MAX_MAP_BYTES = 1 << 13;
/** What Linux has around a key and a value, about. */
const ELEMENT_BYTES = 64;
const ABSURD_MAP_BYTES = 2 ** 46;
const LAST_STANDARD_FD = 2;
const LAST_ID = 0x7ffffffe;
/** What a batch writes to say where it stopped. */
const CURSOR_SIZE = 4;
const LRU: readonly number[] = [bpf.BPF_MAP_TYPE_LRU_HASH, bpf.BPF_MAP_TYPE_LRU_PERCPU_HASH];
/** Attach types that name a device by its number, where a namespace's fd stands otherwise. */
const DEVICE_ATTACH_TYPES: ReadonlySet<number> = new Set([
  bpf.BPF_XDP,
  bpf.BPF_TCX_INGRESS,
  bpf.BPF_TCX_EGRESS,
  bpf.BPF_NETKIT_PRIMARY,
  bpf.BPF_NETKIT_PEER,
]);

/** The operation as it may be carried out. */
export function harmless(drafted: BpfOperation, objects: ObjectTable): BpfOperation {
  const operation = wellPlaced(drafted);
  switch (operation.cmd) {
    case bpf.BPF_PROG_ATTACH:
    case bpf.BPF_PROG_DETACH:
      // Only in a namespace of ours.
      return operation.within === undefined ? { ...operation, cmd: bpf.BPF_PROG_QUERY } : operation;
    case bpf.BPF_LINK_CREATE:
      return withoutDevices(operation);
    case bpf.BPF_PROG_TEST_RUN:
      return briefRun(operation);
    case bpf.BPF_MAP_CREATE:
      return smallMap(operation);
    case bpf.BPF_MAP_LOOKUP_AND_DELETE_BATCH:
      return wholeHash(operation, objects);
    case bpf.BPF_MAP_UPDATE_ELEM:
      return plainValue(operation, objects);
    default:
      return WALKS.has(operation.cmd) ? wholeWalk(operation) : operation;
  }
}

/** An fd or an address where a number belongs would be another number on each kernel. */
function wellPlaced(operation: BpfOperation): BpfOperation {
  const { attr, cmd } = operation;
  const layout = ALL_LAYOUTS[cmd];
  if (attr?.slots === undefined || layout === undefined) return operation;
  const fields = new Map(Object.entries(layout).map(([name, [offset]]) => [offset, name]));
  const slots = attr.slots.filter(([offset, width, value]) => {
    const name = fields.get(offset) ?? "";
    if (typeof value !== "object") return !isSomebodyElses(name, Number(value));
    if ("fd" in value) return IS_FD.test(name);
    if ("id" in value) return IS_ID.test(name);
    return width === 8 && layout[name]?.[1] === "u64" && !IS_NUMBER.test(name);
  });
  const { size, ...whole } = operation;
  const isCut = slots.some(
    ([offset, width, value]) =>
      typeof value === "object" && size !== undefined && offset < size && offset + width > size,
  );
  return { ...(isCut ? whole : operation), attr: { ...attr, slots } };
}

/** An fd is a value in a map of programs only. */
function plainValue(operation: BpfOperation, objects: ObjectTable): BpfOperation {
  const { attr } = operation;
  const value = slotAt(attr, MAP_ELEM.value[0]);
  const map = slotAt(attr, MAP_ELEM.map_fd[0]);
  const facts = typeof map === "object" && "fd" in map ? objects.facts(map.fd) : null;
  const isForProgs = facts === null || facts.type === bpf.BPF_MAP_TYPE_PROG_ARRAY;
  if (attr === null || isForProgs || typeof value !== "object" || !("to" in value)) {
    return operation;
  }
  const { slots: _, ...plain } = value.to;
  return { ...operation, attr: withSlot(attr, [MAP_ELEM.value[0], 8, { to: plain }]) };
}

/** Fds and ids that on Linux may be those of others. */
function isSomebodyElses(field: string, number: number): boolean {
  if (IS_FD.test(field)) return number > LAST_STANDARD_FD && number < CLOSED_FD;
  return IS_ID.test(field) && number > 0 && number < LAST_ID;
}

function withoutDevices(operation: BpfOperation): BpfOperation {
  const { attr } = operation;
  const [at] = LINK_CREATE.attach_type;
  if (attr === null || !DEVICE_ATTACH_TYPES.has(numberAt(attr, at))) return operation;
  return { ...operation, attr: withSlot(attr, [at, 4, bpf.BPF_SK_LOOKUP]) };
}

function briefRun(operation: BpfOperation): BpfOperation {
  let { attr } = operation;
  if (attr === null) return operation;
  const [repeatAt] = TEST_RUN.repeat;
  if (numberAt(attr, repeatAt) > MAX_REPEAT) attr = withSlot(attr, [repeatAt, 4, MAX_REPEAT]);
  const [flagsAt] = TEST_RUN.flags;
  const flags = numberAt(attr, flagsAt);
  if ((flags & LIVE_FRAMES) !== 0) {
    attr = withSlot(attr, [flagsAt, 4, (flags & ~LIVE_FRAMES) >>> 0]);
  }
  return { ...operation, attr };
}

function smallMap(operation: BpfOperation): BpfOperation {
  let { attr } = operation;
  if (attr === null) return operation;
  const type = numberAt(attr, MAP_CREATE.map_type[0]);
  const [entriesAt] = MAP_CREATE.max_entries;
  const entries = numberAt(attr, entriesAt);
  const sizes = [MAP_CREATE.key_size[0], MAP_CREATE.value_size[0]].map((at) => numberAt(attr, at));
  const element = sizes.reduce((sum, size) => sum + size, ELEMENT_BYTES);
  if (element * entries >= ABSURD_MAP_BYTES) return operation;
  const least = LRU.includes(type) && entries > 0 ? LRU_ENTRIES : 1;
  if (element * least > MAX_MAP_BYTES) {
    attr = withSlot(attr, [MAP_CREATE.key_size[0], 4, 4]);
    attr = withSlot(attr, [MAP_CREATE.value_size[0], 4, 8]);
  }
  const isLarge = element * entries > MAX_MAP_BYTES;
  if (isLarge || (entries > 0 && entries < least)) attr = withSlot(attr, [entriesAt, 4, least]);
  return { ...operation, attr };
}

/** Without room for the next id nobody could tell whose it is. */
function wholeWalk({ size: _, attr, ...rest }: BpfOperation): BpfOperation {
  const room = endOf(GET_NEXT_ID);
  return { ...rest, attr: { ...attr, size: Math.max(room, attr?.size ?? 0) } };
}

/** A part of a hash is another part on each kernel: taken out, the rest would differ for good. */
function wholeHash(operation: BpfOperation, objects: ObjectTable): BpfOperation {
  const map = slotAt(operation.attr, MAP_BATCH.map_fd[0]);
  const facts = typeof map === "object" && "fd" in map ? objects.facts(map.fd) : null;
  if (facts === null || !HASHES.has(facts.type)) return operation;
  const isWhole =
    numberAt(operation.attr, MAP_BATCH.count[0]) >= facts.maxEntries &&
    slotAt(operation.attr, MAP_BATCH.in_batch[0]) === undefined;
  const arrives =
    roomAt(operation, MAP_BATCH.out_batch[0]) >= CURSOR_SIZE &&
    roomAt(operation, MAP_BATCH.keys[0]) >= facts.maxEntries * facts.keySize &&
    roomAt(operation, MAP_BATCH.values[0]) >= facts.maxEntries * bytesOfValue(facts);
  return isWhole && arrives ? operation : { ...operation, cmd: bpf.BPF_MAP_UPDATE_BATCH };
}

/** Bytes of the block that a slot points to. */
function roomAt({ attr }: BpfOperation, offset: number): number {
  const value = slotAt(attr, offset);
  return typeof value === "object" && "to" in value ? value.to.size : 0;
}
