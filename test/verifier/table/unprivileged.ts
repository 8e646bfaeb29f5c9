/** Rows about what tasks without any capability may load, where they are let in. */

import * as BPF from "../../../src/abi/bpf.ts";
import { FOUND } from "./maps.ts";
import { accepted, type Row, refused, withOptions } from "./row.ts";

const END = "r0 = 1\nexit";

/** r7 is a number up to 31, which goes through the stack. */
const SPILLED = `
    ${FOUND}
    r7 = *(u32 *)(r6 + 16)
    r7 &= 31
    *(u64 *)(r10 - 16) = r7
    r8 = *(u64 *)(r10 - 16)
    r0 += r8
    r3 = *(u8 *)(r0 + 0)
    out:
    ${END}`;

/** The key is known, and within the array: the value is there. */
const KNOWN_KEY = `
    *(u32 *)(r10 - 8) = 1
    r1 = map_fd[array]
    r2 = r10
    r2 += -8
    call bpf_map_lookup_elem
    r3 = *(u64 *)(r0 + 0)
    ${END}`;

/** What is learnt of a sum holds for the number that it was made of. */
const SUM = `
    ${FOUND}
    r7 = *(u32 *)(r6 + 16)
    r8 = r7
    r8 += 4
    if r8 > 30 goto out
    r0 += r7
    r3 = *(u8 *)(r0 + 0)
    out:
    ${END}`;

const LOOP = "r6 = 0\nagain:\nr6 += 1\nif r6 < 10 goto again";

/** What CAP_BPF makes the difference for, all else being equal. */
const TRACKED: readonly (readonly [title: string, text: string, refusal: readonly string[]])[] = [
  ["a number is spilled, filled and used", SPILLED, ["EINVAL", "pointer-bounds"]],
  ["an array is looked into at a key that is known", KNOWN_KEY, ["EACCES", "maybe-null"]],
  ["a number learns from a sum made of it", SUM, ["EACCES", "map-value-bounds"]],
];

export const UNPRIVILEGED_ROWS: readonly Row[] = [
  ...withOptions({ without: "all capabilities", type: "socket_filter" }, [
    accepted("a socket filter", END),
    refused("EPERM", "", "no XDP program", END, { type: "xdp" }),
    refused("EPERM", "", "no flow dissector", END, { type: "flow_dissector" }),
    refused("EPERM", "", "no sk_lookup program", END, { type: "sk_lookup" }),
    refused("EPERM", "unprivileged-function", "a function", `call f\n${END}\nf:\n${END}`),
    refused("EPERM", "unprivileged-function", "a callback", `r2 = func[f]\n${END}\nf:\n${END}`),
    refused("EPERM", "unprivileged-function", "a call to nowhere", `call +100\n${END}`),
    refused(
      "EPERM",
      "unprivileged-function",
      "a function, before a jump to nowhere is seen",
      `goto +100\ncall f\n${END}\nf:\n${END}`,
    ),
    refused("EINVAL", "unprivileged-loop", "a loop of ten rounds", `${LOOP}\n${END}`),
    refused("EINVAL", "unprivileged-loop", "a jump to itself", `here:\ngoto here\n${END}`),
    refused(
      "EINVAL",
      "unprivileged-loop",
      "a loop that may_goto leaves",
      `again:\nmay_goto done\ngoto again\ndone:\n${END}`,
    ),
    refused(
      "EINVAL",
      "unprivileged-loop",
      "a loop, before code is seen that nobody reaches",
      `${LOOP}\nr0 = 0\nexit\n${END}`,
    ),
    refused(
      "EBADF",
      "bad-map",
      "a loop, after a map is seen that isn't there",
      `r1 = map_fd[99999]\n${LOOP}\n${END}`,
    ),
    accepted("a jump back that is no loop", `goto a\nb:\n${END}\na:\ngoto b`),
    accepted("may_goto forward", `may_goto past\npast:\n${END}`),
    accepted(
      "TEST_STATE_FREQ, which asks for nothing",
      `call bpf_get_prandom_u32\nif r0 > 1 goto past\npast:\n${END}`,
      { flags: BPF.BPF_F_TEST_STATE_FREQ },
    ),
    accepted("a load from the packet by BPF_LD", `r6 = r1\nr0 = *(u8 *)skb[12]\n${END}`),
    accepted(
      "an atomic operation",
      `*(u64 *)(r10 - 8) = 0\nr1 = 1\nlock *(u64 *)(r10 - 8) += r1\n${END}`,
    ),
    accepted("a tail call", `r2 = map_fd[progs]\nr3 = 0\ncall bpf_tail_call\n${END}`),
    accepted(
      "a pointer is spilled and filled",
      `*(u64 *)(r10 - 8) = r1\nr6 = *(u64 *)(r10 - 8)
      r0 = *(u32 *)(r6 + 0)\nexit`,
    ),
    accepted(
      "a zero is stored and added to a pointer",
      `${FOUND}
      r7 = *(u64 *)(r10 - 8)\nr0 += r7\nr3 = *(u8 *)(r0 + 0)\nout:\n${END}`,
    ),
    accepted("a helper for everybody", `call bpf_ktime_get_ns\n${END}`),
    refused("EINVAL", "helper-not-for-type", "one that wants CAP_BPF", `call 118\n${END}`),
    refused("EINVAL", "helper-not-for-type", "one that wants CAP_PERFMON too", `call 6\n${END}`),
    refused("EACCES", "pointer-leak", "a pointer is returned", "r0 = r1\nexit"),
    refused(
      "EACCES",
      "stack-uninitialized",
      "a stack slot that was never written is read",
      `r0 = *(u64 *)(r10 - 8)\n${END}`,
    ),
  ]),
  ...TRACKED.flatMap(([title, text, [errno = "", cause = ""]]) => [
    refused(errno, cause, `${title}, without CAP_BPF`, text, {
      without: "all capabilities",
      type: "socket_filter",
    }),
    accepted(`${title}, with it`, text, { without: "CAP_PERFMON", type: "socket_filter" }),
  ]),
];
