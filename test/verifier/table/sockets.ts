/** Rows about sockets: fields and null checks. */

import { accepted, type Row, refused, withOptions } from "./row.ts";

/** r2 is the socket that an earlier program chose. */
function socket(body: string): string {
  return `r2 = *(u64 *)(r1 + 0)\nif r2 == 0 goto out\n${body}\nout:\nr0 = 1\nexit`;
}

/** r2 is the socket of a packet. */
function ofPacket(body: string): string {
  return `r2 = *(u64 *)(r1 + 168)\nif r2 == 0 goto out\n${body}\nout:\nr0 = 1\nexit`;
}

const SOCKET = "socket-access";

export const SOCKET_ROWS: readonly Row[] = [
  ...withOptions({ type: "sk_lookup" }, [
    accepted("the socket's family", socket("r3 = *(u32 *)(r2 + 4)")),
    accepted("the socket's type", socket("r3 = *(u32 *)(r2 + 8)")),
    accepted("the socket's mark", socket("r3 = *(u32 *)(r2 + 16)")),
    accepted("the socket's source port", socket("r3 = *(u32 *)(r2 + 44)")),
    accepted(
      "the socket's destination port, as it is in packets",
      socket("r3 = *(u16 *)(r2 + 48)"),
    ),
    accepted("the socket's state", socket("r3 = *(u32 *)(r2 + 72)")),
    refused(
      "EACCES",
      "maybe-null",
      "the socket without the comparison with 0",
      "r2 = *(u64 *)(r1 + 0)\nr3 = *(u32 *)(r2 + 4)\nr0 = 1\nexit",
    ),
    refused("EACCES", SOCKET, "a field of 8 bytes", socket("r3 = *(u64 *)(r2 + 8)")),
    refused("EACCES", SOCKET, "behind the socket", socket("r3 = *(u32 *)(r2 + 80)")),
    refused("EACCES", SOCKET, "a store into the socket", socket("*(u32 *)(r2 + 16) = 1")),
    refused("EACCES", "pointer-arithmetic", "something is added to the socket", socket("r2 += 4")),
    refused(
      "EACCES",
      "maybe-null",
      "something is added to what may be no socket",
      "r2 = *(u64 *)(r1 + 0)\nr2 += 4\nr0 = 1\nexit",
    ),
    refused(
      "EACCES",
      "not-a-pointer",
      "nothing atomic in a socket",
      socket("r3 = 1\nlock *(u32 *)(r2 + 16) += r3"),
    ),
    accepted(
      "the socket is compared and kept",
      socket("*(u64 *)(r10 - 8) = r2\nr4 = *(u64 *)(r10 - 8)\nr3 = *(u32 *)(r4 + 4)"),
    ),
  ]),
  ...withOptions({ type: "socket_filter" }, [
    accepted("the family of a packet's socket", ofPacket("r3 = *(u32 *)(r2 + 4)")),
    refused(
      "EACCES",
      "maybe-null",
      "the packet's socket without the comparison with 0",
      "r2 = *(u64 *)(r1 + 168)\nr3 = *(u32 *)(r2 + 4)\nr0 = 1\nexit",
    ),
    refused("EACCES", SOCKET, "what only a full socket has", ofPacket("r3 = *(u32 *)(r2 + 16)")),
  ]),
];
