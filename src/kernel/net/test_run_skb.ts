/**
 * BPF_PROG_TEST_RUN of socket filters. Mirrors bpf_prog_test_run_skb() in Linux.
 */

import { TEST_RUN } from "../../abi/attr.ts";
import { EINVAL, ENODEV, ENOMEM } from "../../abi/errno.ts";
import { ETH_HLEN, ETH_P_IP, ETH_P_IPV6 } from "../../abi/flow_keys.ts";
import type { Attr } from "../attr.ts";
import { contextOf } from "../bpf/context.ts";
import type { Prog } from "../bpf/prog.ts";
import type { Task } from "../task.ts";
import { type PacketArea, withPacketArea } from "./packet_area.ts";
import {
  finishContext,
  finishData,
  isZeroBut,
  PAGE_SIZE,
  readContext,
  readPacket,
  repeatRun,
  SKB_TAILROOM,
} from "./test_run.ts";

const SK_BUFF_SIZE = 192;
// Offsets in struct __sk_buff.
const LEN = 0;
const PKT_TYPE = 4;
const MARK = 8;
const PROTOCOL = 16;
const PRIORITY = 32;
const INGRESS_IFINDEX = 36;
const IFINDEX = 40;
const CB = 48;
const CB_END = 68;
const TSTAMP = 152;
const WIRE_LEN = 160;
const GSO_SEGS = 164;
const GSO_SIZE = 176;
const HWTSTAMP = 184;

/** What a caller may set; all the rest must be 0. */
const SETTABLE: readonly (readonly [start: number, end: number])[] = [
  [MARK, MARK + 4],
  [PRIORITY, PRIORITY + 4],
  [INGRESS_IFINDEX, INGRESS_IFINDEX + 4],
  [IFINDEX, IFINDEX + 4],
  [CB, CB_END],
  [TSTAMP, TSTAMP + 8],
  [WIRE_LEN, WIRE_LEN + 4],
  [GSO_SEGS, GSO_SEGS + 4],
  [GSO_SIZE, GSO_SIZE + 4],
  [HWTSTAMP, HWTSTAMP + 8],
];

/** The only flag: compute a checksum before the run and compare after it, here without effect. */
const BPF_F_TEST_SKB_CHECKSUM_COMPLETE = 4;
/** Bytes before the data (NET_SKB_PAD). */
const SKB_HEADROOM = 64;
const MAX_PACKET = PAGE_SIZE - SKB_HEADROOM - SKB_TAILROOM;
/** The loopback device, the only one here. */
const LOOPBACK_IFINDEX = 1;
const GSO_MAX_SEGS = 65_535;
const GSO_LEGACY_MAX_SIZE = 65_536;
/** What must be there of an IP header. */
const IP_HEADER_BYTES: ReadonlyMap<number, number> = new Map([
  [ETH_P_IP, 20],
  [ETH_P_IPV6, 40],
]);

/** A socket filter sees the packet from the network header on; the link header comes out zeroed. */
export function testRunSkb(task: Task, prog: Prog, attr: Attr): number {
  if ((attr.u32(TEST_RUN.flags) & ~BPF_F_TEST_SKB_CHECKSUM_COMPLETE) !== 0) return -EINVAL;
  if (attr.u32(TEST_RUN.cpu) !== 0 || attr.u32(TEST_RUN.batch_size) !== 0) return -EINVAL;
  const data = readPacket(task, attr, attr.u32(TEST_RUN.data_size_in), MAX_PACKET);
  if (typeof data === "number") return data;
  const context = readContext(task, attr, SK_BUFF_SIZE);
  if (typeof context === "number") return context;
  const skb = new DataView((context ?? new Uint8Array(SK_BUFF_SIZE)).buffer);
  const error = checkPacket(data, skb);
  if (error !== 0) return error;
  if (context !== null && !checkContext(data, context, skb)) return -EINVAL;
  return (
    withPacketArea(task.machine, (area) => run(task, prog, attr, area, data, context)) ?? -ENOMEM
  );
}

function checkPacket(data: Uint8Array, skb: DataView): number {
  if (skb.getUint32(IFINDEX, true) > LOOPBACK_IFINDEX) return -ENODEV;
  const header = IP_HEADER_BYTES.get(protocolOf(data)) ?? 0;
  return data.length - ETH_HLEN < header ? -EINVAL : 0;
}

/** Analogous to convert___skb_to_skb() in Linux. */
function checkContext(data: Uint8Array, context: Uint8Array, skb: DataView): boolean {
  if (!isZeroBut(context, SETTABLE)) return false;
  const wireLength = skb.getUint32(WIRE_LEN, true);
  const length = data.length - ETH_HLEN;
  if (wireLength !== 0 && (wireLength < length || wireLength > GSO_LEGACY_MAX_SIZE)) return false;
  return skb.getUint32(GSO_SEGS, true) <= GSO_MAX_SEGS;
}

function run(
  task: Task,
  prog: Prog,
  attr: Attr,
  area: PacketArea,
  data: Uint8Array,
  context: Uint8Array | null,
): number {
  const { machine } = task;
  if (!area.setPacket(data)) return -ENOMEM;
  const network = area.packet + ETH_HLEN;
  setContext(task, area, data, context);
  const invocation = {
    context: area.context,
    layout: contextOf(prog.type) ?? null,
    regions: [],
    skb: { head: area.packet, network, data: network, tail: area.packet + data.length },
  };
  const repeated = repeatRun(task, attr.u32(TEST_RUN.repeat), (times) =>
    machine.engine.repeat(prog, invocation, times, null),
  );
  if (typeof repeated === "number") return repeated;
  const error = finishData(task, attr, data.fill(0, 0, ETH_HLEN), repeated);
  if (error !== 0 || context === null) return error;
  return finishContext(task, attr, resultContext(task, area, data, context));
}

/** Analogous to convert___skb_to_skb() and to what a socket filter reads through __sk_buff. */
function setContext(
  task: Task,
  area: PacketArea,
  data: Uint8Array,
  context: Uint8Array | null,
): void {
  const { bytes, view } = task.machine.memory;
  const at = area.context;
  bytes.fill(0, at, at + SK_BUFF_SIZE);
  if (context !== null) bytes.set(context, at);
  view.setUint32(at + LEN, data.length - ETH_HLEN, true);
  view.setUint32(at + PKT_TYPE, packetType(data), true);
  view.setUint16(at + PROTOCOL, protocolOf(data), false);
  view.setUint32(at + IFINDEX, LOOPBACK_IFINDEX, true);
  // A socket buffer has 16 bits for it.
  view.setUint32(at + GSO_SIZE, view.getUint16(at + GSO_SIZE, true), true);
}

/** Analogous to convert_skb_to___skb(): what went in, and what the kernel and the program added. */
function resultContext(
  task: Task,
  area: PacketArea,
  data: Uint8Array,
  context: Uint8Array,
): Uint8Array {
  const { bytes } = task.machine.memory;
  const result = context.slice();
  const view = new DataView(result.buffer);
  result.set(bytes.subarray(area.context + CB, area.context + CB_END), CB);
  view.setUint32(IFINDEX, LOOPBACK_IFINDEX, true);
  if (view.getUint32(WIRE_LEN, true) === 0) view.setUint32(WIRE_LEN, data.length - ETH_HLEN, true);
  return result;
}

const PACKET_HOST = 0;
const PACKET_MULTICAST = 2;
const PACKET_OTHERHOST = 3;

/** As the loopback device sees it, whose address and broadcast address are zero. */
function packetType(data: Uint8Array): number {
  if (((data[0] ?? 0) & 1) !== 0) return PACKET_MULTICAST;
  return data.subarray(0, 6).every((byte) => byte === 0) ? PACKET_HOST : PACKET_OTHERHOST;
}

const MIN_ETHERTYPE = 0x0600;
const ETH_P_802_3 = 0x0001;
const ETH_P_802_2 = 0x0004;

/**
 * EtherType in host order; a smaller number is a length. Analogous to eth_type_trans() in Linux.
 */
function protocolOf(data: Uint8Array): number {
  const type = ((data[12] ?? 0) << 8) | (data[13] ?? 0);
  if (type >= MIN_ETHERTYPE) return type;
  // Novell's raw 802.3 begins with a checksum of ones.
  return data[14] === 0xff && data[15] === 0xff ? ETH_P_802_3 : ETH_P_802_2;
}
