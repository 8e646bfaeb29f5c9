/**
 * The types that a map's keys and values are said to have. Mirrors map_check_btf() in
 * kernel/bpf/syscall.c and array_map_check_btf() in Linux.
 */

import { MAP_CREATE } from "../../../abi/attr.ts";
import {
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY_PROG,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
} from "../../../abi/bpf.ts";
import { EACCES, EINVAL, EOPNOTSUPP, EPERM } from "../../../abi/errno.ts";
import type { Attr } from "../../attr.ts";
import type { Task } from "../../task.ts";
import type { FieldKind, SpecialField } from "../../verifier/btf_fields.ts";
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
  const { type, keySize, valueSize } = facts;
  const hasKey = keyTypeId === 0 ? isArray(type) : btf.sizeOf(keyTypeId) === keySize;
  if (!hasKey || btf.sizeOf(valueTypeId) !== valueSize) return -EINVAL;
  const fields = btf.fieldsOf(valueTypeId, valueSize);
  const refused = fields === null ? 0 : checkFields(task, btf, facts, fields);
  if (refused !== 0) return refused;
  const fits =
    keyTypeId === 0
      ? isSection(btf, valueTypeId, facts)
      : !isArray(type) || isIndex(btf, keyTypeId);
  return fits ? { btf, keyTypeId, valueTypeId, fields } : -EINVAL;
}

const LOCKED: readonly number[] = [BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY];
const WITHOUT_CPUS: readonly number[] = [...LOCKED, BPF_MAP_TYPE_LRU_HASH];
const WITH_CPUS: readonly number[] = [
  ...WITHOUT_CPUS,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
];

/** The types of map, of those that there are, whose values may have such a field. */
const HOLDERS: Readonly<Record<FieldKind, readonly number[]>> = {
  bpf_spin_lock: LOCKED,
  bpf_res_spin_lock: LOCKED,
  bpf_timer: WITHOUT_CPUS,
  bpf_wq: WITHOUT_CPUS,
  bpf_task_work: WITHOUT_CPUS,
  bpf_list_head: WITHOUT_CPUS,
  bpf_rb_root: WITHOUT_CPUS,
  bpf_refcount: WITH_CPUS,
  kptr_untrusted: WITH_CPUS,
  kptr: WITH_CPUS,
  percpu_kptr: WITH_CPUS,
  // Those of tasks only.
  uptr: [],
  // Of objects that lists and trees hold, never of a map's value.
  bpf_list_node: [],
  bpf_rb_node: [],
};

/** Who may make a map with such fields, and which. 0 or a negative errno. */
function checkFields(
  task: Task,
  btf: Btf,
  { type, flags }: MapFacts,
  fields: readonly SpecialField[],
): number {
  if (!task.capable("CAP_BPF")) return -EPERM;
  if ((flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) !== 0) return -EACCES;
  if (!fields.every(({ kind }) => HOLDERS[kind].includes(type))) return -EOPNOTSUPP;
  return btf.checkOwned(fields);
}

function isArray(type: number): boolean {
  return type === BPF_MAP_TYPE_ARRAY || type === BPF_MAP_TYPE_PERCPU_ARRAY;
}

/** .rodata, .data and .bss: arrays of one value, with no key to speak of. */
function isSection(btf: Btf, valueTypeId: number, { type, maxEntries }: MapFacts): boolean {
  if (type !== BPF_MAP_TYPE_ARRAY || maxEntries !== 1) return false;
  return btf.type(valueTypeId)?.kind === KIND.BTF_KIND_DATASEC;
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
