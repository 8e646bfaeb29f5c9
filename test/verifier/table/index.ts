/** The table: programs of ours, and what verifiers say of them. */

import { ARGUMENT_TAG_ROWS } from "./argument_tags.ts";
import { ATOMIC_ROWS } from "./atomics.ts";
import { CALLBACK_LOOP_ROWS } from "./callback_loops.ts";
import { CAPABILITY_ROWS } from "./capabilities.ts";
import { CONTEXT_ROWS } from "./contexts.ts";
import { ENCODING_ROWS } from "./encodings.ts";
import { FUNCTION_ROWS } from "./functions.ts";
import { HELPER_ROWS } from "./helpers.ts";
import { LINK_ROWS } from "./links.ts";
import { LOOP_ROWS } from "./loops.ts";
import { MAP_ROWS } from "./map_values.ts";
import { NUMBER_ROWS } from "./numbers.ts";
import { PACKET_ROWS } from "./packet.ts";
import { POINTER_ROWS } from "./pointers.ts";
import { REFERENCE_ROWS } from "./references.ts";
import { RETURN_ROWS } from "./returns.ts";
import type { Row } from "./row.ts";
import { SOCKET_ROWS } from "./sockets.ts";
import { STACK_ROWS } from "./stack.ts";
import { STRUCTURE_ROWS } from "./structure.ts";
import { UNPRIVILEGED_ROWS } from "./unprivileged.ts";

/** By subject. */
export const TABLE: ReadonlyMap<string, readonly Row[]> = new Map([
  ["packets", PACKET_ROWS],
  ["the stack", STACK_ROWS],
  ["maps", MAP_ROWS],
  ["pointers and registers", POINTER_ROWS],
  ["numbers", NUMBER_ROWS],
  ["links between numbers", LINK_ROWS],
  ["loops and jumps", LOOP_ROWS],
  ["loops and callbacks", CALLBACK_LOOP_ROWS],
  ["functions", FUNCTION_ROWS],
  ["argument tags", ARGUMENT_TAG_ROWS],
  ["contexts", CONTEXT_ROWS],
  ["returned values", RETURN_ROWS],
  ["helpers", HELPER_ROWS],
  ["sockets", SOCKET_ROWS],
  ["references", REFERENCE_ROWS],
  ["atomic operations", ATOMIC_ROWS],
  ["instructions", STRUCTURE_ROWS],
  ["encodings", ENCODING_ROWS],
  ["capabilities", CAPABILITY_ROWS],
  ["no capabilities", UNPRIVILEGED_ROWS],
]);
