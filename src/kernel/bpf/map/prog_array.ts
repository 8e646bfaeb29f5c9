/**
 * BPF_MAP_TYPE_PROG_ARRAY: where tail calls jump to. Mirrors kernel/bpf/arraymap.c and the owner of
 * a map in kernel/bpf/core.c in Linux.
 */

import { BPF_ANY } from "../../../abi/bpf.ts";
import { E2BIG, EINVAL, ENOENT, ENOTSUPP } from "../../../abi/errno.ts";
import type { Task } from "../../task.ts";
import type { Prog } from "../prog.ts";
import { progFromFd } from "../prog_fd.ts";
import { IndexedMap } from "./array.ts";

/**
 * Where, from the start of an entry, the JIT finds what to jump to: a u32 index into its table, 0
 * for none. The program's id, which is what bpf(2) shows, comes before.
 */
export const PROG_ENTRY_OFFSET = 4;

/** What must be the same in all programs that a prog array holds or that use it. */
export interface TailCallFacts {
  /** BPF_PROG_TYPE_… */
  readonly type: number;
  readonly expectedAttachType: number;
  /** Whether packets in fragments may come to it (BPF_F_XDP_HAS_FRAGS). */
  readonly xdpHasFrags?: boolean;
}

/** An array of programs; it holds a reference on each. */
export class ProgArray extends IndexedMap {
  readonly #progs: Map<number, Prog> = new Map();
  /** Set by the first program that is stored or that uses the map, and for good. */
  #owner: TailCallFacts | null = null;

  /** The program at an index (any u32), which may be nobody. */
  progAt(index: number): Prog | null {
    return this.#progs.get(index) ?? null;
  }

  /**
   * Whether a program may be stored here or tail call through here; the first one to ask decides
   * for all to come. PROG_LOAD asks for each prog array of a program it has verified, and answers
   * EINVAL. Mirrors bpf_prog_map_compatible() in Linux.
   */
  checkOwner({ type, expectedAttachType, xdpHasFrags = false }: TailCallFacts): boolean {
    this.#owner ??= { type, expectedAttachType, xdpHasFrags };
    return (
      this.#owner.type === type &&
      this.#owner.expectedAttachType === expectedAttachType &&
      this.#owner.xdpHasFrags === xdpHasFrags
    );
  }

  /** Programs can't look programs up: the verifier refuses. */
  lookup(): number {
    return 0;
  }

  /** What goes in as an fd comes out as an id. */
  override userLookup(keyAddress: number): number {
    const index = this.indexOf(keyAddress);
    return this.#progs.has(index) ? this.#slot(index) : 0;
  }

  update(): number {
    return -ENOTSUPP;
  }

  userUpdate(task: Task, keyAddress: number, valueAddress: number, flags: number): number {
    if (flags !== BPF_ANY) return -EINVAL;
    const index = this.indexOf(keyAddress);
    if (index < 0) return -E2BIG;
    const prog = progFromFd(task, this.machine.memory.view.getUint32(valueAddress, true));
    if (typeof prog === "number") return prog;
    if (!this.checkOwner(prog)) return -EINVAL;
    this.#store(index, prog.get());
    return 0;
  }

  delete(keyAddress: number): number {
    const index = this.indexOf(keyAddress);
    if (index < 0) return -E2BIG;
    if (!this.#progs.has(index)) return -ENOENT;
    this.#store(index, null);
    return 0;
  }

  forEach(): number {
    return -ENOTSUPP;
  }

  containsValue(): boolean {
    return false;
  }

  protected override ownFdinfo(): readonly (readonly [key: string, value: number])[] {
    if (this.#owner === null) return [];
    return [
      ["owner_prog_type", this.#owner.type],
      ["owner_jited", this.machine.engine.name === "jit" ? 1 : 0],
    ];
  }

  /**
   * A program in the array may hold the array: nobody could ever take it out again, so it goes
   * when the last fd and pin do.
   */
  protected override usersGone(): void {
    for (const index of [...this.#progs.keys()]) this.#store(index, null);
  }

  #slot(index: number): number {
    return this.base + index * this.stride;
  }

  #store(index: number, prog: Prog | null): void {
    const old = this.progAt(index);
    if (prog === null) this.#progs.delete(index);
    else this.#progs.set(index, prog);
    const { engine, memory } = this.machine;
    const entry = prog === null ? 0 : engine.entryOf(prog);
    memory.view.setUint32(this.#slot(index), prog?.id ?? 0, true);
    memory.view.setUint32(this.#slot(index) + PROG_ENTRY_OFFSET, entry, true);
    old?.put();
  }
}
