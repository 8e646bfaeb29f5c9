/**
 * The types that a map's keys and values are said to have. Mirrors map_check_btf() in
 * kernel/bpf/syscall.c in Linux.
 */

import { MAP_CREATE } from "../../../abi/attr.ts";
import { BPF_MAP_TYPE_ARRAY } from "../../../abi/bpf.ts";
import { EINVAL } from "../../../abi/errno.ts";
import type { Attr } from "../../attr.ts";
import type { Task } from "../../task.ts";
import { btfFromFd } from "../btf.ts";
import type { MapBtf, MapFacts } from "./map.ts";

/**
 * What BPF_MAP_CREATE was told about types; without type ids, `btf_fd` isn't looked at.
 *
 * @returns null when nothing was told, or a negative errno. The caller takes the reference.
 */
export function mapBtfFromAttr(task: Task, attr: Attr, facts: MapFacts): MapBtf | null | number {
  const keyTypeId = attr.u32(MAP_CREATE.btf_key_type_id);
  const valueTypeId = attr.u32(MAP_CREATE.btf_value_type_id);
  if (valueTypeId === 0) return null;
  const btf = btfFromFd(task, attr.u32(MAP_CREATE.btf_fd));
  if (typeof btf === "number") return btf;
  return keyTypeId !== 0 || mayBeKeyless(facts) ? { btf, keyTypeId, valueTypeId } : -EINVAL;
}

/** .rodata, .data and .bss are arrays of one value with no key to speak of. */
function mayBeKeyless({ type, maxEntries }: MapFacts): boolean {
  return type === BPF_MAP_TYPE_ARRAY && maxEntries === 1;
}
