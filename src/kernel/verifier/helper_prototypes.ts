/**
 * What the helpers of the embedded kernel take and give: Linux's struct bpf_func_proto, as data.
 */

import { BPF_FUNC } from "../../abi/helpers.ts";

/**
 * What an argument has to be.
 *
 * - `anything`: any value; `context`: the context as the program got it.
 * - `map`, `key`, `value`: a map, then memory as large as its keys or its values.
 * - `memory`, `fresh memory`: memory to read, or to be written; the next argument is its `size`,
 *   `size or zero` where that may be 0.
 * - `function`: a callback; `stack or null`: a pointer into the stack, or 0.
 * - `socket or null`: a full socket, found or not; `socket to release`: one that the program holds.
 * - `text`: a string that ends, in a map that nobody can change.
 */
export type Argument =
  | "anything"
  | "context"
  | "map"
  | "key"
  | "value"
  | "memory"
  | "fresh memory"
  | "size"
  | "size or zero"
  | "function"
  | "stack or null"
  | "socket or null"
  | "socket to release"
  | "text";

/** A helper as the verifier knows it. */
export interface Prototype {
  readonly arguments: readonly Argument[];
  /** `value or null` is a pointer to a map's value; a socket is one that the program then holds. */
  readonly result: "number" | "nothing" | "value or null" | "socket or null" | "any socket or null";
  /** Arguments may point into the packet. */
  readonly packetAccess?: boolean;
  /** Pointers to the packet are good no more where a function that calls it has returned. */
  readonly changesPacket?: boolean;
}

/** (ctx, tuple, tuple_size, netns, flags) */
const LOOKUP: readonly Argument[] = ["context", "memory", "size or zero", "anything", "anything"];
const SOCKET_LOOKUP: Prototype = {
  arguments: LOOKUP,
  result: "socket or null",
  packetAccess: true,
};

const NUMBER: Prototype = { arguments: [], result: "number" };

/** By helper id. */
export const PROTOTYPES: ReadonlyMap<number, Prototype> = new Map<number, Prototype>([
  [
    BPF_FUNC.map_lookup_elem,
    { arguments: ["map", "key"], result: "value or null", packetAccess: true },
  ],
  [
    BPF_FUNC.map_update_elem,
    { arguments: ["map", "key", "value", "anything"], result: "number", packetAccess: true },
  ],
  [BPF_FUNC.map_delete_elem, { arguments: ["map", "key"], result: "number", packetAccess: true }],
  [BPF_FUNC.ktime_get_ns, NUMBER],
  [BPF_FUNC.ktime_get_boot_ns, NUMBER],
  [BPF_FUNC.ktime_get_coarse_ns, NUMBER],
  [BPF_FUNC.jiffies64, NUMBER],
  [BPF_FUNC.get_prandom_u32, NUMBER],
  [BPF_FUNC.get_smp_processor_id, NUMBER],
  [BPF_FUNC.get_numa_node_id, NUMBER],
  [BPF_FUNC.trace_printk, { arguments: ["memory", "size"], result: "number" }],
  [
    BPF_FUNC.tail_call,
    { arguments: ["context", "map", "anything"], result: "nothing", changesPacket: true },
  ],
  [
    BPF_FUNC.skb_load_bytes,
    { arguments: ["context", "anything", "fresh memory", "size"], result: "number" },
  ],
  [
    BPF_FUNC.for_each_map_elem,
    { arguments: ["map", "function", "stack or null", "anything"], result: "number" },
  ],
  [
    BPF_FUNC.loop,
    { arguments: ["anything", "function", "stack or null", "anything"], result: "number" },
  ],
  [BPF_FUNC.sk_lookup_tcp, SOCKET_LOOKUP],
  [BPF_FUNC.sk_lookup_udp, SOCKET_LOOKUP],
  [
    BPF_FUNC.skc_lookup_tcp,
    { arguments: LOOKUP, result: "any socket or null", packetAccess: true },
  ],
  [BPF_FUNC.sk_release, { arguments: ["socket to release"], result: "number" }],
  [BPF_FUNC.sk_assign, { arguments: ["context", "socket or null", "anything"], result: "number" }],
  [BPF_FUNC.strncmp, { arguments: ["memory", "size", "text"], result: "number" }],
]);
