/**
 * Outputs of bpf(2) that are another number on each kernel, put into labels: ids and inodes. What
 * no two runs have alike (times, the order of hashes) is blotted out.
 */

import * as attr from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { EFAULT, ENOSPC } from "../../src/abi/errno.ts";
import { BTF_INFO, LINK_INFO, MAP_INFO, PROG_INFO } from "../../src/abi/info.ts";
import type { Field } from "../../src/abi/layout.ts";
import { UNLIKE_IN_PROG_INFO, UNLIKE_IN_TEXT } from "./explained.ts";
import { type Facts, HASHES, type ObjectKind, type ObjectTable } from "./objects.ts";
import type { BpfOperation } from "./operation.ts";
import type { Placed } from "./subject.ts";

/** A block after the call. */
interface Found {
  readonly placed: Placed;
  readonly bytes: Uint8Array;
}

/** A call that has returned. */
export interface Returned {
  readonly objects: ObjectTable;
  readonly operation: BpfOperation;
  readonly result: number;
  /** The object that the command was about. */
  readonly subject: Facts | null;
  readonly attr: Uint8Array;
  /** Possible CPUs. */
  readonly cpus: number;
  /** The block that a slot points to. */
  readonly blockAt: (offset: number, of?: Placed) => Found | null;
}

/** Put in the place of a label, so that it is no small number by accident. */
const LABEL_BASE = 0x4c00_0000;
/** In the place of what is not compared. */
const BLOT = 0x2a;

/** Which objects a walk over ids is about. */
export const WALKS: ReadonlyMap<number, ObjectKind> = new Map([
  [bpf.BPF_PROG_GET_NEXT_ID, "prog"],
  [bpf.BPF_MAP_GET_NEXT_ID, "map"],
  [bpf.BPF_LINK_GET_NEXT_ID, "link"],
  [bpf.BPF_BTF_GET_NEXT_ID, "btf"],
]);

/** Rewrites a call's outputs in place. */
export function translate(returned: Returned): void {
  const { operation, objects, subject, blockAt } = returned;
  const walked = WALKS.get(operation.cmd);
  if (walked !== undefined && returned.result === 0) {
    putLabels(objects, walked, returned.attr, attr.GET_NEXT_ID.next_id[0]);
  }
  switch (operation.cmd) {
    case bpf.BPF_PROG_QUERY: {
      if (returned.result < 0 && returned.result !== -ENOSPC && returned.result !== -EFAULT) return;
      const ids = blockAt(attr.PROG_QUERY.prog_ids[0]);
      for (let at = 0; ids !== null && at < ids.bytes.length; at += 4) {
        putLabels(objects, "prog", ids.bytes, at);
      }
      // A part of an id, before the end of the memory.
      ids?.bytes.fill(BLOT, ids.bytes.length & ~3);
      return;
    }
    case bpf.BPF_PROG_TEST_RUN:
      blotChanged(returned, attr.TEST_RUN.duration);
      return;
    case bpf.BPF_MAP_LOOKUP_ELEM:
      if (subject?.type !== bpf.BPF_MAP_TYPE_PROG_ARRAY) return;
      putIn(objects, "prog", blockAt(attr.MAP_ELEM.value[0]), 0);
      return;
    case bpf.BPF_MAP_GET_NEXT_KEY:
      if (subject === null || !HASHES.has(subject.type) || returned.result !== 0) return;
      blotBlock(blockAt(attr.MAP_GET_NEXT_KEY.next_key[0]));
      return;
    case bpf.BPF_MAP_LOOKUP_BATCH:
    case bpf.BPF_MAP_LOOKUP_AND_DELETE_BATCH:
      if (subject !== null && HASHES.has(subject.type)) sortElements(returned, subject);
      return;
    case bpf.BPF_OBJ_GET_INFO_BY_FD:
      if (returned.result === 0 && subject !== null) translateInfo(returned, subject);
      return;
  }
}

function translateInfo(returned: Returned, { kind }: Facts): void {
  const { objects, blockAt, attr: call } = returned;
  const info = blockAt(attr.OBJ_GET_INFO.info[0]);
  if (info === null) return;
  const { placed, bytes } = info;
  // A part of an id can't be told.
  const [lengthAt] = attr.OBJ_GET_INFO.info_len;
  if (call.length < lengthAt + 4) return;
  const length = new DataView(call.buffer).getUint32(lengthAt, true);
  bytes.fill(BLOT, length & ~3, length);
  switch (kind) {
    case "link":
      putIn(objects, "link", info, LINK_INFO.id[0]);
      putIn(objects, "prog", info, LINK_INFO.prog_id[0]);
      putInode(objects, bytes, LINK_INFO.netns_ino[0]);
      return;
    case "map":
      putIn(objects, "map", info, MAP_INFO.id[0]);
      putIn(objects, "btf", info, MAP_INFO.btf_id[0]);
      return;
    case "btf":
      putIn(objects, "btf", info, BTF_INFO.id[0]);
      return;
    case "prog":
      putIn(objects, "prog", info, PROG_INFO.id[0]);
      putIn(objects, "btf", info, PROG_INFO.btf_id[0]);
      putIn(objects, "map", blockAt(PROG_INFO.map_ids[0], placed), 0);
      for (const { fields } of UNLIKE_IN_PROG_INFO) {
        for (const field of fields) blotField(bytes, field);
      }
      return;
  }
}

/** Elements come in the order of their hashes, whose seed is random. */
function sortElements({ attr: call, blockAt, cpus }: Returned, facts: Facts): void {
  const { keySize, type } = facts;
  const keys = blockAt(attr.MAP_BATCH.keys[0])?.bytes;
  const values = blockAt(attr.MAP_BATCH.values[0])?.bytes;
  if (keys === undefined || values === undefined || keySize === 0) return;
  const perCpu = type === bpf.BPF_MAP_TYPE_PERCPU_HASH || type === bpf.BPF_MAP_TYPE_LRU_PERCPU_HASH;
  const valueSize = perCpu ? Math.ceil(facts.valueSize / 8) * 8 * cpus : facts.valueSize;
  const view = new DataView(call.buffer, call.byteOffset, call.byteLength);
  const [countAt] = attr.MAP_BATCH.count;
  const count = call.length < countAt + 4 ? 0 : view.getUint32(countAt, true);
  const fitting = Math.min(
    count,
    Math.floor(keys.length / keySize),
    valueSize === 0 ? count : Math.floor(values.length / valueSize),
  );
  const elements = Array.from({ length: fitting }, (_, i) => ({
    key: keys.slice(i * keySize, (i + 1) * keySize),
    value: values.slice(i * valueSize, (i + 1) * valueSize),
  }));
  elements.sort((a, b) => Buffer.compare(a.key, b.key));
  for (const [i, { key, value }] of elements.entries()) {
    keys.set(key, i * keySize);
    values.set(value, i * valueSize);
  }
}

function putLabels(objects: ObjectTable, kind: ObjectKind, bytes: Uint8Array, at: number): void {
  if (at + 4 > bytes.length) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const label = objects.labelOf(kind, view.getUint32(at, true));
  if (label !== null) view.setUint32(at, LABEL_BASE + label, true);
}

function putIn(objects: ObjectTable, kind: ObjectKind, found: Found | null, at: number): void {
  if (found !== null) putLabels(objects, kind, found.bytes, at);
}

function putInode(objects: ObjectTable, bytes: Uint8Array, at: number): void {
  if (at + 4 > bytes.length) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const inode = view.getUint32(at, true);
  const label = objects.inodeLabel(inode);
  if (label !== inode) view.setUint32(at, LABEL_BASE + label, true);
}

function blotField(bytes: Uint8Array, [offset, type]: Field<"u32" | "u64">): void {
  if (offset < bytes.length) bytes.fill(BLOT, offset, offset + (type === "u32" ? 4 : 8));
}

function blotBlock(found: Found | null): void {
  found?.bytes.fill(BLOT);
}

/** Blots a field of the attr out when the call has written there. */
function blotChanged({ attr: call, operation }: Returned, field: Field<"u32">): void {
  const [at] = field;
  const given = operation.attr?.slots?.findLast(([offset]) => offset === at)?.[2] ?? 0;
  if (at + 4 > call.length) return;
  const view = new DataView(call.buffer, call.byteOffset, call.byteLength);
  if (view.getUint32(at, true) !== given) blotField(call, field);
}

/** fdinfo and names of files, with labels for ids. */
export function translateText(objects: ObjectTable, text: string): string {
  const named = (kind: ObjectKind) => (_: string, field: string, id: string) =>
    `${field}:\t${objects.labelOf(kind, Number(id)) ?? `unknown ${id}`}`;
  return UNLIKE_IN_TEXT.reduce((kept, { pattern }) => kept.replace(pattern, "$1"), text)
    .replace(/^(link_id):\t(\d+)$/gm, named("link"))
    .replace(/^(prog_id):\t(\d+)$/gm, named("prog"))
    .replace(/^(map_id):\t(\d+)$/gm, named("map"))
    .replace(/^(btf_id):\t(\d+)$/gm, named("btf"))
    .replace(/^(netns_ino):\t(\d+)$/gm, (_, field, inode) => {
      return `${field}:\t${objects.inodeLabel(Number(inode))}`;
    })
    .replaceAll(objects.pinDirectory, "@")
    .replaceAll(objects.namePrefix, "");
}
