/**
 * What a program may read of a socket: struct bpf_sock, by offset. Analogous to
 * bpf_sock_is_valid_access() in net/core/filter.c of Linux.
 */

/** One field, or an array of u32. */
interface SocketField {
  readonly offset: number;
  readonly size: number;
  /** It may be read in parts. */
  readonly narrow: boolean;
  /** Only full sockets have it. */
  readonly full: boolean;
}

function field(offset: number, size: number, narrow: boolean, full: boolean = false): SocketField {
  return { offset, size, narrow, full };
}

const FIELDS: readonly SocketField[] = [
  field(0, 4, false), // bound_dev_if
  field(4, 4, true), // family
  field(8, 4, true, true), // type
  field(12, 4, true, true), // protocol
  field(16, 4, false, true), // mark
  field(20, 4, false, true), // priority
  field(24, 4, true), // src_ip4
  field(28, 16, true), // src_ip6
  field(44, 4, true), // src_port
  field(48, 4, true), // dst_port and 2 bytes of nothing
  field(52, 4, true), // dst_ip4
  field(56, 16, true), // dst_ip6
  field(72, 4, true), // state
  field(76, 4, true), // rx_queue_mapping
];

/** Whether a program may read there. @param full - a full socket, not one of any kind. */
export function findSocketField(offset: number, size: number, full: boolean): boolean {
  if (offset < 0 || offset % size !== 0 || size > 4) return false;
  return FIELDS.some((at) => {
    if (offset < at.offset || offset + size > at.offset + at.size) return false;
    if (at.full && !full) return false;
    // Two bytes of nothing after the port may be read with it only.
    if (at.offset === 48 && offset >= 50) return false;
    return size === 4 || at.narrow;
  });
}
