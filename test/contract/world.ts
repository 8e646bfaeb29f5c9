/**
 * What a contract suite needs beside the kernel itself, and how each kernel provides it.
 */

import type { Kernel } from "../../src/kernel.ts";
import { SETTLE_MS } from "../limits.ts";

/** Somebody else who holds a copy of an fd. */
export interface Holder {
  /** Lets go of it; resolves when the holder is gone. */
  release(): Promise<void>;
}

/** Parts of Linux that a kernel may still lack. */
export type Feature = "verifier" | "skLookupRun" | "otherTypes" | "rootNetns";

/** A kernel with its surroundings, the same for every case. */
export interface World {
  /** As a task with all capabilities sees it. */
  readonly kernel: Kernel;
  /** An empty directory on bpffs, for this world alone. */
  readonly pinDirectory: string;
  /** Number of the process that `kernel` is the view of. */
  readonly pid: number;
  /** Where the bpffs that it is on is mounted. */
  readonly bpffsRoot: string;
  /**
   * Runs a function with an address where these bytes can be read, but nothing can be written.
   */
  withReadOnly<T>(bytes: Uint8Array, call: (address: bigint) => T): T;
  /** Makes names of network namespaces that nobody else uses. */
  readonly namePrefix: string;
  /** An fd on the root namespace, or a negative errno. */
  openRoot(): number;
  /**
   * Runs a synchronous function as a task without capabilities.
   *
   * @param fds - fds of ours that the task gets, under numbers of its own.
   * @param uid - whose files it may use; by default it is who we are.
   */
  unprivileged<T>(
    fds: readonly number[],
    call: (kernel: Kernel, fds: readonly number[]) => T,
    uid?: number,
  ): T;
  /**
   * Runs a synchronous function as a task that has no fd number left to give out.
   *
   * @param fds - fds of ours that the task gets, under numbers of its own.
   */
  withFullTable<T>(fds: readonly number[], call: (kernel: Kernel, fds: readonly number[]) => T): T;
  /** Hands another task a copy of an fd. */
  holder(fd: number): Promise<Holder>;
  /** Lets deferred work go on for a moment. */
  turn(): Promise<void>;
  /** Ends the world and everything in it. */
  end(): Promise<void>;
}

/** A kernel that the suite can be run on. */
export interface WorldKind {
  readonly name: string;
  /** Why the kernel doesn't have a feature yet, for those it lacks. */
  readonly lacks: Readonly<Partial<Record<Feature, string>>>;
  open(): Promise<World>;
}

/**
 * Waits until asynchronous effects have come to where they should.
 *
 * @throws {Error} naming `what` when they haven't in time.
 */
export async function until(world: World, what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + SETTLE_MS;
  while (!condition()) {
    if (performance.now() > end) throw new RangeError(`${what}: not within ${SETTLE_MS} ms`);
    await world.turn();
  }
}
