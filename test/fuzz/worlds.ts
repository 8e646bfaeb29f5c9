/**
 * Kernels to compare: a fresh embedded one for each episode, and one Linux for all.
 */

import { setTimeout as delay } from "node:timers/promises";
import { ManualScheduler } from "../../src/kernel/index.ts";
import { openEmbeddedWorld } from "../contract/embedded_world.ts";
import type { World } from "../contract/world.ts";
import { Random } from "../random.ts";
import { Arena } from "./arena.ts";
import { Subject } from "./subject.ts";

/** A kernel that episodes are played on. */
export interface Stage {
  readonly name: string;
  readonly possibleCpus: number;
  /** A kernel with nothing of the fuzzer's on it. */
  open(): Subject;
  /** Puts away what an episode left. */
  clear(subject: Subject): void;
  /** Between episodes: lets others do what they can't while anything is attached anywhere. */
  giveWay(): Promise<void>;
  close(): Promise<void>;
}

/** Time passes with each look at it, enough for each of some repetitions. */
const TICK_NS = 1_000n;
/** Dead namespaces are cleaned up within some 50 ms; the rest is for others. */
const GAP_MS = 150;
const BPFFS = "/sys/fs/bpf";

/** @param possibleCpus - as many as the other kernel has. */
export function embeddedStage(possibleCpus: number): Stage {
  return {
    name: "embedded",
    possibleCpus,
    open() {
      const scheduler = new ManualScheduler();
      const random = new Random(possibleCpus);
      let nowNs = 0n;
      const embedded = openEmbeddedWorld({
        possibleCpus,
        scheduler,
        random: () => random.u32(),
        clock: { monotonicNs: () => (nowNs += TICK_NS) },
      });
      // The root of bpffs, where everybody may pin, as in a bpffs of one's own on Linux.
      embedded.kernel.bpffs.rmdir(embedded.pinDirectory);
      const world = { ...embedded, pinDirectory: BPFFS };
      return new Subject(world, Arena.ofBuffers(world.kernel), () => scheduler.drain());
    },
    clear: (subject) => subject.end(),
    giveWay: async () => {},
    close: async () => {},
  };
}

/** Linux, of which this process must be root. */
export async function linuxStage(): Promise<Stage> {
  const { linuxKind } = await import("../contract/linux_world.ts");
  const world: World = await linuxKind.open();
  const arena = Arena.ofPages();
  return {
    name: "linux",
    possibleCpus: world.kernel.possibleCpus,
    open: () => new Subject(world, arena, () => {}),
    clear: (subject) => subject.end(),
    // A flow dissector in the root namespace has to wait until no other namespace has one.
    giveWay: () => delay(GAP_MS),
    close: () => world.end(),
  };
}
