/**
 * Where packets meet flow dissector programs. Mirrors bpf_flow_dissect() in
 * net/core/flow_dissector.c in Linux.
 */

import { BPF_FLOW_KEYS_SIZE, FLOW_KEYS } from "../../abi/flow_keys.ts";
import type { Frame } from "../../kernel.ts";
import { contextOf } from "../bpf/context.ts";
import type { Prog } from "../bpf/prog.ts";
import type { Invocation, Outcome, RunOptions } from "../engine.ts";
import type { Machine } from "../machine.ts";
import { type PacketArea, withPacketArea } from "./packet_area.ts";

// Where struct __sk_buff has what a flow dissector may read.
export const SK_BUFF = { data: 76, data_end: 80, flow_keys: 144 } as const;

/** Flow keys have 16 bits for an offset. */
export const MAX_OFFSET = 0xffff;

/** What a program made of a packet. */
export interface FlowRun extends Outcome {
  /** A copy of `struct bpf_flow_keys` after the run, its offsets brought within the packet. */
  readonly keys: Uint8Array;
}

/** How to run. */
export interface FlowRunOptions extends RunOptions {
  /** How often, each time with keys as new; once when not given, or when it is observed. */
  readonly times?: number;
}

/**
 * Runs a flow dissector program on a frame. The program finds no socket buffer. It can't write the
 * packet itself, but, as verifiers let pass, hand it to a global function that does.
 *
 * @param flags - input flags, BPF_FLOW_DISSECTOR_F_….
 * @returns null when there is no memory for the packet.
 */
export function bpfFlowDissect(
  machine: Machine,
  prog: Prog,
  frame: Frame,
  flags: number,
  options: FlowRunOptions = {},
): FlowRun | null {
  return withPacketArea(machine, (area) => {
    if (!area.setPacket(frame.data)) return null;
    return dissectArea(machine, prog, area, frame, flags, options);
  });
}

function dissectArea(
  machine: Machine,
  prog: Prog,
  area: PacketArea,
  frame: Frame,
  flags: number,
  options: FlowRunOptions,
): FlowRun | null {
  const { keys, packet } = area;
  const end = packet + frame.data.length;
  area.setContext([
    [SK_BUFF.data, packet],
    [SK_BUFF.data_end, end],
    [SK_BUFF.flow_keys, keys],
  ]);
  resetKeys(machine, keys, frame, flags);
  const invocation = {
    context: area.context,
    layout: contextOf(prog.type) ?? null,
    regions: [
      { start: packet, end, writable: true },
      { start: keys, end: keys + BPF_FLOW_KEYS_SIZE, writable: true },
    ],
    skb: null,
  };
  const outcome = runTimes(machine, prog, area, invocation, options);
  if (outcome === null) return null;
  clampOffsets(machine, keys, frame);
  const { r0, retval, instructions, fault } = outcome;
  const result = machine.memory.bytes.slice(keys, keys + BPF_FLOW_KEYS_SIZE);
  return { r0, retval, instructions, fault, keys: result };
}

function runTimes(
  { engine, memory }: Machine,
  prog: Prog,
  { keys, template }: PacketArea,
  invocation: Invocation,
  options: FlowRunOptions,
): Outcome | null {
  const { times = 1 } = options;
  if (times === 1) return engine.run(prog, invocation, options);
  memory.bytes.copyWithin(template, keys, keys + BPF_FLOW_KEYS_SIZE);
  return engine.repeat(prog, invocation, times, { template, keys });
}

/** What a program finds in its keys: where the network header is, of which protocol, and flags. */
export function resetKeys(machine: Machine, keys: number, frame: Frame, flags: number): void {
  const { bytes, view } = machine.memory;
  bytes.fill(0, keys, keys + BPF_FLOW_KEYS_SIZE);
  view.setUint16(keys + FLOW_KEYS.n_proto[0], frame.protocol, false);
  view.setUint16(keys + FLOW_KEYS.nhoff[0], frame.networkOffset, true);
  view.setUint16(keys + FLOW_KEYS.thoff[0], frame.networkOffset, true);
  view.setUint32(keys + FLOW_KEYS.flags[0], flags, true);
}

/**
 * Whatever the program returned: nhoff not before where it was, thoff not before that, both inside.
 */
export function clampOffsets(machine: Machine, keys: number, frame: Frame): void {
  const { view } = machine.memory;
  const end = Math.min(frame.data.length, MAX_OFFSET);
  const clamp = (offset: number, least: number): number => {
    const clamped = Math.min(Math.max(view.getUint16(keys + offset, true), least), end);
    view.setUint16(keys + offset, clamped, true);
    return clamped;
  };
  clamp(FLOW_KEYS.thoff[0], clamp(FLOW_KEYS.nhoff[0], frame.networkOffset));
}
