/**
 * What BPF_OBJ_GET_INFO_BY_FD says about a map. Mirrors bpf_map_get_info_by_fd() in
 * kernel/bpf/syscall.c in Linux.
 */

import { BPF_OBJ_NAME_LEN } from "../../../abi/bpf.ts";
import { EINVAL } from "../../../abi/errno.ts";
import { MAP_INFO } from "../../../abi/info.ts";
import { type Field, readField, writeField } from "../../../abi/layout.ts";
import type { BpfMap } from "./map.ts";
import { objectNameBytes } from "./name.ts";

/**
 * Fills in the caller's struct bpf_map_info. Fields that the map has nothing to say about, such as
 * those about types in a map without BTF, keep what the caller had there.
 *
 * @param user - 104 bytes.
 * @returns the struct to give back; -EINVAL when a hash of the content is asked for, which no map
 *   here offers.
 */
export function fillMapInfo(map: BpfMap, user: Uint8Array): Uint8Array | number {
  const info = user.slice();
  const view = new DataView(info.buffer);
  if (readField(view, MAP_INFO.hash) !== 0n || readField(view, MAP_INFO.hash_size) !== 0) {
    return -EINVAL;
  }
  const { facts } = map;
  const name = new Uint8Array(BPF_OBJ_NAME_LEN);
  name.set(objectNameBytes(facts.name));
  const fields: (readonly [Field, number | bigint | Uint8Array])[] = [
    [MAP_INFO.type, facts.type],
    [MAP_INFO.id, map.id],
    [MAP_INFO.key_size, facts.keySize],
    [MAP_INFO.value_size, facts.valueSize],
    [MAP_INFO.max_entries, facts.maxEntries],
    [MAP_INFO.map_flags, facts.flags],
    [MAP_INFO.name, name],
    [MAP_INFO.btf_vmlinux_value_type_id, 0],
    [MAP_INFO.map_extra, 0n],
  ];
  if (facts.btf !== undefined) {
    fields.push(
      [MAP_INFO.btf_id, facts.btf.btf.id],
      [MAP_INFO.btf_key_type_id, facts.btf.keyTypeId],
      [MAP_INFO.btf_value_type_id, facts.btf.valueTypeId],
    );
  }
  for (const [field, value] of fields) writeField(view, field, value);
  return info;
}
