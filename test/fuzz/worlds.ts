/**
 * Kernels to compare: a fresh embedded one for each episode, and one Linux for all.
 */

import { setTimeout as delay } from "node:timers/promises";
import { ManualScheduler, type UnprivilegedBpf } from "../../src/kernel/index.ts";
import { openEmbeddedWorld } from "../contract/embedded_world.ts";
import { unprivilegedBpf } from "../contract/open_to_all.ts";
import type { World } from "../contract/world.ts";
import { Random } from "../random.ts";
import { Arena } from "./arena.ts";
import { Subject } from "./subject.ts";

/** How a kernel is set, which answers depend on. */
export interface Settings {
  readonly possibleCpus: number;
  readonly unprivilegedBpfDisabled: UnprivilegedBpf;
}

/** Where there is no other kernel. */
const DEFAULT_SETTINGS: Settings = { possibleCpus: 2, unprivilegedBpfDisabled: 2 };

/** A kernel that episodes are played on. */
export interface Stage {
  readonly name: string;
  readonly settings: Settings;
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

/** @param settings - those of the other kernel. */
export function embeddedStage(settings: Settings = DEFAULT_SETTINGS): Stage {
  return {
    name: "embedded",
    settings,
    open() {
      const scheduler = new ManualScheduler();
      const random = new Random(settings.possibleCpus);
      let nowNs = 0n;
      const embedded = openEmbeddedWorld({
        ...settings,
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
    settings: {
      possibleCpus: world.kernel.possibleCpus,
      unprivilegedBpfDisabled: unprivilegedBpf(world.kernel),
    },
    open: () => new Subject(world, arena, () => {}),
    clear: (subject) => subject.end(),
    // A flow dissector in the root namespace has to wait until no other namespace has one.
    giveWay: () => delay(GAP_MS),
    close: () => world.end(),
  };
}
