/**
 * What the embedded kernel has, gathered from the tables that it works with: the page
 * docs/support.md is made from this.
 */

import * as BPF from "../abi/bpf.ts";
import { helperName } from "../abi/helpers.ts";
import { CONTEXTS } from "./bpf/context.ts";
import { SUPPORTED_MAP_TYPES } from "./bpf/map/create.ts";
import { SUPPORTED_HELPERS } from "./helpers/index.ts";
import { SUPPORTED_COMMANDS } from "./syscall.ts";

/** One of Linux's names, and whether it is known here. */
export interface SupportEntry {
  readonly name: string;
  readonly supported: boolean;
}

/** Everything that Linux 6.18 names, by kind, with what the embedded kernel makes of it. */
export interface Support {
  readonly commands: readonly SupportEntry[];
  readonly mapTypes: readonly SupportEntry[];
  /** Types that can be loaded. */
  readonly programTypes: readonly SupportEntry[];
  readonly helpers: readonly SupportEntry[];
}

/** What the embedded kernel supports. */
export function support(): Support {
  const entries = (names: readonly string[], has: (number: number) => boolean): SupportEntry[] =>
    names.map((name, number) => ({ name, supported: has(number) }));
  const helpers = Array.from({ length: LAST_HELPER + 1 }, (_, id) => helperName(id) ?? "");
  return {
    commands: entries(BPF.COMMAND_NAMES, (cmd) => SUPPORTED_COMMANDS.has(cmd)),
    mapTypes: entries(BPF.MAP_TYPE_NAMES, (type) => SUPPORTED_MAP_TYPES.includes(type)),
    programTypes: entries(BPF.PROG_TYPE_NAMES, (type) => CONTEXTS.has(type)),
    helpers: entries(helpers, (id) => SUPPORTED_HELPERS.has(id)).filter(({ name }) => name !== ""),
  };
}

/** The helpers of Linux 6.18 are numbered up to here. */
const LAST_HELPER = 211;
