/**
 * One line of the table: a small program, and what a verifier is to say of it.
 */

import * as BPF from "../../../src/abi/bpf.ts";

/** Types of programs by short names. */
export const TYPES = {
  xdp: { type: BPF.BPF_PROG_TYPE_XDP, attachType: 0 },
  flow_dissector: { type: BPF.BPF_PROG_TYPE_FLOW_DISSECTOR, attachType: 0 },
  socket_filter: { type: BPF.BPF_PROG_TYPE_SOCKET_FILTER, attachType: 0 },
  sk_lookup: { type: BPF.BPF_PROG_TYPE_SK_LOOKUP, attachType: BPF.BPF_SK_LOOKUP },
} as const;

/** What a function of a program is in its BTF. */
export type FunctionKind =
  | "main"
  | "static"
  | "int f(int)"
  | "int f(long *)"
  | "int f(struct xdp_md *)"
  | "void f(int)"
  | "int f(void * ctx)"
  | "int f(long * nonnull)"
  | "int f(long * nullable)"
  | "int f(long * other)"
  | "int f(long * ctx)"
  | "int f(int nonnull)";

/** What else there is to know of a program. */
export interface RowOptions {
  /** By default xdp. */
  readonly type?: keyof typeof TYPES;
  /** By default "GPL". */
  readonly license?: string;
  /** BPF_F_… of BPF_PROG_LOAD. */
  readonly flags?: number;
  /** What its loader may not do; by default it may do everything. */
  readonly without?: "CAP_PERFMON" | "CAP_BPF" | "CAP_NET_ADMIN" | "all capabilities";
  /** Types of its functions, in the order in which they begin; by default none are told. */
  readonly functions?: readonly FunctionKind[];
  /** Linux says something else, because the embedded kernel lacks what the program asks for. */
  readonly onLinux?: Verdict;
}

/** What a verifier says of a program. */
export interface Verdict {
  /** "EACCES"; "" when it is accepted. */
  readonly errno: string;
  /** The cause's id; "" when it is accepted, or doesn't come as far as the verifier. */
  readonly cause: string;
}

/** One line of the table. */
export interface Row extends RowOptions, Verdict {
  readonly title: string;
  /** In assembly; `map_fd[hash]` and so on for the maps of `maps.ts`. */
  readonly text: string;
}

const ACCEPTED: Verdict = { errno: "", cause: "" };

/** A program that is accepted. */
export function accepted(title: string, text: string, options: RowOptions = {}): Row {
  return { title, text, ...options, ...ACCEPTED };
}

/** A program that is refused. */
export function refused(
  errno: string,
  cause: string,
  title: string,
  text: string,
  options: RowOptions = {},
): Row {
  return { title, text, ...options, errno, cause };
}

/** Rows that share options. */
export function withOptions(options: RowOptions, rows: readonly Row[]): Row[] {
  return rows.map((row) => ({ ...options, ...row }));
}
