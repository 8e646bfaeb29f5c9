/** Rows about helpers: which type may call which, and what they take. */

import { accepted, type Row, type RowOptions, refused } from "./row.ts";

const END = "r0 = 1\nexit";
const ALLOWED = { errno: "", cause: "" };
const NOT_FOR_TYPE = "helper-not-for-type";
const FILTER: RowOptions = { type: "socket_filter" };
const DISSECTOR: RowOptions = { type: "flow_dissector" };
const LOOKUP: RowOptions = { type: "sk_lookup" };

function call(helper: string): string {
  return `call bpf_${helper}\n${END}`;
}

/** Linux has it, and takes the call. */
function missing(helper: string, text: string, options: RowOptions = {}): Row {
  const title = `${options.type ?? "xdp"}: ${helper}, which Linux has`;
  const onLinux = options.onLinux ?? ALLOWED;
  return refused("EINVAL", "helper-not-embedded", title, text, { ...options, onLinux });
}

/** A comparison of a string of so many bytes with the one of the map's. */
function strncmp(size: string, map: string = "rodata", at: number = 0): string {
  return `
    *(u64 *)(r10 - 8) = 0
    r1 = r10
    r1 += -8
    r2 = ${size}
    r3 = map_value[${map}][${at}]
    call bpf_strncmp
    ${END}`;
}

/** bpf_skb_load_bytes() of so many bytes to so deep in the stack. */
function loadBytes(size: string, depth: number = 8): string {
  return `r2 = 0\nr3 = r10\nr3 += -${depth}\n${size}\ncall bpf_skb_load_bytes\n${END}`;
}

export const HELPER_ROWS: readonly Row[] = [
  accepted("xdp: ktime_get_ns", call("ktime_get_ns")),
  accepted("sk_lookup: get_prandom_u32", call("get_prandom_u32"), LOOKUP),
  accepted("flow dissector: get_smp_processor_id", call("get_smp_processor_id"), DISSECTOR),
  accepted("socket filter: get_numa_node_id", call("get_numa_node_id"), FILTER),
  accepted("jiffies64", call("jiffies64")),
  accepted("ktime_get_boot_ns", call("ktime_get_boot_ns")),
  accepted("ktime_get_coarse_ns", call("ktime_get_coarse_ns")),
  refused("EINVAL", "helper-missing", "a helper that there never was", `call 9999\n${END}`),
  refused("EINVAL", "helper-not-for-type", "helper 0", `call 0\n${END}`),
  refused("EINVAL", NOT_FOR_TYPE, "xdp: skb_load_bytes", loadBytes("r4 = 4")),
  refused("EINVAL", NOT_FOR_TYPE, "sk_lookup: skb_load_bytes", loadBytes("r4 = 4"), LOOKUP),
  refused(
    "EINVAL",
    NOT_FOR_TYPE,
    "flow dissector: xdp_adjust_head",
    `r2 = 0\n${call("xdp_adjust_head")}`,
    DISSECTOR,
  ),
  refused(
    "EINVAL",
    NOT_FOR_TYPE,
    "flow dissector: redirect",
    `r1 = 1\nr2 = 0\n${call("redirect")}`,
    DISSECTOR,
  ),
  refused("EINVAL", NOT_FOR_TYPE, "socket filter: sk_assign", call("sk_assign"), FILTER),
  refused(
    "EINVAL",
    NOT_FOR_TYPE,
    "sk_lookup: get_socket_cookie",
    call("get_socket_cookie"),
    LOOKUP,
  ),
  refused("EINVAL", NOT_FOR_TYPE, "xdp: override_return", call("override_return")),
  accepted("flow dissector: skb_load_bytes", loadBytes("r4 = 8"), DISSECTOR),
  accepted("socket filter: skb_load_bytes", loadBytes("r4 = 8"), FILTER),
  refused(
    "EINVAL",
    "stack-bounds",
    "more bytes than the stack has there",
    loadBytes("r4 = 9"),
    FILTER,
  ),
  refused("EACCES", "helper-size", "no bytes", loadBytes("r4 = 0"), FILTER),
  refused("EACCES", "helper-size", "a negative number of bytes", loadBytes("r4 = -1"), FILTER),
  refused(
    "EACCES",
    "helper-size",
    "a number of bytes that may be 0",
    loadBytes("r4 = *(u32 *)(r1 + 0)\nr4 &= 7"),
    FILTER,
  ),
  refused(
    "EACCES",
    "helper-size",
    "any number of bytes",
    loadBytes("r4 = *(u32 *)(r1 + 0)\nif r4 == 0 goto +1"),
    FILTER,
  ),
  accepted(
    "a number of bytes with both bounds",
    loadBytes("r4 = *(u32 *)(r1 + 0)\nr4 &= 7\nr4 += 1"),
    FILTER,
  ),
  refused(
    "EINVAL",
    "stack-bounds",
    "a number of bytes that may be one too many",
    loadBytes("r4 = *(u32 *)(r1 + 0)\nr4 &= 7\nr4 += 2"),
    FILTER,
  ),
  accepted(
    "bytes that a helper wrote are read",
    `r2 = 0\nr3 = r10\nr3 += -8\nr4 = 8\ncall bpf_skb_load_bytes\nr0 = *(u64 *)(r10 - 8)\n${END}`,
    { ...FILTER, without: "CAP_PERFMON" },
  ),
  refused(
    "EACCES",
    "helper-argument",
    "a number for the context",
    `r1 = 1\n${loadBytes("r4 = 4")}`,
    FILTER,
  ),
  refused(
    "EACCES",
    "helper-argument",
    "a number for memory",
    `r2 = 0\nr3 = 64\nr4 = 4\ncall bpf_skb_load_bytes\n${END}`,
    FILTER,
  ),
  refused(
    "EACCES",
    "helper-argument",
    "a number for a map",
    `r1 = 4\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem\n${END}`,
  ),
  refused(
    "EACCES",
    "helper-argument",
    "a value for a map",
    `r1 = map_value[data][0]\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem\n${END}`,
  ),
  refused(
    "EACCES",
    "helper-argument",
    "the context for a key",
    `r2 = r1\nr1 = map_fd[hash]\ncall bpf_map_lookup_elem\n${END}`,
  ),
  refused(
    "EACCES",
    "maybe-null",
    "what may be NULL for a key",
    `
      *(u64 *)(r10 - 8) = 0
      r1 = map_fd[hash]
      r2 = r10
      r2 += -8
      call bpf_map_lookup_elem
      r2 = r0
      r1 = map_fd[hash]
      call bpf_map_lookup_elem
      ${END}`,
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "an argument that is nothing",
    `r1 = map_fd[hash]\ncall bpf_map_delete_elem\n${END}`,
  ),
  accepted("strncmp with a constant string", strncmp("4")),
  refused("EACCES", "helper-argument", "strncmp with what may change", strncmp("4", "rdonly")),
  refused("EINVAL", "helper-argument", "strncmp with what doesn't end", strncmp("4", "rodata", 60)),
  refused("EINVAL", "stack-bounds", "strncmp of too much", strncmp("9")),
  accepted(
    "trace_printk under the GPL",
    `*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -8\nr2 = 8\ncall bpf_trace_printk\n${END}`,
  ),
  refused(
    "EINVAL",
    "helper-gpl-only",
    "trace_printk under another license",
    `*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -8\nr2 = 8\ncall bpf_trace_printk\n${END}`,
    { license: "Apache-2.0" },
  ),
  accepted("ktime_get_ns under any license", call("ktime_get_ns"), { license: "proprietary" }),
  missing("get_current_pid_tgid", call("get_current_pid_tgid")),
  missing("ktime_get_tai_ns", call("ktime_get_tai_ns")),
  missing("get_current_task", call("get_current_task"), LOOKUP),
  missing("get_current_uid_gid", call("get_current_uid_gid"), DISSECTOR),
  missing("get_socket_cookie", call("get_socket_cookie"), FILTER),
  missing("xdp_adjust_head", `r2 = 0\n${call("xdp_adjust_head")}`),
  missing("xdp_get_buff_len", call("xdp_get_buff_len")),
  missing("redirect", `r1 = 1\nr2 = 0\n${call("redirect")}`),
  missing("get_current_comm", `r1 = r10\nr1 += -16\nr2 = 16\n${call("get_current_comm")}`),
];
