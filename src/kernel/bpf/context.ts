/**
 * What a program finds behind r1, for each program type: a struct that no memory holds, whose
 * fields may be touched at certain offsets and widths only.
 *
 * Every row was proved on Linux 6.18 by loading a program for each offset and width.
 */

import {
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
  BPF_XDP_DEVMAP,
} from "../../abi/bpf.ts";

/**
 * What a read yields: a number, a pointer into the packet or its end, or another object's address.
 */
export type ContextKind =
  | "scalar"
  | "packet"
  | "packet_end"
  | "packet_meta"
  | "flow_keys"
  | "sock_or_null";

/** One field of a context. */
export interface ContextField {
  /** As the UAPI header has it. */
  readonly name: string;
  /** Bytes from r1. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  /** How many bytes one access may take. It must be aligned to that and lie within the field. */
  readonly widths: readonly number[];
  /** Whether a program may write it, with the same widths. */
  readonly write: boolean;
  readonly kind: ContextKind;
  /** So many bytes the kernel has of a number, where they are fewer than the field's. */
  readonly kept?: number;
}

/** The context of a program type. Access outside its fields is -EACCES, at load. */
export interface ContextLayout {
  /** The struct's name in the UAPI header. */
  readonly name: string;
  /** sizeof() of the struct. */
  readonly size: number;
  /** By ascending offset. */
  readonly fields: readonly ContextField[];
}

const NARROW: readonly number[] = [1, 2, 4];
const WORD: readonly number[] = [4];
const DOUBLE_WORD: readonly number[] = [8];

/** A number of 4 bytes, or several in a row, which may be read in parts. */
function scalar(name: string, offset: number, size: number = 4): ContextField {
  return { name, offset, size, widths: NARROW, write: false, kind: "scalar" };
}

/** A {@link scalar} of which the kernel has fewer bytes. */
function short(name: string, offset: number, kept: number): ContextField {
  return { ...scalar(name, offset), kept };
}

/** A u32 that may only be read as a whole: a pointer in disguise, or a number kept simple. */
function whole(name: string, offset: number, kind: ContextKind = "scalar"): ContextField {
  return { name, offset, size: 4, widths: WORD, write: false, kind };
}

/** A field of 8 bytes that may only be read as a whole. */
function wide(name: string, offset: number, kind: ContextKind): ContextField {
  return { name, offset, size: 8, widths: DOUBLE_WORD, write: false, kind };
}

const SK_BUFF_SIZE = 192;

const FLOW_DISSECTOR: ContextLayout = {
  name: "__sk_buff",
  size: SK_BUFF_SIZE,
  fields: [
    whole("data", 76, "packet"),
    whole("data_end", 80, "packet_end"),
    wide("flow_keys", 144, "flow_keys"),
  ],
};

const SOCKET_FILTER: ContextLayout = {
  name: "__sk_buff",
  size: SK_BUFF_SIZE,
  fields: [
    scalar("len", 0),
    short("pkt_type", 4, 1),
    scalar("mark", 8),
    short("queue_mapping", 12, 2),
    short("protocol", 16, 2),
    scalar("vlan_present", 20),
    short("vlan_tci", 24, 2),
    short("vlan_proto", 28, 2),
    scalar("priority", 32),
    scalar("ingress_ifindex", 36),
    scalar("ifindex", 40),
    short("tc_index", 44, 2),
    { name: "cb", offset: 48, size: 20, widths: [1, 2, 4, 8], write: true, kind: "scalar" },
    scalar("hash", 68),
    scalar("napi_id", 84),
    short("gso_segs", 164, 2),
    wide("sk", 168, "sock_or_null"),
    short("gso_size", 176, 2),
  ],
};

const XDP: ContextLayout = {
  name: "xdp_md",
  size: 24,
  fields: [
    whole("data", 0, "packet"),
    whole("data_end", 4, "packet_end"),
    whole("data_meta", 8, "packet_meta"),
    whole("ingress_ifindex", 12),
    whole("rx_queue_index", 16),
  ],
};

/** Only programs that a DEVMAP runs know where a packet leaves. */
const XDP_DEVMAP: ContextLayout = { ...XDP, fields: [...XDP.fields, whole("egress_ifindex", 20)] };

const SK_LOOKUP: ContextLayout = {
  name: "bpf_sk_lookup",
  size: 72,
  fields: [
    wide("sk", 0, "sock_or_null"),
    short("family", 8, 2),
    short("protocol", 12, 2),
    scalar("remote_ip4", 16),
    scalar("remote_ip6", 20, 16),
    // A be16 and 2 bytes of zero, which may be read together.
    short("remote_port", 36, 2),
    scalar("local_ip4", 40),
    scalar("local_ip6", 44, 16),
    short("local_port", 60, 2),
    scalar("ingress_ifindex", 64),
  ],
};

/** Contexts by program type (BPF_PROG_TYPE_…): the types that the embedded kernel runs. */
export const CONTEXTS: ReadonlyMap<number, ContextLayout> = new Map([
  [BPF_PROG_TYPE_SOCKET_FILTER, SOCKET_FILTER],
  [BPF_PROG_TYPE_XDP, XDP],
  [BPF_PROG_TYPE_FLOW_DISSECTOR, FLOW_DISSECTOR],
  [BPF_PROG_TYPE_SK_LOOKUP, SK_LOOKUP],
]);

/** The context of a program; undefined for a program type that the embedded kernel doesn't run. */
export function contextOf(
  progType: number,
  expectedAttachType: number = 0,
): ContextLayout | undefined {
  const layout = CONTEXTS.get(progType);
  return layout === XDP && expectedAttachType === BPF_XDP_DEVMAP ? XDP_DEVMAP : layout;
}

/**
 * The field that an access meets, or null where Linux says EACCES.
 *
 * @param offset - bytes from r1. @param size - of the access: 1, 2, 4 or 8 bytes.
 */
export function findField(
  layout: ContextLayout,
  offset: number,
  size: number,
  write: boolean,
): ContextField | null {
  if (offset % size !== 0) return null;
  for (const field of layout.fields) {
    if (offset < field.offset || offset + size > field.offset + field.size) continue;
    return field.widths.includes(size) && (field.write || !write) ? field : null;
  }
  return null;
}

/**
 * Where a load from a context finds its bytes: an access as wide as what the kernel has of a field,
 * or wider, begins there, wherever in the field it is. What convert_ctx_accesses() in Linux makes
 * of such a load.
 *
 * @param offset - of a load that the verifier let in.
 */
export function loadedFrom(layout: ContextLayout, offset: number, size: number): number {
  const field = findField(layout, offset, size, false);
  return field?.kept !== undefined && size >= field.kept ? field.offset : offset;
}
