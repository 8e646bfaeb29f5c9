/** Rows about the contexts of program types: which fields, at which widths. */

import { accepted, type Row, type RowOptions, refused } from "./row.ts";

const CONTEXT = "context-access";

function read(options: RowOptions, title: string, type: string, offset: number): Row {
  return accepted(title, `r0 = *(${type} *)(r1 + ${offset})\nr0 = 1\nexit`, options);
}

function notRead(options: RowOptions, title: string, type: string, offset: number): Row {
  const sign = offset < 0 ? `- ${-offset}` : `+ ${offset}`;
  return refused("EACCES", CONTEXT, title, `r0 = *(${type} *)(r1 ${sign})\nr0 = 1\nexit`, options);
}

function written(options: RowOptions, title: string, type: string, offset: number): Row {
  return accepted(title, `*(${type} *)(r1 + ${offset}) = 1\nr0 = 1\nexit`, options);
}

function notWritten(options: RowOptions, title: string, type: string, offset: number): Row {
  const text = `*(${type} *)(r1 + ${offset}) = 1\nr0 = 1\nexit`;
  return refused("EACCES", CONTEXT, title, text, options);
}

const XDP: RowOptions = { type: "xdp" };
const FILTER: RowOptions = { type: "socket_filter" };
const DISSECTOR: RowOptions = { type: "flow_dissector" };
const LOOKUP: RowOptions = { type: "sk_lookup" };

export const CONTEXT_ROWS: readonly Row[] = [
  read(XDP, "xdp: ingress_ifindex", "u32", 12),
  read(XDP, "xdp: rx_queue_index", "u32", 16),
  notRead(XDP, "xdp: egress_ifindex, without BPF_XDP_DEVMAP", "u32", 20),
  notRead(XDP, "xdp: half of data", "u16", 0),
  notRead(XDP, "xdp: data and data_end at once", "u64", 0),
  notRead(XDP, "xdp: a byte of rx_queue_index", "u8", 16),
  notRead(XDP, "xdp: between two fields", "u32", 14),
  notRead(XDP, "xdp: behind the context", "u32", 24),
  notRead(XDP, "xdp: before the context", "u32", -4),
  notWritten(XDP, "xdp: rx_queue_index is not written", "u32", 16),
  notWritten(XDP, "xdp: data is not written", "u32", 0),
  read(FILTER, "socket filter: len", "u32", 0),
  read(FILTER, "socket filter: a byte of protocol", "u8", 16),
  read(FILTER, "socket filter: half of hash", "u16", 68),
  notRead(FILTER, "socket filter: two fields at once", "u64", 16),
  notRead(FILTER, "socket filter: data, which only others have", "u32", 76),
  notRead(FILTER, "socket filter: data_end", "u32", 80),
  notRead(FILTER, "socket filter: remote_ip4", "u32", 92),
  notRead(FILTER, "socket filter: flow_keys", "u64", 144),
  notRead(FILTER, "socket filter: tstamp", "u64", 152),
  read(FILTER, "socket filter: gso_size", "u32", 176),
  read(FILTER, "socket filter: cb[0]", "u32", 48),
  read(FILTER, "socket filter: cb[0] and cb[1] at once", "u64", 48),
  written(FILTER, "socket filter: cb[4]", "u32", 64),
  written(FILTER, "socket filter: a byte of cb", "u8", 67),
  notWritten(FILTER, "socket filter: across the end of cb", "u64", 64),
  notWritten(FILTER, "socket filter: mark is not written", "u32", 8),
  notWritten(FILTER, "socket filter: len is not written", "u32", 0),
  notRead(FILTER, "socket filter: behind the context", "u32", 192),
  read(DISSECTOR, "flow dissector: data", "u32", 76),
  read(DISSECTOR, "flow dissector: data_end", "u32", 80),
  read(DISSECTOR, "flow dissector: flow_keys", "u64", 144),
  notRead(DISSECTOR, "flow dissector: half of flow_keys", "u32", 144),
  notRead(DISSECTOR, "flow dissector: len", "u32", 0),
  notRead(DISSECTOR, "flow dissector: protocol", "u32", 16),
  notRead(DISSECTOR, "flow dissector: sk", "u64", 168),
  notRead(DISSECTOR, "flow dissector: half of data", "u16", 76),
  notWritten(DISSECTOR, "flow dissector: cb is not written", "u32", 48),
  notWritten(DISSECTOR, "flow dissector: data is not written", "u32", 76),
  read(LOOKUP, "sk_lookup: family", "u32", 8),
  read(LOOKUP, "sk_lookup: a byte of protocol", "u8", 12),
  read(LOOKUP, "sk_lookup: remote_ip4", "u32", 16),
  read(LOOKUP, "sk_lookup: the third word of remote_ip6", "u32", 28),
  read(LOOKUP, "sk_lookup: remote_port", "u16", 36),
  read(LOOKUP, "sk_lookup: local_port", "u32", 60),
  read(LOOKUP, "sk_lookup: ingress_ifindex", "u32", 64),
  notRead(LOOKUP, "sk_lookup: two words of remote_ip6 at once", "u64", 20),
  notRead(LOOKUP, "sk_lookup: half of the socket", "u32", 0),
  notRead(LOOKUP, "sk_lookup: behind the context", "u32", 72),
  notWritten(LOOKUP, "sk_lookup: the socket is not written", "u64", 0),
  notWritten(LOOKUP, "sk_lookup: family is not written", "u32", 8),
  ...[XDP, FILTER, DISSECTOR, LOOKUP].map((options) =>
    refused(
      "EACCES",
      "not-a-pointer",
      `${options.type}: nothing atomic in the context`,
      "r2 = 1\nlock *(u32 *)(r1 + 48) += r2\nr0 = 1\nexit",
      options,
    ),
  ),
];
