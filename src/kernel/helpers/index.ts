/**
 * The helpers that the embedded kernel has, by number.
 */

import { BPF_FUNC } from "../../abi/helpers.ts";
import type { Helper } from "./helper.ts";
import { LOOP_HELPERS } from "./loop.ts";
import { MAP_HELPERS } from "./map.ts";
import { SKB_HELPERS } from "./skb.ts";
import { SOCKET_HELPERS } from "./socket.ts";
import { STRING_HELPERS } from "./string.ts";
import { SYSTEM_HELPERS } from "./system.ts";
import { TIME_HELPERS } from "./time.ts";
import { TRACE_HELPERS } from "./trace.ts";

/** Helpers by id; bpf_tail_call is none of them, since it doesn't come back. */
export const HELPERS: ReadonlyMap<number, Helper> = new Map([
  ...MAP_HELPERS,
  ...TIME_HELPERS,
  ...SYSTEM_HELPERS,
  ...TRACE_HELPERS,
  ...SKB_HELPERS,
  ...LOOP_HELPERS,
  ...SOCKET_HELPERS,
  ...STRING_HELPERS,
]);

/** Ids of the helpers that a program can call here, whatever its type allows. */
export const SUPPORTED_HELPERS: ReadonlySet<number> = new Set([
  ...HELPERS.keys(),
  BPF_FUNC.tail_call,
]);
