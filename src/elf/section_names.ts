/** What the name of a program's section says about it, as libbpf documents it. */

import * as BPF from "../abi/bpf.ts";

/** How to load the programs of a section. */
export interface SectionMeaning {
  readonly type: number;
  readonly expectedAttachType: number;
  readonly flags: number;
  readonly autoload: boolean;
}

/** A section's name, and how its programs are loaded; what is left out is 0. */
type Section = readonly [name: string, type: number, expectedAttachType?: number, flags?: number];

const { BPF_F_SLEEPABLE: SLEEPABLE, BPF_F_XDP_HAS_FRAGS: FRAGS } = BPF;
const { BPF_PROG_TYPE_CGROUP_SOCK_ADDR: SOCK_ADDR, BPF_PROG_TYPE_CGROUP_SOCK: SOCK } = BPF;
const {
  BPF_PROG_TYPE_KPROBE: KPROBE,
  BPF_PROG_TYPE_TRACING: TRACING,
  BPF_PROG_TYPE_XDP: XDP,
} = BPF;
const { BPF_PROG_TYPE_SCHED_CLS: SCHED_CLS, BPF_PROG_TYPE_SK_REUSEPORT: REUSEPORT } = BPF;

/** Names that a program's section may begin with, as libbpf documents them. */
const SECTIONS: readonly Section[] = [
  ["flow_dissector", BPF.BPF_PROG_TYPE_FLOW_DISSECTOR, BPF.BPF_FLOW_DISSECTOR],
  ["sk_lookup", BPF.BPF_PROG_TYPE_SK_LOOKUP, BPF.BPF_SK_LOOKUP],
  ["socket", BPF.BPF_PROG_TYPE_SOCKET_FILTER],
  ["xdp.frags/devmap", XDP, BPF.BPF_XDP_DEVMAP, FRAGS],
  ["xdp.frags/cpumap", XDP, BPF.BPF_XDP_CPUMAP, FRAGS],
  ["xdp.frags", XDP, BPF.BPF_XDP, FRAGS],
  ["xdp/devmap", XDP, BPF.BPF_XDP_DEVMAP],
  ["xdp/cpumap", XDP, BPF.BPF_XDP_CPUMAP],
  ["xdp", XDP, BPF.BPF_XDP],
  ["sk_reuseport/migrate", REUSEPORT, BPF.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE],
  ["sk_reuseport", REUSEPORT, BPF.BPF_SK_REUSEPORT_SELECT],
  ["tcx/ingress", SCHED_CLS, BPF.BPF_TCX_INGRESS],
  ["tcx/egress", SCHED_CLS, BPF.BPF_TCX_EGRESS],
  ["tc/ingress", SCHED_CLS, BPF.BPF_TCX_INGRESS],
  ["tc/egress", SCHED_CLS, BPF.BPF_TCX_EGRESS],
  ["netkit/primary", SCHED_CLS, BPF.BPF_NETKIT_PRIMARY],
  ["netkit/peer", SCHED_CLS, BPF.BPF_NETKIT_PEER],
  ["tc", SCHED_CLS],
  ["classifier", SCHED_CLS],
  ["action", BPF.BPF_PROG_TYPE_SCHED_ACT],
  ["kprobe.multi", KPROBE, BPF.BPF_TRACE_KPROBE_MULTI],
  ["kretprobe.multi", KPROBE, BPF.BPF_TRACE_KPROBE_MULTI],
  ["kprobe.session", KPROBE, BPF.BPF_TRACE_KPROBE_SESSION],
  ["uprobe.multi", KPROBE, BPF.BPF_TRACE_UPROBE_MULTI],
  ["uretprobe.multi", KPROBE, BPF.BPF_TRACE_UPROBE_MULTI],
  ["uprobe.session", KPROBE, BPF.BPF_TRACE_UPROBE_SESSION],
  ["uprobe.multi.s", KPROBE, BPF.BPF_TRACE_UPROBE_MULTI, SLEEPABLE],
  ["uretprobe.multi.s", KPROBE, BPF.BPF_TRACE_UPROBE_MULTI, SLEEPABLE],
  ["uprobe.session.s", KPROBE, BPF.BPF_TRACE_UPROBE_SESSION, SLEEPABLE],
  ["kprobe", KPROBE],
  ["kretprobe", KPROBE],
  ["uprobe", KPROBE],
  ["uretprobe", KPROBE],
  ["uprobe.s", KPROBE, 0, SLEEPABLE],
  ["uretprobe.s", KPROBE, 0, SLEEPABLE],
  ["ksyscall", KPROBE],
  ["kretsyscall", KPROBE],
  ["usdt", KPROBE],
  ["usdt.s", KPROBE, 0, SLEEPABLE],
  ["tracepoint", BPF.BPF_PROG_TYPE_TRACEPOINT],
  ["tp", BPF.BPF_PROG_TYPE_TRACEPOINT],
  ["raw_tracepoint", BPF.BPF_PROG_TYPE_RAW_TRACEPOINT],
  ["raw_tp", BPF.BPF_PROG_TYPE_RAW_TRACEPOINT],
  ["raw_tracepoint.w", BPF.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE],
  ["raw_tp.w", BPF.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE],
  ["tp_btf", TRACING, BPF.BPF_TRACE_RAW_TP],
  ["fentry", TRACING, BPF.BPF_TRACE_FENTRY],
  ["fexit", TRACING, BPF.BPF_TRACE_FEXIT],
  ["fmod_ret", TRACING, BPF.BPF_MODIFY_RETURN],
  ["fentry.s", TRACING, BPF.BPF_TRACE_FENTRY, SLEEPABLE],
  ["fexit.s", TRACING, BPF.BPF_TRACE_FEXIT, SLEEPABLE],
  ["fmod_ret.s", TRACING, BPF.BPF_MODIFY_RETURN, SLEEPABLE],
  ["iter", TRACING, BPF.BPF_TRACE_ITER],
  ["iter.s", TRACING, BPF.BPF_TRACE_ITER, SLEEPABLE],
  ["freplace", BPF.BPF_PROG_TYPE_EXT],
  ["lsm", BPF.BPF_PROG_TYPE_LSM, BPF.BPF_LSM_MAC],
  ["lsm.s", BPF.BPF_PROG_TYPE_LSM, BPF.BPF_LSM_MAC, SLEEPABLE],
  ["lsm_cgroup", BPF.BPF_PROG_TYPE_LSM, BPF.BPF_LSM_CGROUP],
  ["struct_ops", BPF.BPF_PROG_TYPE_STRUCT_OPS],
  ["struct_ops.s", BPF.BPF_PROG_TYPE_STRUCT_OPS, 0, SLEEPABLE],
  ["syscall", BPF.BPF_PROG_TYPE_SYSCALL, 0, SLEEPABLE],
  ["perf_event", BPF.BPF_PROG_TYPE_PERF_EVENT],
  ["netfilter", BPF.BPF_PROG_TYPE_NETFILTER, BPF.BPF_NETFILTER],
  ["lirc_mode2", BPF.BPF_PROG_TYPE_LIRC_MODE2, BPF.BPF_LIRC_MODE2],
  ["lwt_in", BPF.BPF_PROG_TYPE_LWT_IN],
  ["lwt_out", BPF.BPF_PROG_TYPE_LWT_OUT],
  ["lwt_xmit", BPF.BPF_PROG_TYPE_LWT_XMIT],
  ["lwt_seg6local", BPF.BPF_PROG_TYPE_LWT_SEG6LOCAL],
  ["sockops", BPF.BPF_PROG_TYPE_SOCK_OPS, BPF.BPF_CGROUP_SOCK_OPS],
  ["sk_skb/stream_parser", BPF.BPF_PROG_TYPE_SK_SKB, BPF.BPF_SK_SKB_STREAM_PARSER],
  ["sk_skb/stream_verdict", BPF.BPF_PROG_TYPE_SK_SKB, BPF.BPF_SK_SKB_STREAM_VERDICT],
  ["sk_skb/verdict", BPF.BPF_PROG_TYPE_SK_SKB, BPF.BPF_SK_SKB_VERDICT],
  ["sk_skb", BPF.BPF_PROG_TYPE_SK_SKB],
  ["sk_msg", BPF.BPF_PROG_TYPE_SK_MSG, BPF.BPF_SK_MSG_VERDICT],
  ["cgroup_skb/ingress", BPF.BPF_PROG_TYPE_CGROUP_SKB, BPF.BPF_CGROUP_INET_INGRESS],
  ["cgroup_skb/egress", BPF.BPF_PROG_TYPE_CGROUP_SKB, BPF.BPF_CGROUP_INET_EGRESS],
  ["cgroup/skb", BPF.BPF_PROG_TYPE_CGROUP_SKB],
  ["cgroup/sock_create", SOCK, BPF.BPF_CGROUP_INET_SOCK_CREATE],
  ["cgroup/sock_release", SOCK, BPF.BPF_CGROUP_INET_SOCK_RELEASE],
  ["cgroup/sock", SOCK, BPF.BPF_CGROUP_INET_SOCK_CREATE],
  ["cgroup/post_bind4", SOCK, BPF.BPF_CGROUP_INET4_POST_BIND],
  ["cgroup/post_bind6", SOCK, BPF.BPF_CGROUP_INET6_POST_BIND],
  ["cgroup/bind4", SOCK_ADDR, BPF.BPF_CGROUP_INET4_BIND],
  ["cgroup/bind6", SOCK_ADDR, BPF.BPF_CGROUP_INET6_BIND],
  ["cgroup/connect4", SOCK_ADDR, BPF.BPF_CGROUP_INET4_CONNECT],
  ["cgroup/connect6", SOCK_ADDR, BPF.BPF_CGROUP_INET6_CONNECT],
  ["cgroup/connect_unix", SOCK_ADDR, BPF.BPF_CGROUP_UNIX_CONNECT],
  ["cgroup/sendmsg4", SOCK_ADDR, BPF.BPF_CGROUP_UDP4_SENDMSG],
  ["cgroup/sendmsg6", SOCK_ADDR, BPF.BPF_CGROUP_UDP6_SENDMSG],
  ["cgroup/sendmsg_unix", SOCK_ADDR, BPF.BPF_CGROUP_UNIX_SENDMSG],
  ["cgroup/recvmsg4", SOCK_ADDR, BPF.BPF_CGROUP_UDP4_RECVMSG],
  ["cgroup/recvmsg6", SOCK_ADDR, BPF.BPF_CGROUP_UDP6_RECVMSG],
  ["cgroup/recvmsg_unix", SOCK_ADDR, BPF.BPF_CGROUP_UNIX_RECVMSG],
  ["cgroup/getpeername4", SOCK_ADDR, BPF.BPF_CGROUP_INET4_GETPEERNAME],
  ["cgroup/getpeername6", SOCK_ADDR, BPF.BPF_CGROUP_INET6_GETPEERNAME],
  ["cgroup/getpeername_unix", SOCK_ADDR, BPF.BPF_CGROUP_UNIX_GETPEERNAME],
  ["cgroup/getsockname4", SOCK_ADDR, BPF.BPF_CGROUP_INET4_GETSOCKNAME],
  ["cgroup/getsockname6", SOCK_ADDR, BPF.BPF_CGROUP_INET6_GETSOCKNAME],
  ["cgroup/getsockname_unix", SOCK_ADDR, BPF.BPF_CGROUP_UNIX_GETSOCKNAME],
  ["cgroup/sysctl", BPF.BPF_PROG_TYPE_CGROUP_SYSCTL, BPF.BPF_CGROUP_SYSCTL],
  ["cgroup/getsockopt", BPF.BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF.BPF_CGROUP_GETSOCKOPT],
  ["cgroup/setsockopt", BPF.BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF.BPF_CGROUP_SETSOCKOPT],
  ["cgroup/dev", BPF.BPF_PROG_TYPE_CGROUP_DEVICE, BPF.BPF_CGROUP_DEVICE],
];

/** Longer names first, so that the first that fits is the right one. */
const LONGEST_FIRST: readonly Section[] = [...SECTIONS].sort(([a], [b]) => b.length - a.length);

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
  const entry = LONGEST_FIRST.find(([name]) => bare === name || bare.startsWith(`${name}/`));
  const [, type, expectedAttachType = 0, flags = 0] = entry ?? ["", BPF.BPF_PROG_TYPE_UNSPEC];
  return { type, expectedAttachType, flags, autoload };
}

/** More letters may not differ between a name and the one that was meant. */
const MOST_DIFFERENT = 2;

/** The known name that an unknown section's comes nearest to; null when none is near. */
export function nearestSection(section: string): string | null {
  const bare = section.replace(/^\?/, "").toLowerCase();
  const begun = LONGEST_FIRST.find(([name]) => name.length > 2 && bare.startsWith(name));
  const [first = ""] = bare.split("/");
  let nearest: string | null = null;
  let least = Math.min(MOST_DIFFERENT + 1, Math.ceil(first.length / 2));
  for (const [name] of SECTIONS) {
    const distance = Math.min(editDistance(bare, name), editDistance(first, name));
    if (distance >= least) continue;
    [nearest, least] = [name, distance];
  }
  return nearest ?? begun?.[0] ?? null;
}

/** How many letters have to be changed, put in or left out to make one text of another. */
function editDistance(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > MOST_DIFFERENT) return MOST_DIFFERENT + 1;
  let row = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const changed = (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}
