/** Rows about references: sockets that are looked up have to be released, once, on every path. */

import { accepted, type Row, type RowOptions, refused, withOptions } from "./row.ts";

const HELD = "unreleased-reference";
const NOT_HELD = "not-a-reference";
const STATIC: RowOptions = { functions: ["main", "static"] };

/** Looks a socket up: r0. The context is in r6. */
function lookup(helper: string = "bpf_sk_lookup_udp"): string {
  return `
    r1 = r6
    *(u64 *)(r10 - 40) = 0
    *(u64 *)(r10 - 32) = 0
    r2 = r10
    r2 += -40
    r3 = 12
    r4 = -1
    r5 = 0
    call ${helper}`;
}

/** A program that holds a socket in r7 while it goes through `body`. */
function holding(body: string, helper?: string): string {
  return `
    r6 = r1
    ${lookup(helper)}
    r7 = r0
    if r0 == 0 goto out
    ${body}
    out:
    r0 = 1
    exit`;
}

const RELEASE = "r1 = r7\ncall bpf_sk_release";
const TAIL_CALL = "r1 = r6\nr2 = map_fd[progs]\nr3 = 0\ncall bpf_tail_call";
const SOCKET = "socket-access";
const RELEASE_NUMBER = "helper-argument";

const GIVE_BACK = "\nif r0 == 0 goto out\nr1 = r0\ncall bpf_sk_release\nout:\nr0 = 1\nexit";

/** Looks a socket up in a callback, which finds the context where r6 points to. */
const LOOK_UP = lookup().replace("r1 = r6", "r1 = *(u64 *)(r6 + 0)");
const HOLD = `${lookup()}\nr7 = r0\nif r0 == 0 goto out\n*(u64 *)(r10 - 8) = r7`;

/** Lets bpf_loop call a function of the program. In it, r6 points to the context, then a slot. */
function callback(before: string, body: string, after: string = ""): string {
  return `
    r6 = r1
    *(u64 *)(r10 - 16) = r6
    *(u64 *)(r10 - 8) = 0
    ${before}
    r1 = 5
    r2 = func[round]
    r3 = r10
    r3 += -16
    r4 = 0
    call bpf_loop
    ${after}
    out:
    r0 = 1
    exit
    round:
    r6 = r2
    ${body}
    r0 = 0
    exit`;
}

/** Five rounds, in each of which r0 may be a socket. */
function loop(body: string): string {
  return `
    r6 = r1
    r9 = 0
    again:
    ${lookup()}
    ${body}
    r9 += 1
    if r9 < 5 goto again
    out:
    r0 = 1
    exit`;
}

/** A program of type sk_lookup that assigns what is in r2. */
function assign(before: string): string {
  return `${before}\nr3 = 0\ncall bpf_sk_assign\nout:\nr0 = 1\nexit`;
}

const PATHS: readonly Row[] = [
  accepted("a socket that is released", holding(RELEASE)),
  refused("EINVAL", HELD, "a socket that is never released", holding("")),
  refused(
    "EINVAL",
    HELD,
    "a socket that is not even compared with 0",
    `r6 = r1${lookup()}\nr0 = 1\nexit`,
  ),
  refused(
    "EINVAL",
    HELD,
    "a socket that is kept on one of two ways",
    holding(`call bpf_get_prandom_u32\nif r0 > 7 goto out\n${RELEASE}`),
  ),
  accepted(
    "a socket that is released on both ways",
    holding(`
      call bpf_get_prandom_u32
      if r0 > 7 goto other
      ${RELEASE}
      goto out
      other:
      ${RELEASE}`),
  ),
  refused(
    "EACCES",
    RELEASE_NUMBER,
    "a socket that is released twice",
    holding(`${RELEASE}\n${RELEASE}`),
  ),
  refused(
    "EACCES",
    "maybe-null",
    "what is not compared with 0 is released",
    `r6 = r1${lookup()}\nr1 = r0\ncall bpf_sk_release\nr0 = 1\nexit`,
  ),
  refused(
    "EACCES",
    RELEASE_NUMBER,
    "what is null is released",
    `r6 = r1${lookup()}
    if r0 != 0 goto found
    r1 = r0
    call bpf_sk_release
    goto out
    found:
    r1 = r0
    call bpf_sk_release
    out:
    r0 = 1
    exit`,
  ),
  accepted(
    "two sockets, the first of which is released last",
    holding(`
      ${lookup("bpf_sk_lookup_tcp")}
      if r0 == 0 goto none
      r1 = r0
      call bpf_sk_release
      none:
      ${RELEASE}`),
  ),
  refused(
    "EINVAL",
    HELD,
    "two sockets in one register",
    holding(`
      ${lookup("bpf_sk_lookup_tcp")}
      r7 = r0
      if r0 == 0 goto out
      ${RELEASE}`),
  ),
  refused(
    "EINVAL",
    HELD,
    "the other pointer is null, so the socket is still held",
    `r6 = r1
    ${lookup()}
    r7 = r0
    ${lookup()}
    if r0 == 0 goto out
    r1 = r0
    call bpf_sk_release
    out:
    r0 = 1
    exit`,
  ),
  refused("EINVAL", HELD, "a tail call with a socket held", holding(`${TAIL_CALL}\n${RELEASE}`)),
  accepted("a tail call when the socket was released", holding(`${RELEASE}\n${TAIL_CALL}`)),
  refused(
    "EINVAL",
    HELD,
    "a tail call that comes about when a socket was found and not compared",
    `r6 = r1${lookup()}\n${TAIL_CALL}\nr0 = 1\nexit`,
  ),
];

const COPIES: readonly Row[] = [
  accepted("a copy is released", holding("r1 = r7\nr8 = r7\nr1 = r8\ncall bpf_sk_release")),
  refused(
    "EACCES",
    "not-a-pointer",
    "a copy is used when the socket was released",
    holding(`r8 = r7\n${RELEASE}\nr0 = *(u32 *)(r8 + 4)`),
  ),
  refused(
    "EACCES",
    RELEASE_NUMBER,
    "a copy is released when the socket was released",
    holding(`r8 = r7\n${RELEASE}\nr1 = r8\ncall bpf_sk_release`),
  ),
  accepted(
    "a spilled socket is released",
    holding("*(u64 *)(r10 - 8) = r7\nr7 = 0\nr1 = *(u64 *)(r10 - 8)\ncall bpf_sk_release"),
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "a spilled copy is used when the socket was released",
    holding(`*(u64 *)(r10 - 8) = r7\n${RELEASE}\nr8 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r8 + 4)`),
  ),
  accepted(
    "a socket is spilled before it is compared with 0",
    `r6 = r1
    ${lookup()}
    *(u64 *)(r10 - 8) = r0
    if r0 == 0 goto out
    r1 = *(u64 *)(r10 - 8)
    call bpf_sk_release
    out:
    r0 = 1
    exit`,
  ),
  refused(
    "EINVAL",
    HELD,
    "the only pointer to a socket is overwritten",
    holding("*(u64 *)(r10 - 8) = r7\nr7 = 0\n*(u64 *)(r10 - 8) = 0"),
  ),
  accepted(
    "a socket's address is a number like any other when it was released",
    holding(`r8 = r7\n${RELEASE}\nr8 += 4`),
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "without CAP_PERFMON a released socket is nothing",
    holding(`r8 = r7\n${RELEASE}\nr0 = r8`),
    { without: "CAP_PERFMON" },
  ),
  refused(
    "EACCES",
    "pointer-arithmetic",
    "something is added to a held socket",
    holding("r7 += 0"),
  ),
];

const FUNCTIONS: readonly Row[] = [
  accepted(
    "a function releases the socket that it is given",
    `${holding("r1 = r7\ncall give_back")}
    give_back:
    call bpf_sk_release
    r0 = 0
    exit`,
    STATIC,
  ),
  refused(
    "EACCES",
    RELEASE_NUMBER,
    "a function releases the socket, and its caller as well",
    `${holding(`r1 = r7\ncall give_back\n${RELEASE}`)}
    give_back:
    call bpf_sk_release
    r0 = 0
    exit`,
    STATIC,
  ),
  accepted(
    "a function looks a socket up for its caller",
    `call look_up
    if r0 == 0 goto out
    r1 = r0
    call bpf_sk_release
    out:
    r0 = 1
    exit
    look_up:
    r6 = r1
    ${lookup()}
    exit`,
    STATIC,
  ),
  refused(
    "EINVAL",
    HELD,
    "a function looks a socket up and forgets it",
    `call look_up
    r0 = 1
    exit
    look_up:
    r6 = r1
    ${lookup()}
    r0 = 0
    exit`,
    STATIC,
  ),
  accepted(
    "a global function is called with a socket held",
    `${holding(`r1 = 0\ncall number\n${RELEASE}`)}
    number:
    r0 = 0
    exit`,
    { functions: ["main", "int f(int)"] },
  ),
  // Linux looks at what is held in the main function only.
  accepted(
    "a function makes a tail call with its caller's socket held",
    `${holding(`r1 = r6\ncall away\n${RELEASE}`)}
    away:
    r2 = map_fd[progs]
    r3 = 0
    call bpf_tail_call
    r0 = 0
    exit`,
    STATIC,
  ),
  accepted(
    "a callback looks a socket up and releases it",
    callback("", `${LOOK_UP}\nif r0 == 0 goto none\nr1 = r0\ncall bpf_sk_release\nnone:`),
    STATIC,
  ),
  refused(
    "EINVAL",
    HELD,
    "a callback looks a socket up and forgets it",
    callback("", LOOK_UP),
    STATIC,
  ),
  accepted(
    "a callback reads a socket that its caller holds",
    callback(HOLD, "r1 = *(u64 *)(r6 + 8)\nr0 = *(u32 *)(r1 + 4)", RELEASE),
    STATIC,
  ),
  refused(
    "EINVAL",
    HELD,
    "a callback, which may not be called, releases a socket that its caller holds",
    callback(HOLD, "r1 = *(u64 *)(r6 + 8)\ncall bpf_sk_release"),
    STATIC,
  ),
  refused(
    "EACCES",
    RELEASE_NUMBER,
    "a callback releases a socket in each round",
    callback(HOLD, "r1 = *(u64 *)(r6 + 8)\ncall bpf_sk_release", RELEASE),
    STATIC,
  ),
];

const LOOPS: readonly Row[] = [
  accepted(
    "a socket in each round",
    loop(`
      if r0 == 0 goto none
      r1 = r0
      call bpf_sk_release
      none:`),
  ),
  refused("EINVAL", HELD, "a socket in each round, never released", loop("")),
  accepted(
    "a socket in each round of a loop without a bound of its own",
    `r6 = r1
    again:
    may_goto out
    ${lookup()}
    if r0 == 0 goto again
    r1 = r0
    call bpf_sk_release
    goto again
    out:
    r0 = 1
    exit`,
  ),
  refused(
    "EINVAL",
    HELD,
    "a loop is left with a socket held",
    loop(`
      if r0 == 0 goto none
      r8 = r0
      call bpf_get_prandom_u32
      if r0 > 7 goto out
      r1 = r8
      call bpf_sk_release
      none:`),
  ),
];

const SOCKETS: readonly Row[] = [
  accepted("a field of a found socket", holding(`r0 = *(u32 *)(r7 + 16)\n${RELEASE}`)),
  accepted("the first byte of a port", holding(`r0 = *(u8 *)(r7 + 44)\n${RELEASE}`)),
  accepted("the last byte of an address", holding(`r0 = *(u8 *)(r7 + 43)\n${RELEASE}`)),
  refused(
    "EACCES",
    SOCKET,
    "the second byte of a port",
    holding(`r0 = *(u8 *)(r7 + 45)\n${RELEASE}`),
  ),
  refused("EACCES", SOCKET, "part of the mark", holding(`r0 = *(u16 *)(r7 + 16)\n${RELEASE}`)),
  refused(
    "EACCES",
    SOCKET,
    "a field behind a found socket",
    holding(`r0 = *(u32 *)(r7 + 80)\n${RELEASE}`),
  ),
  refused(
    "EACCES",
    SOCKET,
    "a store into a found socket",
    holding(`*(u32 *)(r7 + 16) = 1\n${RELEASE}`),
  ),
  refused(
    "EACCES",
    "maybe-null",
    "a field before the comparison with 0",
    `r6 = r1${lookup()}\nr0 = *(u32 *)(r0 + 4)\nr0 = 1\nexit`,
  ),
  accepted(
    "a field that sockets of all kinds have",
    holding(`r0 = *(u32 *)(r7 + 4)\n${RELEASE}`, "bpf_skc_lookup_tcp"),
  ),
  refused(
    "EACCES",
    SOCKET,
    "a field that only full sockets have",
    holding(`r0 = *(u32 *)(r7 + 16)\n${RELEASE}`, "bpf_skc_lookup_tcp"),
  ),
  accepted("a tuple of no bytes", `r6 = r1${lookup().replace("r3 = 12", "r3 = 0")}${GIVE_BACK}`),
  refused(
    "EINVAL",
    "stack-bounds",
    "a tuple behind the stack",
    `r6 = r1${lookup().replace("r3 = 12", "r3 = 48")}${GIVE_BACK}`,
  ),
  refused(
    "EACCES",
    "helper-size",
    "a tuple of any size",
    `r6 = r1
    call bpf_get_prandom_u32
    r8 = r0
    r8 <<= 30
    ${lookup().replace("r3 = 12", "r3 = r8")}${GIVE_BACK}`,
  ),
  ...withOptions({ type: "sk_lookup" }, [
    refused(
      "EINVAL",
      NOT_HELD,
      "the socket that an earlier program chose is released",
      "r1 = *(u64 *)(r1 + 0)\nif r1 == 0 goto out\ncall bpf_sk_release\nout:\nr0 = 1\nexit",
    ),
    refused(
      "EACCES",
      "maybe-null",
      "the same, not compared with 0",
      "r1 = *(u64 *)(r1 + 0)\ncall bpf_sk_release\nr0 = 1\nexit",
    ),
    accepted("a socket that may be none is assigned", assign("r2 = *(u64 *)(r1 + 0)")),
    accepted("none is assigned", assign("r2 = 0")),
    accepted(
      "the socket that an earlier program chose is assigned",
      assign("r2 = *(u64 *)(r1 + 0)\nif r2 == 0 goto out"),
    ),
    refused("EACCES", RELEASE_NUMBER, "a number is assigned", assign("r2 = 7")),
    refused("EACCES", RELEASE_NUMBER, "the context is assigned", assign("r2 = r1")),
    refused(
      "EINVAL",
      "helper-not-for-type",
      "a lookup by a program of another type",
      `r6 = r1${lookup()}${GIVE_BACK}`,
    ),
  ]),
];

export const REFERENCE_ROWS: readonly Row[] = [
  ...PATHS,
  ...COPIES,
  ...FUNCTIONS,
  ...LOOPS,
  ...SOCKETS,
];
