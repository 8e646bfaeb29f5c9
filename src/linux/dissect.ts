/**
 * One packet's way through the flow dissectors of Linux: who would be asked, and what he says,
 * found out with BPF_PROG_QUERY and BPF_PROG_TEST_RUN, so that no packet has to be sent.
 */

import * as attr from "../abi/attr.ts";
import {
  BPF_FLOW_DISSECTOR,
  BPF_FLOW_DISSECTOR_CONTINUE,
  BPF_OK,
  BPF_PROG_GET_FD_BY_ID,
  BPF_PROG_QUERY,
  BPF_PROG_TEST_RUN,
} from "../abi/bpf.ts";
import { ENOENT, ENOSPC } from "../abi/errno.ts";
import { BPF_FLOW_KEYS_SIZE, decodeFlowKeys, ETH_HLEN, FLOW_KEYS } from "../abi/flow_keys.ts";
import { encode, type Layout, readField, writeField } from "../abi/layout.ts";
import type { Dissection, Frame } from "../kernel.ts";
import * as libc from "./libc.ts";
import { BpfSyscall } from "./system_calls.ts";

/** Its own, so that the buffers of a caller's half-built attr stay held. */
const syscall: BpfSyscall = new BpfSyscall();
/** How often a program may be swapped for another between asking for its id and opening it. */
const MAX_SWAPS = 16;

/**
 * Dissects a frame with the first program that one of the namespaces has.
 *
 * TEST_RUN takes Ethernet frames only. A frame that begins at its network header gets an Ethernet
 * header put in front, and `nhoff` and `thoff` are counted from the network header again in what
 * comes back; the program itself sees offsets that begin at 14.
 *
 * @param namespaces - fds, in the order in which Linux looks: the root namespace's first.
 * @param keysBytes - takes the keys, if there are any.
 * @returns the outcome, or a negative errno: EINVAL for fewer than 14 bytes or more than 4096.
 */
export function dissect(
  namespaces: readonly number[],
  frame: Frame,
  flags: number,
  keysBytes: Uint8Array | undefined,
): Dissection | number {
  for (const namespace of namespaces) {
    const found = openAttached(namespace);
    if (typeof found === "number") {
      if (found === -ENOENT) continue;
      return found;
    }
    try {
      return run(found, frame, flags, keysBytes);
    } finally {
      libc.close(found.fd);
    }
  }
  return { by: "linux", verdict: "continue", retval: null, keys: null, programId: null };
}

/** A packet with an Ethernet header as a frame; null when it is shorter than that. */
export function frameOf(packet: Uint8Array | Frame): Frame | null {
  if (!ArrayBuffer.isView(packet)) return packet;
  if (packet.length < ETH_HLEN) return null;
  const protocol = ((packet[12] ?? 0) << 8) | (packet[13] ?? 0);
  return { data: packet, networkOffset: ETH_HLEN, protocol };
}

interface AttachedProgram {
  readonly fd: number;
  readonly id: number;
}

/** The flow dissector of a namespace, or ENOENT when it has none. */
function openAttached(namespace: number): AttachedProgram | number {
  for (let swaps = 0; swaps < MAX_SWAPS; swaps++) {
    const id = queryAttached(namespace);
    if (id < 0) return id;
    const fd = syscall.call(BPF_PROG_GET_FD_BY_ID, encode(attr.GET_FD_BY_ID, { id }));
    if (fd >= 0) return { fd, id };
    // The program went in between: another one has taken its place, or none.
    if (fd !== -ENOENT) return fd;
  }
  return -ENOENT;
}

function queryAttached(namespace: number): number {
  const ids = new Uint32Array(1);
  const query = encode(attr.PROG_QUERY, {
    target_fd: namespace,
    attach_type: BPF_FLOW_DISSECTOR,
    prog_ids: syscall.addressOf(new Uint8Array(ids.buffer)),
    prog_cnt: ids.length,
  });
  const result = syscall.call(BPF_PROG_QUERY, query);
  // More than one can't be attached; should it come to that, the first is the one that runs.
  if (result < 0 && result !== -ENOSPC) return result;
  return ids[0] || -ENOENT;
}

function run(
  { fd, id: programId }: AttachedProgram,
  frame: Frame,
  flags: number,
  keysBytes: Uint8Array | undefined,
): Dissection | number {
  const shift = frame.networkOffset === 0 ? ETH_HLEN : 0;
  const data = shift === 0 ? frame.data : withEthernetHeader(frame);
  const bytes = new Uint8Array(BPF_FLOW_KEYS_SIZE);
  const context = encode(FLOW_KEYS, { flags }, BPF_FLOW_KEYS_SIZE);
  const test = encode(attr.TEST_RUN, {
    prog_fd: fd,
    data_in: syscall.addressOf(data),
    data_size_in: data.length,
    data_out: syscall.addressOf(bytes),
    data_size_out: bytes.length,
    ctx_in: syscall.addressOf(context),
    ctx_size_in: context.length,
  });
  const result = syscall.call(BPF_PROG_TEST_RUN, test);
  if (result < 0) return result;
  const retval = number(test, attr.TEST_RUN, "retval");
  if (retval === BPF_FLOW_DISSECTOR_CONTINUE) {
    return { by: "linux", verdict: "continue", retval, keys: null, programId };
  }
  const view = new DataView(bytes.buffer);
  moveBack(view, "nhoff", shift);
  moveBack(view, "thoff", shift);
  keysBytes?.set(bytes);
  const verdict = retval === BPF_OK ? "ok" : "drop";
  return { by: "bpf", verdict, retval, keys: decodeFlowKeys(bytes), programId };
}

/** The frame behind an Ethernet header without addresses. */
function withEthernetHeader({ data, protocol }: Frame): Uint8Array {
  const ethernet = new Uint8Array(ETH_HLEN + data.length);
  ethernet[12] = protocol >> 8;
  ethernet[13] = protocol;
  ethernet.set(data, ETH_HLEN);
  return ethernet;
}

function moveBack(keys: DataView, name: "nhoff" | "thoff", bytes: number): void {
  writeField(keys, FLOW_KEYS[name], keys.getUint16(FLOW_KEYS[name][0], true) - bytes);
}

function number<L extends Layout>(bytes: Uint8Array, layout: L, name: keyof L & string): number {
  const field = layout[name];
  if (field === undefined) throw new TypeError(`the struct has no field ${name}`);
  return Number(readField(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), field));
}
