/** Rows about functions of the program: calls, callbacks, stack, tail calls. */

import { accepted, type Row, type RowOptions, refused } from "./row.ts";

const END = "r0 = 1\nexit";
const STATIC: RowOptions = { functions: ["main", "static"] };
const GLOBAL: RowOptions = { functions: ["main", "int f(int)"] };
const BY_REFERENCE: RowOptions = { functions: ["main", "int f(long *)"] };
const WITH_CONTEXT: RowOptions = { functions: ["main", "int f(struct xdp_md *)"] };

/** A chain of so many functions below the main one. */
function chain(length: number): string {
  const functions = Array.from({ length }, (_, i) =>
    i + 1 < length ? `f${i}:\ncall f${i + 1}\nexit` : `f${i}:\nr0 = 1\nexit`,
  );
  return `call f0\nexit\n${functions.join("\n")}`;
}

/** bpf_loop() with a callback. */
function loop(callback: string, before: string = "r3 = 0"): string {
  return `
    r1 = 4
    r2 = func[callback]
    ${before}
    r4 = 0
    call bpf_loop
    ${END}
    callback:
    ${callback}`;
}

/** bpf_for_each_map_elem() with a callback. */
function forEach(callback: string, map: string = "map_fd[hash]"): string {
  return `
    r1 = ${map}
    r2 = func[callback]
    r3 = 0
    r4 = 0
    call bpf_for_each_map_elem
    ${END}
    callback:
    ${callback}`;
}

const TAIL_CALL = "r2 = map_fd[progs]\nr3 = 0\ncall bpf_tail_call";

export const FUNCTION_ROWS: readonly Row[] = [
  accepted(
    "a function gets its arguments and returns",
    "r6 = r1\nr1 = 5\ncall f\nexit\nf:\nr0 = r1\nexit",
  ),
  accepted("a function gets the context", "call f\nr0 = 1\nexit\nf:\nr0 = *(u32 *)(r1 + 12)\nexit"),
  refused(
    "EACCES",
    "uninitialized-register",
    "r6 of the caller is not the function's",
    "r6 = 1\ncall f\nexit\nf:\nr0 = r6\nexit",
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "r1 is lost in a call",
    `call f\nr2 = r1\n${END}\nf:\nr0 = 1\nexit`,
  ),
  accepted(
    "r6 is kept over a call",
    `r6 = r1\ncall f\nr0 = *(u32 *)(r6 + 12)\n${END}\nf:\nr6 = 0\nr0 = 1\nexit`,
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "a function returns nothing",
    "call f\nexit\nf:\nexit",
  ),
  accepted(
    "a range comes back",
    `
      call f
      r1 = map_value[data][0]
      r1 += r0
      r0 = *(u8 *)(r1 + 0)
      r0 = 1
      exit
      f:
      r0 = *(u32 *)(r1 + 12)
      r0 &= 63
      exit`,
  ),
  refused(
    "EACCES",
    "map-value-bounds",
    "one that is too wide",
    `
      call f
      r1 = map_value[data][0]
      r1 += r0
      r0 = *(u8 *)(r1 + 0)
      r0 = 1
      exit
      f:
      r0 = *(u32 *)(r1 + 12)
      r0 &= 64
      exit`,
  ),
  accepted(
    "the stack of the caller is read",
    `*(u64 *)(r10 - 8) = 7\nr1 = r10\nr1 += -8\ncall f\n${END}\nf:\nr0 = *(u64 *)(r1 + 0)\nexit`,
  ),
  refused(
    "EACCES",
    "stack-bounds",
    "beyond it",
    `*(u64 *)(r10 - 8) = 7\nr1 = r10\ncall f\n${END}\nf:\nr0 = *(u64 *)(r1 + 0)\nexit`,
  ),
  refused(
    "EINVAL",
    "return-value",
    "a pointer to the function's stack is returned",
    `call f\n${END}\nf:\nr0 = r10\nexit`,
  ),
  refused(
    "EINVAL",
    "stack-spill",
    "it is left in the caller's stack",
    `r1 = r10\nr1 += -8\ncall f\n${END}\nf:\n*(u64 *)(r1 + 0) = r10\nr0 = 0\nexit`,
  ),
  accepted("eight frames", chain(7)),
  refused("E2BIG", "call-depth", "nine frames", chain(8)),
  refused("E2BIG", "call-depth", "recursion", `call f\n${END}\nf:\ncall f\nexit`),
  accepted(
    "512 bytes of stack in two functions",
    `*(u64 *)(r10 - 256) = 1\ncall f\n${END}\nf:\n*(u64 *)(r10 - 256) = 1\nr0 = 0\nexit`,
  ),
  refused(
    "EACCES",
    "stack-depth",
    "more than 512 bytes in two functions",
    `*(u64 *)(r10 - 264) = 1\ncall f\n${END}\nf:\n*(u64 *)(r10 - 256) = 1\nr0 = 0\nexit`,
  ),
  accepted(
    "a global function is verified by itself",
    `r1 = 5\ncall f\n${END}\nf:\nr0 = r1\nexit`,
    GLOBAL,
  ),
  refused(
    "EINVAL",
    "call-argument",
    "a pointer for its number",
    `call f\n${END}\nf:\nr0 = r1\nexit`,
    GLOBAL,
  ),
  refused(
    "EINVAL",
    "pointer-bounds",
    "its result may be anything",
    `
      r1 = 5
      call f
      r1 = map_value[data][0]
      r1 += r0
      r0 = *(u8 *)(r1 + 0)
      ${END}
      f:
      r0 = 5
      exit`,
    GLOBAL,
  ),
  refused(
    "EACCES",
    "map-value-bounds",
    "its argument may be anything",
    `
      r1 = 5
      call f
      ${END}
      f:
      r2 = map_value[data][0]
      w1 = w1
      r2 += r1
      r0 = *(u8 *)(r2 + 0)
      exit`,
    GLOBAL,
  ),
  accepted(
    "memory for its pointer",
    `
      *(u64 *)(r10 - 8) = 7
      r1 = r10
      r1 += -8
      call f
      ${END}
      f:
      if r1 == 0 goto out
      r0 = *(u64 *)(r1 + 0)
      exit
      out:
      r0 = 0
      exit`,
    BY_REFERENCE,
  ),
  refused(
    "EACCES",
    "maybe-null",
    "which may be NULL in it",
    `*(u64 *)(r10 - 8) = 7\nr1 = r10\nr1 += -8\ncall f\n${END}\nf:\nr0 = *(u64 *)(r1 + 0)\nexit`,
    BY_REFERENCE,
  ),
  refused(
    "EACCES",
    "memory-bounds",
    "and is as large as its type",
    `
      *(u64 *)(r10 - 8) = 7
      r1 = r10
      r1 += -8
      call f
      ${END}
      f:
      if r1 == 0 goto out
      r0 = *(u64 *)(r1 + 8)
      exit
      out:
      r0 = 0
      exit`,
    BY_REFERENCE,
  ),
  refused(
    "EINVAL",
    "call-argument",
    "a number for its pointer",
    `r1 = 8\ncall f\n${END}\nf:\nr0 = 0\nexit`,
    BY_REFERENCE,
  ),
  refused(
    "EINVAL",
    "call-argument",
    "the context for its pointer",
    `call f\n${END}\nf:\nr0 = 0\nexit`,
    BY_REFERENCE,
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "nothing for its pointer",
    `call bpf_get_prandom_u32\ncall f\n${END}\nf:\nr0 = 0\nexit`,
    BY_REFERENCE,
  ),
  accepted(
    "the context for its context",
    `call f\n${END}\nf:\nr0 = *(u32 *)(r1 + 12)\nexit`,
    WITH_CONTEXT,
  ),
  refused(
    "EINVAL",
    "call-argument",
    "a number for its context",
    `r1 = 8\ncall f\n${END}\nf:\nr0 = 0\nexit`,
    WITH_CONTEXT,
  ),
  refused(
    "EINVAL",
    "call-argument",
    "the stack for its context",
    `r1 = r10\nr1 += -8\ncall f\n${END}\nf:\nr0 = 0\nexit`,
    WITH_CONTEXT,
  ),
  refused(
    "EACCES",
    "context-access",
    "a context that was moved",
    `r1 += 4\ncall f\n${END}\nf:\nr0 = 0\nexit`,
    WITH_CONTEXT,
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "nothing for its context",
    `call bpf_get_prandom_u32\ncall f\n${END}\nf:\nr0 = 0\nexit`,
    WITH_CONTEXT,
  ),
  refused(
    "EINVAL",
    "call-argument",
    "nothing for its number",
    `call bpf_get_prandom_u32\ncall f\n${END}\nf:\nr0 = 0\nexit`,
    GLOBAL,
  ),
  accepted("bpf_loop calls back", loop("r0 = 0\nexit"), STATIC),
  refused("EINVAL", "callback-return", "a callback returns 2", loop("r0 = 2\nexit"), STATIC),
  refused(
    "EINVAL",
    "callback-return",
    "a callback returns its index",
    loop("r0 = r1\nexit"),
    STATIC,
  ),
  accepted("a callback that may return 0 or 1", loop("r0 = r1\nr0 &= 1\nexit"), STATIC),
  refused(
    "EINVAL",
    "return-value",
    "a callback returns a pointer",
    loop("r0 = r10\nr0 = r2\nexit", "r3 = r10\nr3 += -8"),
    STATIC,
  ),
  accepted(
    "a callback writes the stack that it is given",
    loop("*(u64 *)(r2 + 0) = 1\nr0 = 0\nexit", "*(u64 *)(r10 - 8) = 0\nr3 = r10\nr3 += -8"),
    STATIC,
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "a callback writes a stack that it isn't given",
    loop("*(u64 *)(r2 + 0) = 1\nr0 = 0\nexit"),
    STATIC,
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "a callback of bpf_loop has two arguments",
    loop("r0 = r3\nexit"),
    STATIC,
  ),
  refused("EINVAL", "callback", "a callback without func_info", loop("r0 = 0\nexit")),
  refused("EINVAL", "callback", "a callback that is global", loop("r0 = 0\nexit"), GLOBAL),
  refused(
    "EINVAL",
    "callback-return",
    "what a callback returns is followed",
    loop("r0 = 0\nif r1 < 2 goto out\nr0 = 5\nout:\nexit"),
    STATIC,
  ),
  refused(
    "EACCES",
    "helper-argument",
    "bpf_loop without a callback",
    `r1 = 4\nr2 = 0\nr3 = 0\nr4 = 0\ncall bpf_loop\n${END}`,
  ),
  refused("EINVAL", "endless-loop", "a loop in a callback", loop("again:\ngoto again"), STATIC),
  accepted("each element of a map", forEach("r4 = *(u64 *)(r3 + 40)\nr0 = 0\nexit"), STATIC),
  refused(
    "EACCES",
    "map-value-bounds",
    "beyond its value",
    forEach("r4 = *(u64 *)(r3 + 48)\nr0 = 0\nexit"),
    STATIC,
  ),
  accepted("its key is read", forEach("r4 = *(u64 *)(r2 + 0)\nr0 = 0\nexit"), STATIC),
  refused(
    "EACCES",
    "memory-bounds",
    "but not beyond it",
    forEach("r4 = *(u64 *)(r2 + 8)\nr0 = 0\nexit"),
    STATIC,
  ),
  refused(
    "EACCES",
    "map-access-forbidden",
    "and not written",
    forEach("*(u64 *)(r2 + 0) = 1\nr0 = 0\nexit"),
    STATIC,
  ),
  accepted("its value is written", forEach("*(u64 *)(r3 + 0) = 1\nr0 = 0\nexit"), STATIC),
  refused(
    "ENOTSUPP",
    "helper-map",
    "programs have no elements to go through",
    forEach("r0 = 0\nexit", "map_fd[progs]"),
    STATIC,
  ),
  accepted("a tail call", `${TAIL_CALL}\n${END}`),
  accepted(
    "a tail call by a number",
    `r3 = *(u32 *)(r1 + 12)\nr2 = map_fd[progs]\ncall bpf_tail_call\n${END}`,
  ),
  refused(
    "EINVAL",
    "helper-map",
    "a tail call through a hash",
    `r2 = map_fd[hash]\nr3 = 0\ncall bpf_tail_call\n${END}`,
  ),
  refused(
    "EACCES",
    "helper-argument",
    "a tail call without the context",
    `r1 = r10\n${TAIL_CALL}\n${END}`,
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "a tail call without an index",
    `r2 = map_fd[progs]\ncall bpf_tail_call\n${END}`,
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "what a tail call leaves in r0 is nothing",
    `${TAIL_CALL}\nexit`,
  ),
  refused(
    "EINVAL",
    "helper-map",
    "a lookup in a prog array",
    `
      *(u32 *)(r10 - 4) = 0
      r1 = map_fd[progs]
      r2 = r10
      r2 += -4
      call bpf_map_lookup_elem
      ${END}`,
  ),
  refused(
    "EINVAL",
    "tail-call-place",
    "a tail call in a function without BTF",
    `call f\n${END}\nf:\n${TAIL_CALL}\nr0 = 0\nexit`,
  ),
  accepted(
    "a tail call in a function that returns int",
    `call f\n${END}\nf:\n${TAIL_CALL}\nr0 = 0\nexit`,
    STATIC,
  ),
  refused(
    "EACCES",
    "stack-depth",
    "a tail call above 256 bytes of stack",
    `*(u64 *)(r10 - 256) = 1\ncall f\n${END}\nf:\n${TAIL_CALL}\nr0 = 0\nexit`,
    STATIC,
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "a function that tail-calls may have changed the packet",
    `
      r6 = r1
      r7 = *(u32 *)(r1 + 0)
      r8 = *(u32 *)(r1 + 4)
      r2 = r7
      r2 += 8
      if r2 > r8 goto out
      call f
      r0 = *(u64 *)(r7 + 0)
      out:
      ${END}
      f:
      ${TAIL_CALL}
      r0 = 0
      exit`,
    STATIC,
  ),
];
