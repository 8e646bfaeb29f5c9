/**
 * The bpf(2) commands about single elements, and BPF_MAP_FREEZE. Mirrors kernel/bpf/syscall.c in
 * Linux, the order of its checks included.
 */

import { MAP_DELETE_ELEM, MAP_ELEM, MAP_FREEZE, MAP_GET_NEXT_KEY } from "../../../abi/attr.ts";
import { BPF_F_LOCK } from "../../../abi/bpf.ts";
import { EINVAL, ENOENT, ENOTSUPP, EPERM } from "../../../abi/errno.ts";
import type { Attr } from "../../attr.ts";
import type { Task } from "../../task.ts";
import { mapFileFromFd } from "./fd.ts";
import { HashMap } from "./hash.ts";
import { roundUp8 } from "./layout.ts";
import { copyFromUser, copyToUser, withScratch } from "./user_bytes.ts";

export {
  mapDeleteBatch,
  mapLookupAndDeleteBatch,
  mapLookupBatch,
  mapUpdateBatch,
} from "./batch.ts";
export { mapCreate } from "./create.ts";

const LOCK = BigInt(BPF_F_LOCK);

/** BPF_MAP_LOOKUP_ELEM */
export function mapLookupElem(task: Task, attr: Attr): number {
  const flags = attr.u64(MAP_ELEM.flags);
  if ((flags & ~LOCK) !== 0n) return -EINVAL;
  const file = mapFileFromFd(task, attr.u32(MAP_ELEM.map_fd));
  if (typeof file === "number") return file;
  if (!file.readable) return -EPERM;
  const { map } = file;
  if (flags !== 0n && !map.hasField("bpf_spin_lock")) return -EINVAL;
  return withScratch(task, map.facts.keySize, (key) => {
    const fault = copyFromUser(task, key, attr.u64(MAP_ELEM.key), map.facts.keySize);
    if (fault !== 0) return fault;
    const value = map.userLookup(key);
    if (value === 0) return -ENOENT;
    map.initFields(value);
    return copyToUser(task, attr.u64(MAP_ELEM.value), value, map.userValueSize);
  });
}

/** BPF_MAP_UPDATE_ELEM */
export function mapUpdateElem(task: Task, attr: Attr): number {
  const file = mapFileFromFd(task, attr.u32(MAP_ELEM.map_fd));
  if (typeof file === "number") return file;
  if (!file.writable) return -EPERM;
  const flags = attr.u64(MAP_ELEM.flags);
  const { map } = file;
  if ((flags & LOCK) !== 0n && !map.hasField("bpf_spin_lock")) return -EINVAL;
  const { keySize } = map.facts;
  return withScratch(task, roundUp8(keySize) + map.userValueSize, (key) => {
    const value = key + roundUp8(keySize);
    const fault =
      copyFromUser(task, key, attr.u64(MAP_ELEM.key), keySize) ||
      copyFromUser(task, value, attr.u64(MAP_ELEM.value), map.userValueSize);
    if (fault !== 0) return fault;
    map.initFields(value);
    return map.userUpdate(task, key, value, Number(flags & ~LOCK));
  });
}

/** BPF_MAP_DELETE_ELEM */
export function mapDeleteElem(task: Task, attr: Attr): number {
  const file = mapFileFromFd(task, attr.u32(MAP_DELETE_ELEM.map_fd));
  if (typeof file === "number") return file;
  if (!file.writable) return -EPERM;
  const { map } = file;
  return withScratch(task, map.facts.keySize, (key) => {
    const fault = copyFromUser(task, key, attr.u64(MAP_DELETE_ELEM.key), map.facts.keySize);
    return fault === 0 ? map.delete(key) : fault;
  });
}

/** BPF_MAP_GET_NEXT_KEY */
export function mapGetNextKey(task: Task, attr: Attr): number {
  const file = mapFileFromFd(task, attr.u32(MAP_GET_NEXT_KEY.map_fd));
  if (typeof file === "number") return file;
  if (!file.readable) return -EPERM;
  const { map } = file;
  const { keySize } = map.facts;
  return withScratch(task, keySize, (key) => {
    const user = attr.u64(MAP_GET_NEXT_KEY.key);
    const result =
      user === 0n
        ? map.nextKey(0, key)
        : copyFromUser(task, key, user, keySize) || map.nextKey(key, key);
    if (result !== 0) return result;
    return copyToUser(task, attr.u64(MAP_GET_NEXT_KEY.next_key), key, keySize);
  });
}

/** BPF_MAP_LOOKUP_AND_DELETE_ELEM */
export function mapLookupAndDeleteElem(task: Task, attr: Attr): number {
  const flags = attr.u64(MAP_ELEM.flags);
  if ((flags & ~LOCK) !== 0n) return -EINVAL;
  const file = mapFileFromFd(task, attr.u32(MAP_ELEM.map_fd));
  if (typeof file === "number") return file;
  if (!file.readable || !file.writable) return -EPERM;
  const { map } = file;
  if (flags !== 0n && !map.hasField("bpf_spin_lock")) return -EINVAL;
  return withScratch(task, map.facts.keySize, (key) => {
    const fault = copyFromUser(task, key, attr.u64(MAP_ELEM.key), map.facts.keySize);
    if (fault !== 0) return fault;
    if (!(map instanceof HashMap)) return -ENOTSUPP;
    const value = map.userLookup(key);
    if (value === 0) return -ENOENT;
    // The element goes even when its value doesn't arrive. Until it is reused, its bytes are there.
    map.delete(key);
    map.initFields(value);
    return copyToUser(task, attr.u64(MAP_ELEM.value), value, map.userValueSize);
  });
}

/**
 * BPF_MAP_FREEZE; a frozen map counts as not writable, so freezing it again is EPERM. What the
 * kernel looks after can't be frozen.
 */
export function mapFreeze(task: Task, attr: Attr): number {
  const file = mapFileFromFd(task, attr.u32(MAP_FREEZE.map_fd));
  if (typeof file === "number") return file;
  if ((file.map.facts.btf?.fields ?? null) !== null) return -ENOTSUPP;
  if (!file.writable) return -EPERM;
  file.map.frozen = true;
  return 0;
}
