/** Rows about maps: lookups that may find nothing, and the bounds of values. */

import { accepted, type Row, refused } from "./row.ts";

const BOUNDS = "map-value-bounds";

/** r0 is what a lookup in the hash found; `body` stands behind the comparison with 0. */
function found(body: string, before: string = ""): string {
  return `
    r6 = r1
    ${before}
    *(u64 *)(r10 - 8) = 0
    r1 = map_fd[hash]
    r2 = r10
    r2 += -8
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    ${body}
  out:
    r0 = 1
    exit`;
}

/** As {@link found}, without the comparison. */
function lookedUp(body: string): string {
  return found(body).replace("if r0 == 0 goto out", "");
}

/** r0 is the only value of a map whose address programs know. */
function direct(map: string, body: string): string {
  return `r0 = map_value[${map}][0]\n${body}\nr0 = 1\nexit`;
}

/** r7 becomes a number of the context. */
const NUMBER = "r7 = *(u32 *)(r6 + 16)";

export const MAP_ROWS: readonly Row[] = [
  accepted("a value is read behind the comparison with 0", found("r3 = *(u64 *)(r0 + 0)")),
  refused("EACCES", "maybe-null", "a value is read without", lookedUp("r3 = *(u64 *)(r0 + 0)")),
  refused("EACCES", "maybe-null", "a value is written without", lookedUp("*(u64 *)(r0 + 0) = 1")),
  refused("EACCES", "maybe-null", "something is added to what may be NULL", lookedUp("r0 += 8")),
  refused(
    "EACCES",
    "not-a-pointer",
    "the comparison is the wrong way round",
    found("").replace("if r0 == 0 goto out", "if r0 != 0 goto out\nr3 = *(u64 *)(r0 + 0)"),
  ),
  accepted(
    "the comparison holds for copies",
    lookedUp("r7 = r0\nif r7 == 0 goto out\nr3 = *(u64 *)(r0 + 0)"),
  ),
  refused(
    "EACCES",
    "maybe-null",
    "but not for another lookup",
    found(
      `
        r7 = r0
        r1 = map_fd[hash]
        r2 = r10
        r2 += -8
        call bpf_map_lookup_elem
        r3 = *(u64 *)(r0 + 0)`,
    ),
  ),
  accepted(
    "the comparison holds in the stack",
    lookedUp(
      `
        *(u64 *)(r10 - 16) = r0
        if r0 == 0 goto out
        r7 = *(u64 *)(r10 - 16)
        r3 = *(u64 *)(r7 + 0)`,
    ),
  ),
  accepted("the last bytes of the value", found("r3 = *(u64 *)(r0 + 40)")),
  refused("EACCES", BOUNDS, "behind the value", found("r3 = *(u8 *)(r0 + 48)")),
  refused("EACCES", BOUNDS, "across its end", found("r3 = *(u64 *)(r0 + 44)")),
  refused("EACCES", BOUNDS, "before the value", found("r3 = *(u8 *)(r0 - 1)")),
  refused(
    "EACCES",
    BOUNDS,
    "behind it by a constant that is added",
    found("r0 += 48\nr3 = *(u8 *)(r0 + 0)"),
  ),
  accepted(
    "back again by one that is subtracted",
    found("r0 += 48\nr0 -= 8\nr3 = *(u64 *)(r0 + 0)"),
  ),
  refused(
    "EACCES",
    BOUNDS,
    "an index that may be anything",
    found(`${NUMBER}\nr0 += r7\nr3 = *(u8 *)(r0 + 0)`),
  ),
  accepted(
    "an index that a mask bounds",
    found(`${NUMBER}\nr7 &= 31\nr0 += r7\nr3 = *(u8 *)(r0 + 0)`),
  ),
  refused(
    "EACCES",
    BOUNDS,
    "a mask that is too wide",
    found(`${NUMBER}\nr7 &= 63\nr0 += r7\nr3 = *(u8 *)(r0 + 0)`),
  ),
  accepted(
    "an index that a comparison bounds",
    found(`${NUMBER}\nif r7 > 47 goto out\nr0 += r7\nr3 = *(u8 *)(r0 + 0)`),
  ),
  refused(
    "EACCES",
    BOUNDS,
    "a comparison that is off by one",
    found(`${NUMBER}\nif r7 > 48 goto out\nr0 += r7\nr3 = *(u8 *)(r0 + 0)`),
  ),
  refused(
    "EACCES",
    BOUNDS,
    "a wider access than was compared for",
    found(`${NUMBER}\nif r7 > 47 goto out\nr0 += r7\nr3 = *(u16 *)(r0 + 0)`),
  ),
  refused(
    "EACCES",
    BOUNDS,
    "a signed comparison that leaves negative ones",
    found(`${NUMBER}\nr7 -= 100\nif r7 s> 40 goto out\nr0 += r7\nr3 = *(u8 *)(r0 + 0)`),
  ),
  refused(
    "EACCES",
    BOUNDS,
    "an index that may be negative",
    found(`${NUMBER}\nr7 &= 15\nr7 -= 1\nr0 += r7\nr3 = *(u8 *)(r0 + 0)`),
  ),
  accepted(
    "an index that is scaled within the value",
    found(`${NUMBER}\nr7 &= 3\nr7 <<= 3\nr0 += r7\nr3 = *(u64 *)(r0 + 16)`),
  ),
  refused(
    "EACCES",
    BOUNDS,
    "an index that is scaled beyond it",
    found(`${NUMBER}\nr7 &= 7\nr7 <<= 3\nr0 += r7\nr3 = *(u64 *)(r0 + 0)`),
  ),
  accepted(
    "an array's value at a constant key that it has needs no comparison",
    `
      r2 = 3
      *(u32 *)(r10 - 8) = r2
      r1 = map_fd[array]
      r2 = r10
      r2 += -8
      call bpf_map_lookup_elem
      r3 = *(u64 *)(r0 + 0)
      r0 = 1
      exit`,
  ),
  refused(
    "EACCES",
    "maybe-null",
    "at one that it hasn't, it does",
    `
      r2 = 4
      *(u32 *)(r10 - 8) = r2
      r1 = map_fd[array]
      r2 = r10
      r2 += -8
      call bpf_map_lookup_elem
      r3 = *(u64 *)(r0 + 0)
      r0 = 1
      exit`,
  ),
  accepted("the address of a value", direct("data", "r3 = *(u64 *)(r0 + 56)")),
  refused(
    "EACCES",
    BOUNDS,
    "the address of a value, and beyond it",
    direct("data", "r3 = *(u64 *)(r0 + 60)"),
  ),
  accepted(
    "an address in the middle of a value",
    "r0 = map_value[data][32]\nr3 = *(u64 *)(r0 + 24)\nr0 = 1\nexit",
  ),
  refused(
    "EACCES",
    BOUNDS,
    "an address in the middle counts",
    "r0 = map_value[data][32]\nr3 = *(u64 *)(r0 + 32)\nr0 = 1\nexit",
  ),
  refused(
    "EINVAL",
    "bad-map",
    "an address behind the value",
    "r0 = map_value[data][64]\nr0 = 1\nexit",
  ),
  refused(
    "EINVAL",
    "bad-map",
    "an address 8 bytes before the value",
    "r0 = map_value[data][4294967288]\nr3 = *(u64 *)(r0 + 8)\nr0 = 1\nexit",
  ),
  refused("EINVAL", "bad-map", "the address of a value of a hash", direct("hash", "")),
  refused("EBADF", "bad-map", "an fd that is none", "r1 = map_fd[9999]\nr0 = 1\nexit"),
  refused(
    "EACCES",
    "map-access-forbidden",
    "a store into a map that programs only read",
    direct("rdonly", "*(u64 *)(r0 + 0) = 1"),
  ),
  accepted("a load from it", direct("rdonly", "r3 = *(u64 *)(r0 + 0)")),
  refused(
    "EACCES",
    "map-access-forbidden",
    "a load from a map that programs only write",
    direct("wronly", "r3 = *(u64 *)(r0 + 0)"),
  ),
  accepted("a store into it", direct("wronly", "*(u64 *)(r0 + 0) = 1")),
  accepted(
    "what can't change is a constant: 7 is a good index",
    `
      r2 = map_value[rodata][8]
      r3 = *(u64 *)(r2 + 0)
      r0 = map_value[data][0]
      r0 += r3
      r4 = *(u8 *)(r0 + 56)
      r0 = 1
      exit`,
  ),
  refused(
    "EINVAL",
    "pointer-bounds",
    "and what can change is not",
    `
      r2 = map_value[rdonly][8]
      r3 = *(u64 *)(r2 + 0)
      r0 = map_value[data][0]
      r0 += r3
      r4 = *(u8 *)(r0 + 56)
      r0 = 1
      exit`,
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "the map itself is not read, which Linux lets programs do",
    "r1 = map_fd[hash]\nr0 = *(u32 *)(r1 + 24)\nr0 = 1\nexit",
    { onLinux: { errno: "", cause: "" } },
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "the map itself is not stored to",
    "r1 = map_fd[hash]\n*(u64 *)(r1 + 0) = 1\nr0 = 1\nexit",
  ),
  refused(
    "EACCES",
    "pointer-arithmetic",
    "and nothing is added to it",
    "r1 = map_fd[hash]\nr1 += 8\nr0 = 1\nexit",
  ),
  accepted(
    "an update from the stack",
    `
      *(u64 *)(r10 - 8) = 1
      *(u64 *)(r10 - 16) = 1
      *(u64 *)(r10 - 24) = 1
      *(u64 *)(r10 - 32) = 1
      r1 = map_fd[lru]
      r2 = r10
      r2 += -8
      r3 = r10
      r3 += -32
      r4 = 0
      call bpf_map_update_elem
      r0 = 1
      exit`,
  ),
  accepted("a key that is a value", found("r2 = r0\nr1 = map_fd[hash]\ncall bpf_map_lookup_elem")),
  refused(
    "EACCES",
    BOUNDS,
    "a key that leaves the value",
    found("r2 = r0\nr2 += 44\nr1 = map_fd[hash]\ncall bpf_map_lookup_elem"),
  ),
  accepted(
    "a key in the packet that was compared",
    `
      r2 = *(u32 *)(r1 + 0)
      r3 = *(u32 *)(r1 + 4)
      r4 = r2
      r4 += 8
      if r4 > r3 goto out
      r1 = map_fd[hash]
      call bpf_map_lookup_elem
      out:
      r0 = 1
      exit`,
  ),
  refused(
    "EACCES",
    "unchecked-packet-access",
    "a key in the packet that wasn't",
    "r2 = *(u32 *)(r1 + 0)\nr1 = map_fd[hash]\ncall bpf_map_lookup_elem\nr0 = 1\nexit",
  ),
];
