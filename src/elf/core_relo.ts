/**
 * CO-RE relocations: places that a loader adjusts to the running kernel's layout of a struct.
 *
 * No kernel BTF is read here. That is no loss where the layout is part of an interface and never
 * changes, which holds for contexts of programs and headers of packets: what clang wrote from the
 * object's own BTF is right on every kernel. All else is refused rather than guessed.
 */

import type { BtfSection } from "./btf.ts";
import { formatType, resolveType } from "./btf_types.ts";
import { ObjectError } from "./error.ts";

/** enum bpf_core_relo_kind: the id of a type in the object's own BTF. */
const BPF_CORE_TYPE_ID_LOCAL = 6;
/** The first kinds (offset, size, existence, sign and shifts) are about a field. */
const LAST_FIELD_KIND = 5;

/** Structs of include/uapi/linux whose fields never move. */
const STABLE_STRUCTS: ReadonlySet<string> = new Set([
  "__sk_buff",
  "arphdr",
  "bpf_flow_keys",
  "bpf_sk_lookup",
  "bpf_sock",
  "bpf_sock_tuple",
  "bpf_tcp_sock",
  "ethhdr",
  "frag_hdr",
  "gre_base_hdr",
  "icmp6hdr",
  "icmphdr",
  "igmphdr",
  "in6_addr",
  "in_addr",
  "ip_auth_hdr",
  "ip_esp_hdr",
  "iphdr",
  "ipv6_opt_hdr",
  "ipv6_rt_hdr",
  "ipv6hdr",
  "mpls_label",
  "sctphdr",
  "sk_reuseport_md",
  "tcphdr",
  "udphdr",
  "vlan_ethhdr",
  "vlan_hdr",
  "vxlanhdr",
  "xdp_md",
]);

/**
 * Refuses a relocation that would need the kernel's BTF.
 *
 * @param record - byte offset of the instruction, type id, access path, kind.
 */
export function checkCoreRelocation(
  record: readonly number[],
  section: string,
  btf: BtfSection,
): void {
  const [instruction = 0, typeId = 0, , kind = 0] = record;
  if (kind === BPF_CORE_TYPE_ID_LOCAL) return;
  const root = resolveType(btf, typeId);
  if (kind <= LAST_FIELD_KIND && STABLE_STRUCTS.has(root.name)) return;
  const problem =
    `a CO-RE relocation (kind ${kind}) of ${formatType(btf, typeId)} needs the kernel's BTF, ` +
    "which isn't read here; use a type whose layout is fixed, without preserve_access_index";
  throw new ObjectError(section, instruction, problem);
}
