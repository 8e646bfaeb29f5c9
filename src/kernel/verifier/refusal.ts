/**
 * Why the verifier refuses a program: thrown where it is found out, caught where the verdict is
 * given. Nothing outside of this room sees it.
 */

/** The kinds of reasons, and what usually mends a program. */
export const CAUSES = {
  "uninitialized-register": "give the register a value on every path that leads here",
  "unchecked-packet-access": "compare the end of the access with data_end before it",
  "packet-write": "programs of this type only read packets",
  "map-value-bounds": "compare the index with the size of the value before the access",
  "map-access-forbidden": "the map was created without this access for programs",
  "stack-bounds": "the stack of a function has 512 bytes below r10",
  "stack-uninitialized": "write the bytes before they are read",
  "stack-spill": "write and read pointers in the stack as a whole, 8 bytes at a time",
  misaligned: "move the data to an offset that is a multiple of the access",
  "context-access": "read the field at its own offset and width",
  "flow-keys-access": "stay within the 56 bytes of bpf_flow_keys, at constant offsets",
  "socket-access": "read the field at its own offset and width",
  "not-a-pointer": "this register holds no pointer that may be used here",
  "maybe-null": "compare the pointer with 0 before using it",
  "pointer-arithmetic": "only add to or subtract from this kind of pointer what is bounded",
  "pointer-bounds": "bound the number before adding it to a pointer",
  "pointer-comparison": "compare pointers only with the end of the packet or with 0",
  "pointer-leak": "a task without CAP_PERFMON must keep addresses to itself",
  "mixed-pointers": "use one kind of pointer for each load",
  "helper-argument": "pass the helper what its prototype asks for",
  "helper-size": "bound the size from above, and from below at 1",
  "helper-map": "use the helper with the kinds of maps that it works on",
  "return-value": "return one of the values that programs of this type may return",
  "callback-return": "callbacks return 0 or 1",
  "call-depth": "call fewer functions within each other",
  "call-argument": "pass the function what its BTF signature asks for",
  "stack-depth": "use less stack in functions that call each other",
  "endless-loop": "make the loop count towards a bound that is known",
  "too-complex": "make loops shorter, or use bpf_loop",
  unsupported: "Linux can do this, the embedded kernel can't",
  "bad-instruction": "no compiler makes such an instruction",
} as const;

/** One of {@link CAUSES}. */
export type Cause = keyof typeof CAUSES;

/** A program is refused. */
export class Refusal extends Error {
  /** Positive. */
  readonly errno: number;
  readonly reason: Cause;

  /** @param message - what the log says, in Linux's terms. */
  constructor(errno: number, reason: Cause, message: string) {
    super(message);
    this.name = "Refusal";
    this.errno = errno;
    this.reason = reason;
  }
}
