/**
 * BPF_PROG_TEST_RUN of XDP programs. Mirrors bpf_prog_test_run_xdp() in Linux.
 */

import { TEST_RUN } from "../../abi/attr.ts";
import { BPF_XDP_CPUMAP, BPF_XDP_DEVMAP } from "../../abi/bpf.ts";
import { EFAULT, EINVAL, ENODEV, ENOMEM } from "../../abi/errno.ts";
import { ETH_HLEN } from "../../abi/flow_keys.ts";
import { decode, encode } from "../../abi/layout.ts";
import type { Attr } from "../attr.ts";
import { contextOf } from "../bpf/context.ts";
import type { Prog } from "../bpf/prog.ts";
import type { Task } from "../task.ts";
import { type PacketArea, withPacketArea } from "./packet_area.ts";
import {
  finishContext,
  finishData,
  PAGE_SIZE,
  readContext,
  readPacket,
  repeatRun,
  SKB_TAILROOM,
} from "./test_run.ts";

/** struct xdp_md */
const XDP_MD = {
  data: [0, "u32"],
  data_end: [4, "u32"],
  data_meta: [8, "u32"],
  ingress_ifindex: [12, "u32"],
  rx_queue_index: [16, "u32"],
  egress_ifindex: [20, "u32"],
} as const;
const XDP_MD_SIZE = 24;

/** Bytes before the packet, where metadata goes (XDP_PACKET_HEADROOM). */
const HEADROOM = 256;
/** What metadata leaves of it (sizeof(struct xdp_frame)). */
const XDP_FRAME_SIZE = 40;
/** A packet has its first page and this many more (MAX_SKB_FRAGS). */
const MAX_FRAGS = 17;
/** The loopback device, the only one here, with one receive queue. */
const LOOPBACK_IFINDEX = 1;

interface XdpBuffer {
  /** Metadata and packet. */
  readonly data: Uint8Array;
  /** Bytes of metadata at its front. */
  readonly metaSize: number;
  /** How much of `data` the program sees; what does not fit a page is in fragments. */
  readonly linearSize: number;
}

/**
 * Data is metadata (as much as `ctx.data` says) and packet. Live frames
 * (BPF_F_TEST_XDP_LIVE_FRAMES) are refused, as kernels before 5.18 refuse them.
 */
export function testRunXdp(task: Task, prog: Prog, attr: Attr): number {
  const { expectedAttachType } = prog;
  if (expectedAttachType === BPF_XDP_DEVMAP || expectedAttachType === BPF_XDP_CPUMAP)
    return -EINVAL;
  if (attr.u32(TEST_RUN.flags) !== 0 || attr.u32(TEST_RUN.batch_size) !== 0) return -EINVAL;
  const context = readContext(task, attr, XDP_MD_SIZE);
  if (typeof context === "number") return context;
  const buffer = readBuffer(task, attr, context);
  if (typeof buffer === "number") return buffer;
  return (
    withPacketArea(task.machine, (area) => run(task, prog, attr, area, buffer, context)) ?? -ENOMEM
  );
}

function readBuffer(task: Task, attr: Attr, context: Uint8Array | null): XdpBuffer | number {
  const size = attr.u32(TEST_RUN.data_size_in);
  const md = context === null ? null : decode(XDP_MD, context);
  const metaSize = md?.data ?? 0;
  const end = md?.data_end ?? size;
  if (md !== null && md.data_meta !== 0) return -EINVAL;
  if (end > size || metaSize > end) return -EINVAL;
  if (metaSize % 4 !== 0 || metaSize > HEADROOM - XDP_FRAME_SIZE) return -EINVAL;
  if (size - metaSize < ETH_HLEN) return -EINVAL;
  const page = PAGE_SIZE - (HEADROOM - metaSize) - SKB_TAILROOM;
  const linearSize = Math.min(end, page);
  const linear = readPacket(task, attr, linearSize, page);
  if (typeof linear === "number") return linear;
  if (md !== null) {
    if (md.egress_ifindex !== 0) return -EINVAL;
    if (md.ingress_ifindex > LOOPBACK_IFINDEX) return -ENODEV;
    if (md.rx_queue_index !== 0) return -EINVAL;
  }
  // Taken in page by page: a bad address comes to light before there are too many.
  const taken = Math.min(size, linearSize + MAX_FRAGS * PAGE_SIZE);
  const data = task.memory.read(attr.u64(TEST_RUN.data_in), taken)?.slice();
  if (data === undefined) return -EFAULT;
  return taken < size ? -ENOMEM : { data, metaSize, linearSize };
}

function run(
  task: Task,
  prog: Prog,
  attr: Attr,
  area: PacketArea,
  { data, metaSize, linearSize }: XdpBuffer,
  context: Uint8Array | null,
): number {
  const { machine } = task;
  if (!area.setPacket(data)) return -ENOMEM;
  const end = area.packet + linearSize;
  area.setContext([
    [XDP_MD.data[0], area.packet + metaSize],
    [XDP_MD.data_end[0], end],
    [XDP_MD.data_meta[0], area.packet],
    [XDP_MD.ingress_ifindex[0], LOOPBACK_IFINDEX],
  ]);
  const invocation = {
    context: area.context,
    layout: contextOf(prog.type, prog.expectedAttachType) ?? null,
    regions: [{ start: area.packet, end, writable: true }],
    skb: null,
  };
  const repeated = repeatRun(task, attr.u32(TEST_RUN.repeat), (times) =>
    machine.engine.repeat(prog, invocation, times, null),
  );
  if (typeof repeated === "number") return repeated;
  const written = machine.memory.bytes.slice(area.packet, area.packet + data.length);
  const error = finishData(task, attr, written, repeated, linearSize);
  if (error !== 0 || context === null) return error;
  const md = { ...decode(XDP_MD, context), data: metaSize, data_end: linearSize, data_meta: 0 };
  return finishContext(task, attr, encode(XDP_MD, md));
}
