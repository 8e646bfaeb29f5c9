/**
 * BPF_OBJ_GET_INFO_BY_FD: the rules about lengths, then the object's own struct.
 */

import { BPF_ATTR_MAX_SIZE, OBJ_GET_INFO } from "../../abi/attr.ts";
import { E2BIG, EBADFD, EFAULT, EINVAL } from "../../abi/errno.ts";
import {
  BPF_BTF_INFO_SIZE,
  BPF_LINK_INFO_SIZE,
  BPF_MAP_INFO_SIZE,
  BPF_PROG_INFO_SIZE,
  PROG_INFO,
} from "../../abi/info.ts";
import { endOf } from "../../abi/layout.ts";
import type { Attr } from "../attr.ts";
import type { File } from "../file.ts";
import type { Task } from "../task.ts";
import { checkZeroTail } from "../user_memory.ts";
import { BtfFile, fillBtfInfo } from "./btf.ts";
import { fillLinkInfo, LinkFile } from "./link.ts";
import { fillMapInfo } from "./map/info.ts";
import { MapFile } from "./map/map.ts";
import { ProgFile } from "./prog.ts";
import { fillProgInfo } from "./prog_info.ts";

/** One kind of object's struct: its size, and how the caller's copy is filled in. */
interface InfoStruct {
  readonly size: number;
  /** What the caller passes from here on must be zero, the struct's own padding too. */
  readonly end: number;
  /** @param user - the caller's struct, zero-padded. @returns what to write back, or an errno. */
  readonly fill: (user: Uint8Array) => Uint8Array | number;
}

/** BPF_OBJ_GET_INFO_BY_FD */
export function objGetInfoByFd(task: Task, attr: Attr): number {
  const file = task.files.get(attr.u32(OBJ_GET_INFO.bpf_fd));
  if (file === null) return -EBADFD;
  const struct = infoStructOf(task, file);
  if (struct === null) return -EINVAL;

  const length = attr.u32(OBJ_GET_INFO.info_len);
  const address = attr.u64(OBJ_GET_INFO.info);
  if (length > BPF_ATTR_MAX_SIZE) return -E2BIG;
  if (length > struct.end) {
    const start = address + BigInt(struct.end);
    const refused = checkZeroTail(task.memory, start, length - struct.end);
    if (refused !== 0) return refused;
  }
  const known = Math.min(length, struct.size);
  const given = task.memory.read(address, known);
  if (given === null) return -EFAULT;
  const user = new Uint8Array(struct.size);
  user.set(given);
  const filled = struct.fill(user);
  if (typeof filled === "number") return filled;
  if (!task.memory.write(address, filled.subarray(0, known))) return -EFAULT;
  return attr.put(OBJ_GET_INFO.info_len, known);
}

function infoStructOf(task: Task, file: File): InfoStruct | null {
  if (file instanceof LinkFile) {
    return infoStruct(BPF_LINK_INFO_SIZE, (user) => fillLinkInfo(file.link, user));
  }
  if (file instanceof ProgFile) {
    const fill = (user: Uint8Array): Uint8Array | number => fillProgInfo(task, file.prog, user);
    return { size: BPF_PROG_INFO_SIZE, end: endOf(PROG_INFO), fill };
  }
  if (file instanceof MapFile) {
    return infoStruct(BPF_MAP_INFO_SIZE, (user) => fillMapInfo(file.map, user));
  }
  if (file instanceof BtfFile) {
    return infoStruct(BPF_BTF_INFO_SIZE, (user) => fillBtfInfo(task, file.btf, user));
  }
  return null;
}

function infoStruct(size: number, fill: InfoStruct["fill"]): InfoStruct {
  return { size, end: size, fill };
}
