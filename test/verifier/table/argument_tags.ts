/** Rows about tags of global functions' arguments: __arg_ctx, __arg_nonnull and others. */

import { accepted, type FunctionKind, type Row, refused } from "./row.ts";

const STACK = "*(u64 *)(r10 - 8) = 1\nr1 = r10\nr1 += -8";

/** The main function passes something to a function. */
function call(before: string, body: string): string {
  return `${before}\ncall f\nr0 = 1\nexit\nf:\n${body}\nexit`;
}

const READ = "r0 = *(u64 *)(r1 + 0)";
const CONTEXT_READ = "r0 = *(u32 *)(r1 + 12)";
const NUMBER = "r0 = 0";

function of(kind: FunctionKind): { readonly functions: readonly FunctionKind[] } {
  return { functions: ["main", kind] };
}

export const ARGUMENT_TAG_ROWS: readonly Row[] = [
  accepted("a void * is the context", call("", CONTEXT_READ), of("int f(void * ctx)")),
  refused(
    "EINVAL",
    "call-argument",
    "a void * is the context, and the stack is passed",
    call(STACK, CONTEXT_READ),
    of("int f(void * ctx)"),
  ),
  refused(
    "EINVAL",
    "call-argument",
    "a long * can't be the context",
    call("", NUMBER),
    of("int f(long * ctx)"),
  ),
  accepted("memory that is there", call(STACK, READ), of("int f(long * nonnull)")),
  refused(
    "EINVAL",
    "call-argument",
    "memory that is there, and a value that may not be is passed",
    call(
      `
      *(u64 *)(r10 - 8) = 0
      r1 = map_fd[hash]
      r2 = r10
      r2 += -8
      call bpf_map_lookup_elem
      r1 = r0`,
      READ,
    ),
    of("int f(long * nonnull)"),
  ),
  refused(
    "EACCES",
    "maybe-null",
    "without a tag the function has to compare with 0",
    call(STACK, READ),
    of("int f(long *)"),
  ),
  refused(
    "EINVAL",
    "call-argument",
    "nullable is only for kernel types",
    call(STACK, NUMBER),
    of("int f(long * nullable)"),
  ),
  refused(
    "EOPNOTSUPP",
    "call-argument",
    "a tag that there isn't",
    call(STACK, NUMBER),
    of("int f(long * other)"),
  ),
  refused(
    "EINVAL",
    "call-argument",
    "a number has no tags",
    call("r1 = 1", NUMBER),
    of("int f(int nonnull)"),
  ),
];
