/**
 * What a packet of a capture came to, and what people are told of it.
 */

import { BPF_DROP, BPF_OK } from "../abi/bpf.ts";
import type { Dissection } from "../kernel.ts";
import { endpoints, protocolName, traits } from "./flows.ts";

/** What a packet came to, or why no dissector could be given it. */
export type Outcome = DissectedPacket | UndissectedPacket;

/** A packet that no dissector could be given. */
export interface UndissectedPacket {
  readonly by: null;
  readonly reason: string;
  /** Whether link-layer headers of its type aren't read: what Linux did with it isn't known. */
  readonly isUnread: boolean;
}

/** What a packet came to. */
export interface DissectedPacket extends Omit<Dissection, "programId"> {
  /** `struct bpf_flow_keys` as the program left it, 56 bytes; null without keys. */
  readonly keysBytes: Uint8Array | null;
  /** Whether the program was stopped since it took more instructions than it may. */
  readonly isOverLimit?: boolean;
}

/** What people read in place of a verdict, in the order in which sums name them. */
export const VERDICTS = ["ok", "continue", "drop", "stopped", "none"] as const;

/** `stopped`: a program that was ended by a fault. `none`: no dissector was asked. */
export function verdictOf(outcome: Outcome): (typeof VERDICTS)[number] {
  if (outcome.by === null) return "none";
  return wasStopped(outcome) ? "stopped" : outcome.verdict;
}

/** Whether the program was stopped. */
export function wasStopped(outcome: Outcome): boolean {
  return outcome.by === "bpf" && outcome.retval === null;
}

/** "TCP"; "-" where nobody said. */
export function protocolOf(outcome: Outcome): string {
  return outcome.by === null || outcome.keys === null ? "-" : protocolName(outcome.keys);
}

/** Addresses, ports and what is special about the packet; without keys, why there are none. */
export function flowOf(outcome: Outcome): string {
  if (outcome.by === null) return outcome.reason;
  const { by, keys, retval } = outcome;
  if (keys === null) {
    if (by === "linux") return "left to Linux's own dissector";
    return outcome.isOverLimit === true
      ? "the program took more instructions than it may"
      : "the program did what Linux's verifier would have refused";
  }
  const isUsual = retval === BPF_OK || retval === BPF_DROP;
  const parts = [endpoints(keys), traits(keys), isUsual ? "" : `returned ${retval}`];
  return parts.filter((part) => part !== "").join("  ");
}
