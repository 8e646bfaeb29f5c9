/**
 * The types that a map's keys and values are said to have. Mirrors map_check_btf() in
 * kernel/bpf/syscall.c and array_map_check_btf() in Linux.
 */

import { MAP_CREATE } from "../../../abi/attr.ts";
import { BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY } from "../../../abi/bpf.ts";
import { EINVAL } from "../../../abi/errno.ts";
import type { Attr } from "../../attr.ts";
import type { Task } from "../../task.ts";
import * as KIND from "../../verifier/btf_parse.ts";
import { type Btf, btfFromFd } from "../btf.ts";
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
  const fits =
    btf.sizeOf(valueTypeId) === facts.valueSize &&
    (keyTypeId === 0 ? isSection(btf, valueTypeId, facts) : isKey(btf, keyTypeId, facts));
  return fits ? { btf, keyTypeId, valueTypeId } : -EINVAL;
}

/** .rodata, .data and .bss: arrays of one value, with no key to speak of. */
function isSection(btf: Btf, valueTypeId: number, { type, maxEntries }: MapFacts): boolean {
  if (type !== BPF_MAP_TYPE_ARRAY || maxEntries !== 1) return false;
  return btf.type(valueTypeId)?.kind === KIND.BTF_KIND_DATASEC;
}

function isKey(btf: Btf, id: number, { type, keySize }: MapFacts): boolean {
  if (btf.sizeOf(id) !== keySize) return false;
  return (type !== BPF_MAP_TYPE_ARRAY && type !== BPF_MAP_TYPE_PERCPU_ARRAY) || isIndex(btf, id);
}

/** Of what follows an integer type: its width, and where in the value it begins, in bits. */
const BITS_AND_OFFSET = 0x00ff00ff;

/** An index is an integer of exactly 32 bits, whatever it is printed as. */
function isIndex(btf: Btf, id: number): boolean {
  const type = btf.typeBehind(id);
  if (type?.kind !== KIND.BTF_KIND_INT) return false;
  return (readU32(btf, type.at) & BITS_AND_OFFSET) === 32;
}

function readU32({ bytes }: Btf, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}
