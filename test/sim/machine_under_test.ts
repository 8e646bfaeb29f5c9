/**
 * An embedded kernel that is driven action by action, and looked at from outside.
 */

import * as ATTR from "../../src/abi/attr.ts";
import * as BPF from "../../src/abi/bpf.ts";
import { EAGAIN, ENOENT } from "../../src/abi/errno.ts";
import { BPF_LINK_INFO_SIZE, LINK_INFO } from "../../src/abi/info.ts";
import { decode, encode, type Layout, type Values } from "../../src/abi/layout.ts";
import { assemble } from "../../src/asm/index.ts";
import { cString } from "../../src/call.ts";
import { EmbeddedKernel, ManualScheduler } from "../../src/kernel/index.ts";
import type { Action, LinkView } from "./rules.ts";

/** A namespace of the test: the initial one, or one that can die. */
export type Place = "init" | "mortal";

const PROGRAM = assemble("r0 = 0\nexit");

export class MachineUnderTest {
  readonly #scheduler: ManualScheduler = new ManualScheduler();
  readonly #kernel: EmbeddedKernel;
  readonly #progFds: readonly number[];
  readonly #progIds: readonly number[];
  readonly #nsFds: readonly number[];
  readonly #nsInodes: readonly number[];
  readonly #linkFds: number[] = [];
  /** Runs once, at the next place where another CPU could come in between. */
  #intruder: ((point: string) => void) | null = null;

  constructor(programs: number, places: readonly Place[]) {
    this.#kernel = EmbeddedKernel.boot({
      scheduler: this.#scheduler,
      random: () => 0,
      clock: { monotonicNs: () => 0n },
      preempt: (point) => this.#intruder?.(point),
    });
    this.#progFds = Array.from({ length: programs }, () => this.#load());
    this.#progIds = this.#progFds.map((fd) => this.#infoWord(fd, 4));
    this.#nsFds = places.map((place, i) => this.#openNs(place, `ns${i}`));
    this.#nsInodes = this.#nsFds.map((fd) => this.#kernel.netns.inode(fd));
  }

  /** Does an action and returns what the kernel said, fds as 0. */
  take(action: Action): number {
    const result = this.#call(action);
    if (action.do !== "create" || result < 0) return result;
    this.#linkFds.push(result);
    return 0;
  }

  /**
   * Does an action with others in between, at each named point of it.
   *
   * @returns what the kernel said to the outer action.
   */
  takeInterrupted(action: Action, at: string, meanwhile: () => void): number {
    this.#intruder = (point) => {
      if (point !== at) return;
      this.#intruder = null;
      meanwhile();
    };
    try {
      return this.take(action);
    } finally {
      this.#intruder = null;
    }
  }

  /** What info says of an open link. */
  view(index: number): LinkView {
    const info = new Uint8Array(BPF_LINK_INFO_SIZE);
    this.#bpf(BPF.BPF_OBJ_GET_INFO_BY_FD, ATTR.OBJ_GET_INFO, {
      bpf_fd: this.#linkFds[index] ?? -1,
      info_len: info.length,
      info: this.#kernel.addressOf(info),
    });
    const { prog_id, netns_ino } = decode(LINK_INFO, info);
    const ns = this.#nsInodes.indexOf(netns_ino);
    return { prog: this.#progIds.indexOf(prog_id), ns: netns_ino === 0 ? null : ns };
  }

  /** What a query says is attached to a namespace. */
  attached(index: number): number[] {
    const ids = new Uint32Array(4);
    this.#bpf(BPF.BPF_PROG_QUERY, ATTR.PROG_QUERY, {
      target_fd: this.#nsFds[index] ?? -1,
      attach_type: BPF.BPF_FLOW_DISSECTOR,
      prog_ids: this.#kernel.addressOf(new Uint8Array(ids.buffer)),
      prog_cnt: ids.length,
    });
    return [...ids].filter((id) => id !== 0).map((id) => this.#progIds.indexOf(id));
  }

  /** The program that dissects a packet in a namespace, or null: Linux's own dissector. */
  dissectedBy(index: number): number | null {
    const frame = { data: new Uint8Array(64), networkOffset: 14, protocol: 0x0800 };
    const outcome = this.#kernel.netns.dissect(this.#nsFds[index] ?? -1, frame, 0);
    if (typeof outcome === "number") throw new RangeError(`dissect: errno ${-outcome}`);
    return outcome.programId === null ? null : this.#progIds.indexOf(outcome.programId);
  }

  /** Whether the newest id, still without an fd, answers EAGAIN as it must. */
  newestLinkIsBeingMade(): boolean {
    let id = 0;
    for (let next = this.#nextLink(id); next !== null; next = this.#nextLink(id)) id = next;
    return this.#bpf(BPF.BPF_LINK_GET_FD_BY_ID, ATTR.GET_FD_BY_ID, { id }) === -EAGAIN;
  }

  get waiting(): readonly string[] {
    return this.#scheduler.waiting;
  }

  /** Lets go of everything, runs all deferred work, and lists what is left over. */
  finish(): string[] {
    // What is attached directly stays as long as its namespace, and the initial one stays for ever.
    for (const [ns] of this.#nsFds.entries()) {
      for (const prog of this.attached(ns)) this.take({ do: "detachDirect", ns, prog });
    }
    for (const fd of [...this.#linkFds, ...this.#progFds, ...this.#nsFds]) this.#kernel.close(fd);
    for (const [i] of this.#nsFds.entries()) this.#kernel.netns.remove(`ns${i}`);
    this.#scheduler.drain();
    const left: string[] = [];
    const look = (name: string, cmd: number): void => {
      const found = this.#bpf(cmd, ATTR.GET_NEXT_ID, { start_id: 0 });
      if (found !== -ENOENT) left.push(name);
    };
    look("a link", BPF.BPF_LINK_GET_NEXT_ID);
    look("a program", BPF.BPF_PROG_GET_NEXT_ID);
    if (this.#kernel.netns.list().length !== 1) left.push("a namespace");
    // The lowest free number comes after standard input, output and error.
    const fd = this.#kernel.open("/dev/null");
    if (fd !== 3) left.push(`an fd below ${fd}`);
    this.#kernel[Symbol.dispose]();
    return left;
  }

  #call(action: Action): number {
    const attach_type = BPF.BPF_FLOW_DISSECTOR;
    switch (action.do) {
      case "create":
        return this.#bpf(BPF.BPF_LINK_CREATE, ATTR.LINK_CREATE, {
          prog_fd: this.#prog(action.prog),
          target_fd: this.#nsFds[action.ns] ?? -1,
          attach_type,
        });
      case "update":
      case "swap":
        return this.#bpf(BPF.BPF_LINK_UPDATE, ATTR.LINK_UPDATE, {
          link_fd: this.#linkFds[action.link] ?? -1,
          new_prog_fd: this.#prog(action.prog),
          ...(action.do === "swap" && {
            flags: BPF.BPF_F_REPLACE,
            old_prog_fd: this.#prog(action.old),
          }),
        });
      case "detach":
        return this.#bpf(BPF.BPF_LINK_DETACH, ATTR.LINK_DETACH, {
          link_fd: this.#linkFds[action.link] ?? -1,
        });
      case "close":
        return this.#kernel.close(this.#linkFds[action.link] ?? -1);
      case "attachDirect":
      case "detachDirect": {
        const attr = { attach_bpf_fd: this.#prog(action.prog), attach_type };
        const cmd = action.do === "attachDirect" ? BPF.BPF_PROG_ATTACH : BPF.BPF_PROG_DETACH;
        const call = (): number => this.#bpf(cmd, ATTR.PROG_ATTACH, attr);
        const outcome = this.#kernel.netns.enter(this.#nsFds[action.ns] ?? -1, call);
        return "value" in outcome ? outcome.value : outcome.errno;
      }
      case "putNs":
        this.#kernel.netns.remove(`ns${action.ns}`);
        return this.#kernel.close(this.#nsFds[action.ns] ?? -1);
      case "step":
        return this.#scheduler.step() ? 0 : -ENOENT;
    }
  }

  #prog(index: number): number {
    return this.#progFds[index] ?? -1;
  }

  #load(): number {
    return this.#bpf(BPF.BPF_PROG_LOAD, ATTR.PROG_LOAD, {
      prog_type: BPF.BPF_PROG_TYPE_FLOW_DISSECTOR,
      insn_cnt: PROGRAM.length / 8,
      insns: this.#kernel.addressOf(PROGRAM),
      license: this.#kernel.addressOf(cString("GPL")),
    });
  }

  #openNs(place: Place, name: string): number {
    if (place === "init") return this.#kernel.netns.open("self");
    this.#kernel.netns.create(name);
    return this.#kernel.netns.open({ name });
  }

  #nextLink(start_id: number): number | null {
    const attr = encode(ATTR.GET_NEXT_ID, { start_id }, ATTR.BPF_ATTR_SIZE);
    const result = this.#kernel.bpf(BPF.BPF_LINK_GET_NEXT_ID, attr, 8);
    return result === 0 ? decode(ATTR.GET_NEXT_ID, attr).next_id : null;
  }

  #infoWord(fd: number, offset: number): number {
    const info = new Uint8Array(8);
    this.#bpf(BPF.BPF_OBJ_GET_INFO_BY_FD, ATTR.OBJ_GET_INFO, {
      bpf_fd: fd,
      info_len: info.length,
      info: this.#kernel.addressOf(info),
    });
    return new DataView(info.buffer).getUint32(offset, true);
  }

  #bpf<L extends Layout>(cmd: number, layout: L, values: Partial<Values<L>>): number {
    return this.#kernel.bpf(cmd, encode(layout, values, ATTR.BPF_ATTR_SIZE));
  }
}
