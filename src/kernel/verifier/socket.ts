/**
 * What a program may read of a socket: struct bpf_sock, by offset. Analogous to
 * bpf_sock_is_valid_access() in net/core/filter.c of Linux.
 */

/** One field, or an array of u32. */
interface SocketField {
  readonly offset: number;
  readonly size: number;
  /** It may be read in parts: from anywhere in it, or only from its first byte on. */
  readonly narrow: "anywhere" | "start" | null;
  /** Only full sockets have it. */
  readonly full: boolean;
}

function field(
  offset: number,
  size: number,
  narrow: SocketField["narrow"],
  full: boolean = false,
): SocketField {
  return { offset, size, narrow, full };
}

const FIELDS: readonly SocketField[] = [
  field(0, 4, null), // bound_dev_if
  field(4, 4, "start"), // family
  field(8, 4, "start", true), // type
  field(12, 4, "start", true), // protocol
  field(16, 4, null, true), // mark
  field(20, 4, null, true), // priority
  field(24, 4, "anywhere"), // src_ip4
  field(28, 16, "anywhere"), // src_ip6
  field(44, 4, "start"), // src_port
  field(48, 4, "anywhere"), // dst_port and 2 bytes of nothing
  field(52, 4, "anywhere"), // dst_ip4
  field(56, 16, "anywhere"), // dst_ip6
  field(72, 4, "start"), // state
  field(76, 4, "start"), // rx_queue_mapping
];

/** Whether a program may read there. @param full - a full socket, not one of any kind. */
export function findSocketField(offset: number, size: number, full: boolean): boolean {
  if (offset < 0 || offset % size !== 0 || size > 4) return false;
  return FIELDS.some((at) => {
    if (offset < at.offset || offset + size > at.offset + at.size) return false;
    if (at.full && !full) return false;
    // Two bytes of nothing after the port may be read with it only.
    if (at.offset === 48 && offset >= 50) return false;
    if (size === 4 || at.narrow === "anywhere") return true;
    return at.narrow === "start" && offset === at.offset;
  });
}
