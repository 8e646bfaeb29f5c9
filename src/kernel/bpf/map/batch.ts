/**
 * The bpf(2) commands about many elements at once. Mirrors generic_map_*_batch() in
 * kernel/bpf/syscall.c and __htab_map_lookup_and_delete_batch() in Linux.
 *
 * A walk of an array goes by keys, a walk of a hash by whole buckets, with the number of the next
 * bucket as its u32 cursor. Prog arrays have no batches, and arrays none that delete.
 */

import { MAP_BATCH } from "../../../abi/attr.ts";
import { BPF_F_LOCK } from "../../../abi/bpf.ts";
import { EFAULT, EINVAL, ENOENT, ENOSPC, ENOTSUPP, EPERM } from "../../../abi/errno.ts";
import type { Attr } from "../../attr.ts";
import type { Task } from "../../task.ts";
import { ArrayMap } from "./array.ts";
import { mapFileFromFd } from "./fd.ts";
import { HashMap } from "./hash.ts";
import { roundUp8 } from "./layout.ts";
import type { BpfMap, MapFile } from "./map.ts";
import { copyFromUser, copyToUser, withScratch } from "./user_bytes.ts";

/** Bytes of a hash walk's cursor. */
const CURSOR_SIZE = 4;

/** BPF_MAP_LOOKUP_BATCH */
export function mapLookupBatch(task: Task, attr: Attr): number {
  const file = mapFileFromFd(task, attr.u32(MAP_BATCH.map_fd));
  if (typeof file === "number") return file;
  if (!file.readable) return -EPERM;
  const { map } = file;
  if (map instanceof HashMap) return walkBuckets(task, attr, map, false);
  return map instanceof ArrayMap ? walkKeys(task, attr, map) : -ENOTSUPP;
}

/** BPF_MAP_LOOKUP_AND_DELETE_BATCH */
export function mapLookupAndDeleteBatch(task: Task, attr: Attr): number {
  const file = writableFile(task, attr);
  if (typeof file === "number") return file;
  if (!file.readable) return -EPERM;
  return file.map instanceof HashMap ? walkBuckets(task, attr, file.map, true) : -ENOTSUPP;
}

/** BPF_MAP_UPDATE_BATCH */
export function mapUpdateBatch(task: Task, attr: Attr): number {
  const file = writableFile(task, attr);
  if (typeof file === "number") return file;
  const { map } = file;
  if (!(map instanceof HashMap || map instanceof ArrayMap)) return -ENOTSUPP;
  const valueSize = map.userValueSize;
  return forEachKey(task, attr, map, valueSize, (key, value, index) => {
    const from = attr.u64(MAP_BATCH.values) + BigInt(index) * BigInt(valueSize);
    const fault = copyFromUser(task, value, from, valueSize);
    if (fault !== 0) return fault;
    map.initFields(value);
    return map.userUpdate(task, key, value, 0);
  });
}

/** BPF_MAP_DELETE_BATCH */
export function mapDeleteBatch(task: Task, attr: Attr): number {
  const file = writableFile(task, attr);
  if (typeof file === "number") return file;
  const { map } = file;
  if (!(map instanceof HashMap)) return -ENOTSUPP;
  return forEachKey(task, attr, map, 0, (key) => map.delete(key));
}

function writableFile(task: Task, attr: Attr): MapFile | number {
  const file = mapFileFromFd(task, attr.u32(MAP_BATCH.map_fd));
  if (typeof file === "number") return file;
  return file.writable ? file : -EPERM;
}

/** BPF_F_LOCK is the only flag, and for maps with a spin lock; nobody else holds one here. */
function hasBadElementFlags(attr: Attr, map: BpfMap): boolean {
  const flags = attr.u64(MAP_BATCH.elem_flags);
  return flags !== 0n && !(flags === BigInt(BPF_F_LOCK) && map.hasField("bpf_spin_lock"));
}

/**
 * Does something with each of the caller's keys until it fails; `count` becomes how often it
 * succeeded. `flags` is not looked at.
 */
function forEachKey(
  task: Task,
  attr: Attr,
  map: BpfMap,
  valueSize: number,
  act: (key: number, value: number, index: number) => number,
): number {
  if (hasBadElementFlags(attr, map)) return -EINVAL;
  const count = attr.u32(MAP_BATCH.count);
  if (count === 0) return 0;
  const { keySize } = map.facts;
  return withScratch(task, roundUp8(keySize) + valueSize, (key) => {
    let done = 0;
    let result = 0;
    while (done < count) {
      const from = attr.u64(MAP_BATCH.keys) + BigInt(done) * BigInt(keySize);
      result = copyFromUser(task, key, from, keySize) || act(key, key + roundUp8(keySize), done);
      if (result !== 0) break;
      done++;
    }
    return attr.put(MAP_BATCH.count, done) === 0 ? result : -EFAULT;
  });
}

/** Reads elements of an array, beginning after the key at `in_batch`. */
function walkKeys(task: Task, attr: Attr, map: ArrayMap): number {
  if (hasBadElementFlags(attr, map)) return -EINVAL;
  const count = attr.u32(MAP_BATCH.count);
  if (count === 0) return 0;
  attr.put(MAP_BATCH.count, 0);
  const { keySize } = map.facts;
  return withScratch(task, keySize, (key) => {
    const start = attr.u64(MAP_BATCH.in_batch);
    if (start !== 0n && copyFromUser(task, key, start, keySize) !== 0) return -EFAULT;
    let previous = start === 0n ? 0 : key;
    let done = 0;
    let result = 0;
    while (done < count) {
      result = map.nextKey(previous, key);
      if (result !== 0) break;
      previous = key;
      if (copyElement(task, attr, map, done, key, map.userLookup(key)) !== 0) return -EFAULT;
      done++;
    }
    attr.put(MAP_BATCH.count, done);
    if (done === 0) return result;
    return copyToUser(task, attr.u64(MAP_BATCH.out_batch), key, keySize) || result;
  });
}

/** Reads whole buckets of a hash, beginning with the one that `in_batch` names. */
function walkBuckets(task: Task, attr: Attr, map: HashMap, deletes: boolean): number {
  if (hasBadElementFlags(attr, map) || attr.u64(MAP_BATCH.flags) !== 0n) return -EINVAL;
  const count = attr.u32(MAP_BATCH.count);
  if (count === 0) return 0;
  attr.put(MAP_BATCH.count, 0);
  let bucket = readCursor(task, attr.u64(MAP_BATCH.in_batch));
  if (bucket < 0) return bucket;
  const { bucketCount, keyOffset, valueOffset } = map.geometry;
  if (bucket >= bucketCount) return -ENOENT;

  let done = 0;
  let result = 0;
  for (; bucket < bucketCount; bucket++) {
    const elements = map.bucket(bucket);
    if (elements.length > count - done) {
      // Not even the first bucket with anything in it fits.
      result = done === 0 ? -ENOSPC : 0;
      break;
    }
    const first = done;
    // Deleting comes before copying: what doesn't arrive is lost.
    if (deletes) for (const element of elements) map.delete(element + keyOffset);
    for (const [i, element] of elements.entries()) {
      const key = element + keyOffset;
      if (copyElement(task, attr, map, first + i, key, element + valueOffset) !== 0) return -EFAULT;
    }
    done += elements.length;
  }
  if (bucket >= bucketCount) result = -ENOENT;
  return (
    writeCursor(task, attr.u64(MAP_BATCH.out_batch), bucket) ||
    attr.put(MAP_BATCH.count, done) ||
    result
  );
}

/** The bucket that a walk begins with: 0 without a cursor. */
function readCursor(task: Task, address: bigint): number {
  if (address === 0n) return 0;
  const bytes = task.memory.read(address, CURSOR_SIZE);
  if (bytes === null) return -EFAULT;
  return new DataView(bytes.buffer, bytes.byteOffset, CURSOR_SIZE).getUint32(0, true);
}

function writeCursor(task: Task, address: bigint, bucket: number): number {
  const bytes = new Uint8Array(CURSOR_SIZE);
  new DataView(bytes.buffer).setUint32(0, bucket, true);
  return task.memory.write(address, bytes) ? 0 : -EFAULT;
}

/** Puts a key and its value at a place of the caller's arrays. 0, or -EFAULT. */
function copyElement(
  task: Task,
  attr: Attr,
  map: BpfMap,
  index: number,
  key: number,
  value: number,
): number {
  const { keySize } = map.facts;
  const size = map.userValueSize;
  map.initFields(value);
  return (
    copyToUser(task, attr.u64(MAP_BATCH.keys) + BigInt(index) * BigInt(keySize), key, keySize) ||
    copyToUser(task, attr.u64(MAP_BATCH.values) + BigInt(index) * BigInt(size), value, size)
  );
}
