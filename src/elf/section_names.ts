/** What the name of a program's section says about it, as libbpf documents it. */

import {
  BPF_F_SLEEPABLE,
  BPF_F_XDP_HAS_FRAGS,
  BPF_FLOW_DISSECTOR,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SK_REUSEPORT,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_UNSPEC,
  BPF_PROG_TYPE_XDP,
  BPF_SK_LOOKUP,
  BPF_SK_REUSEPORT_SELECT,
  BPF_SK_REUSEPORT_SELECT_OR_MIGRATE,
  BPF_TCX_EGRESS,
  BPF_TCX_INGRESS,
  BPF_XDP,
  BPF_XDP_CPUMAP,
  BPF_XDP_DEVMAP,
} from "../abi/bpf.ts";

/** How to load the programs of a section. */
export interface SectionMeaning {
  readonly type: number;
  readonly expectedAttachType: number;
  readonly flags: number;
  readonly autoload: boolean;
}

/** Longer names stand before their beginnings, so the first that fits is the right one. */
const SECTIONS: readonly (readonly [
  name: string,
  type: number,
  expectedAttachType: number,
  flags: number,
])[] = [
  ["flow_dissector", BPF_PROG_TYPE_FLOW_DISSECTOR, BPF_FLOW_DISSECTOR, 0],
  ["sk_lookup", BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, 0],
  ["socket", BPF_PROG_TYPE_SOCKET_FILTER, 0, 0],
  ["xdp.frags/devmap", BPF_PROG_TYPE_XDP, BPF_XDP_DEVMAP, BPF_F_XDP_HAS_FRAGS],
  ["xdp.frags/cpumap", BPF_PROG_TYPE_XDP, BPF_XDP_CPUMAP, BPF_F_XDP_HAS_FRAGS],
  ["xdp.frags", BPF_PROG_TYPE_XDP, BPF_XDP, BPF_F_XDP_HAS_FRAGS],
  ["xdp/devmap", BPF_PROG_TYPE_XDP, BPF_XDP_DEVMAP, 0],
  ["xdp/cpumap", BPF_PROG_TYPE_XDP, BPF_XDP_CPUMAP, 0],
  ["xdp", BPF_PROG_TYPE_XDP, BPF_XDP, 0],
  ["sk_reuseport/migrate", BPF_PROG_TYPE_SK_REUSEPORT, BPF_SK_REUSEPORT_SELECT_OR_MIGRATE, 0],
  ["sk_reuseport", BPF_PROG_TYPE_SK_REUSEPORT, BPF_SK_REUSEPORT_SELECT, 0],
  ["tcx/ingress", BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_INGRESS, 0],
  ["tcx/egress", BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_EGRESS, 0],
  ["tc/ingress", BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_INGRESS, 0],
  ["tc/egress", BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_EGRESS, 0],
  ["tc", BPF_PROG_TYPE_SCHED_CLS, 0, 0],
  ["classifier", BPF_PROG_TYPE_SCHED_CLS, 0, 0],
  ["action", BPF_PROG_TYPE_SCHED_ACT, 0, 0],
  ["syscall", BPF_PROG_TYPE_SYSCALL, 0, BPF_F_SLEEPABLE],
];

/**
 * What `section` says about its programs.
 *
 * `name` and `name/anything` mean the same, so that each program can have a section of its own;
 * libbpf allowed that until 1.0, and refuses it since. A leading `?` turns autoload off. A name
 * that isn't known gives BPF_PROG_TYPE_UNSPEC: inspecting such an object is fine, loading isn't.
 */
export function meaningOfSection(section: string): SectionMeaning {
  const autoload = !section.startsWith("?");
  const bare = autoload ? section : section.slice(1);
  const entry = SECTIONS.find(([name]) => bare === name || bare.startsWith(`${name}/`));
  const [, type, expectedAttachType, flags] = entry ?? ["", BPF_PROG_TYPE_UNSPEC, 0, 0];
  return { type, expectedAttachType, flags, autoload };
}
