/**
 * Which helpers a program may call: what Linux 6.18 allows each program type. A live kernel was
 * asked, id by id.
 */

import {
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
} from "../../abi/bpf.ts";
import { BPF_FUNC, helperName } from "../../abi/helpers.ts";
import { SUPPORTED_HELPERS } from "../helpers/index.ts";

type Helper = keyof typeof BPF_FUNC;

/** What every networking program may call, whoever loads it. */
// biome-ignore format: a list of names reads best filled
const COMMON: readonly Helper[] = [
  "map_lookup_elem", "map_update_elem", "map_delete_elem", "ktime_get_ns", "get_prandom_u32",
  "get_smp_processor_id", "tail_call", "get_current_pid_tgid", "get_current_uid_gid",
  "get_numa_node_id", "map_push_elem", "map_pop_elem", "map_peek_elem", "strtol", "strtoul",
  "get_ns_current_pid_tgid", "ktime_get_boot_ns", "ringbuf_output", "ringbuf_reserve",
  "ringbuf_submit", "ringbuf_discard", "ringbuf_query", "ktime_get_coarse_ns", "strncmp",
  "map_lookup_percpu_elem", "ktime_get_tai_ns",
];

/** What every networking program may call when its loader has CAP_BPF. */
// biome-ignore format: a list of names reads best filled
const WITH_BPF: readonly Helper[] = [
  "get_cgroup_classid", "current_task_under_cgroup", "get_current_cgroup_id", "spin_lock",
  "spin_unlock", "jiffies64", "get_current_ancestor_cgroup_id", "per_cpu_ptr", "this_cpu_ptr",
  "task_storage_get", "task_storage_delete", "for_each_map_elem", "timer_init",
  "timer_set_callback", "timer_start", "timer_cancel", "loop", "kptr_xchg", "dynptr_from_mem",
  "ringbuf_reserve_dynptr", "ringbuf_submit_dynptr", "ringbuf_discard_dynptr", "dynptr_read",
  "dynptr_write", "dynptr_data", "user_ringbuf_drain", "cgrp_storage_get", "cgrp_storage_delete",
];

/** What every networking program may call when its loader has CAP_PERFMON. */
// biome-ignore format: a list of names reads best filled
const WITH_PERFMON: readonly Helper[] = [
  "skc_to_tcp6_sock", "skc_to_tcp_sock", "skc_to_tcp_timewait_sock", "skc_to_tcp_request_sock",
  "skc_to_udp6_sock", "skc_to_unix_sock", "skc_to_mptcp_sock",
];

/** What every networking program may call when its loader has both. */
// biome-ignore format: a list of names reads best filled
const WITH_BOTH: readonly Helper[] = [
  "trace_printk", "get_current_comm", "perf_event_read", "get_current_task",
  "perf_event_read_value", "send_signal", "probe_read_user", "probe_read_kernel",
  "probe_read_user_str", "probe_read_kernel_str", "send_signal_thread", "get_task_stack",
  "copy_from_user", "snprintf_btf", "get_current_task_btf", "snprintf", "task_pt_regs",
  "get_branch_snapshot", "trace_vprintk", "find_vma", "copy_from_user_task",
];

/** What only programs of one type may call. */
// biome-ignore format: a list of names reads best filled
const BY_TYPE: ReadonlyMap<number, readonly Helper[]> = new Map<number, readonly Helper[]>([
  [BPF_PROG_TYPE_SOCKET_FILTER, [
    "perf_event_output", "skb_load_bytes", "get_socket_cookie", "get_socket_uid",
    "skb_load_bytes_relative", "get_netns_cookie",
  ]],
  [BPF_PROG_TYPE_XDP, [
    "redirect", "perf_event_output", "csum_diff", "xdp_adjust_head", "redirect_map",
    "xdp_adjust_meta", "xdp_adjust_tail", "fib_lookup", "sk_lookup_tcp", "sk_lookup_udp",
    "sk_release", "skc_lookup_tcp", "tcp_check_syncookie", "tcp_gen_syncookie", "check_mtu",
    "xdp_get_buff_len", "xdp_load_bytes", "xdp_store_bytes", "tcp_raw_gen_syncookie_ipv4",
    "tcp_raw_gen_syncookie_ipv6", "tcp_raw_check_syncookie_ipv4", "tcp_raw_check_syncookie_ipv6",
  ]],
  [BPF_PROG_TYPE_FLOW_DISSECTOR, ["skb_load_bytes"]],
  [BPF_PROG_TYPE_SK_LOOKUP, ["perf_event_output", "sk_release", "sk_assign"]],
]);

/** What only a program under a GPL-compatible license may call. */
// biome-ignore format: a list of names reads best filled
const GPL_ONLY: readonly Helper[] = [
  "trace_printk", "perf_event_read", "perf_event_output", "get_current_task",
  "perf_event_read_value", "fib_lookup", "tcp_check_syncookie", "tcp_gen_syncookie",
  "probe_read_user", "probe_read_kernel", "probe_read_user_str", "probe_read_kernel_str",
  "get_current_task_btf", "check_mtu", "snprintf", "timer_init", "timer_set_callback",
  "timer_start", "timer_cancel", "task_pt_regs", "get_branch_snapshot", "trace_vprintk",
  "copy_from_user_task", "tcp_raw_gen_syncookie_ipv4", "tcp_raw_gen_syncookie_ipv6",
  "tcp_raw_check_syncookie_ipv4", "tcp_raw_check_syncookie_ipv6",
];

function ids(helpers: readonly Helper[]): ReadonlySet<number> {
  return new Set(helpers.map((helper) => BPF_FUNC[helper]));
}

const common = ids(COMMON);
const withBpf = ids(WITH_BPF);
const withPerfmon = ids(WITH_PERFMON);
const withBoth = ids(WITH_BOTH);
const byType = new Map(Array.from(BY_TYPE, ([type, helpers]) => [type, ids(helpers)]));
const gplOnly = ids(GPL_ONLY);

/** What decides about a call of a helper. */
export interface CallingProgram {
  /** BPF_PROG_TYPE_… */
  readonly type: number;
  readonly gplCompatible: boolean;
  /** The loader has CAP_BPF. */
  readonly bpfCapable: boolean;
  /** The loader has CAP_PERFMON. */
  readonly perfmon: boolean;
}

/** Whether Linux 6.18 lets such a program call the helper with this id, its license aside. */
export function helperAllowed(id: number, caller: CallingProgram): boolean {
  const { type, bpfCapable, perfmon } = caller;
  if (common.has(id) || byType.get(type)?.has(id) === true) return true;
  if (bpfCapable && withBpf.has(id)) return true;
  return perfmon && (withPerfmon.has(id) || (bpfCapable && withBoth.has(id)));
}

/** Why a program may not call a helper (-EINVAL), or null when it may. */
export function helperFault(id: number, caller: CallingProgram): string | null {
  const name = id === 0 ? "bpf_unspec" : helperName(id);
  if (name === undefined) return `invalid func unknown#${id}`;
  if (!helperAllowed(id, caller)) return `program of this type cannot use helper ${name}#${id}`;
  if (gplOnly.has(id) && !caller.gplCompatible) {
    return "cannot call GPL-restricted function from non-GPL compatible program";
  }
  if (SUPPORTED_HELPERS.has(id)) return null;
  return `Linux has helper ${name}#${id}, the embedded kernel does not`;
}
