/**
 * What commands share while they run: the kernel, where output goes, and what is held on to. A
 * command line is a session of one command, a script one of many.
 */

import type { Inventory, LinkEntry } from "../inventory/index.ts";
import type { Kernel } from "../kernel.ts";
import type { Link } from "../link.ts";
import { EXIT_DONE, UsageError } from "./failure.ts";
import { Output } from "./output.ts";

/** The kernels that there are. */
export const KERNEL_NAMES = ["linux", "embedded"] as const;
export type KernelName = (typeof KERNEL_NAMES)[number];

/** What an embedded kernel is booted for. */
export interface KernelNeeds {
  /** How many threads will work on its memory. */
  readonly threads?: number;
  /** How many instructions a run may take; by default there is no limit. */
  readonly maxInstructions?: number | undefined;
}

/** A link that lives because this process holds it. */
export interface HeldLink {
  readonly link: Link;
  /** What has to live as long: programs, and the maps by which they call each other. */
  readonly others: readonly Disposable[];
  /** What a script calls it, or "". */
  readonly label: string;
}

/** The kernel, opened when it is first asked for, and what a script holds on it. */
export class Session implements Disposable {
  readonly output: Output;
  /** The kernel of a script; null on a command line, where every command chooses. */
  readonly scriptKernel: KernelName | null;
  /** How the session ends if nothing is thrown. */
  exitCode: number = EXIT_DONE;
  /** Takes what programs print on an embedded kernel, while somebody wants to know. */
  trace: ((line: string) => void) | null = null;
  #kernel: Kernel | null = null;
  /** What the last look at all links found. */
  #lastLook: readonly LinkEntry[] = [];
  readonly #links: Map<number, HeldLink> = new Map();
  readonly #kept: Disposable[] = [];

  constructor(
    options: {
      readonly output?: Output;
      readonly scriptKernel?: KernelName | null;
      /** A kernel that is open already; it goes with the session. */
      readonly kernel?: Kernel;
    } = {},
  ) {
    this.#kernel = options.kernel ?? null;
    this.output = options.output ?? new Output();
    this.scriptKernel = options.scriptKernel ?? null;
  }

  get isScript(): boolean {
    return this.scriptKernel !== null;
  }

  /**
   * The kernel that commands work on.
   *
   * @param wanted - what the command line asks for; in a script all commands share one.
   * @param needs - what an embedded kernel is booted for.
   * @throws {UnsupportedError} when Linux is asked for where it can't be had.
   * @throws {UsageError} for a limit of instructions on a kernel that can't have one.
   */
  async kernel(wanted: KernelName, needs: KernelNeeds = {}): Promise<Kernel> {
    const name = this.scriptKernel ?? wanted;
    if (needs.maxInstructions !== undefined) {
      if (name === "linux") {
        throw new UsageError(
          "Linux counts no instructions: --max-instructions is for --kernel embedded",
        );
      }
      if (this.#kernel !== null) {
        throw new UsageError("--max-instructions needs a kernel of its own: it can't be used here");
      }
    }
    this.#kernel ??= await this.#open(name, needs);
    return this.#kernel;
  }

  /**
   * Looks at all that is attached. What a script has seen before tells links that were detached
   * from those whose namespace died.
   */
  async look(kernel: Kernel): Promise<Inventory> {
    const { takeInventory } = await import("../inventory/index.ts");
    const inventory = takeInventory(kernel, { earlier: this.#lastLook });
    this.#lastLook = inventory.links;
    return inventory;
  }

  /** What the last look found. */
  get lastLook(): readonly LinkEntry[] {
    return this.#lastLook;
  }

  /**
   * Notes what has been changed, and stays so when this process ends: should standard output not
   * take it, standard error does. What is changed on an embedded kernel goes with it.
   */
  changed(text: string): void {
    if (this.#kernel?.name === "linux") this.output.changed(text);
  }

  /** Holds a link until it is released, or to the end of the session. */
  hold(held: HeldLink): void {
    this.#links.set(held.link.info.id, held);
  }

  /** Keeps something to the end of the session. */
  keep(thing: Disposable): void {
    this.#kept.push(thing);
  }

  /**
   * Lets go of a held link.
   *
   * @throws {UsageError} when this session doesn't hold it.
   */
  release(id: number): void {
    const held = this.#links.get(id);
    if (held === undefined) throw new UsageError(`this script doesn't hold link ${id}`);
    this.#links.delete(id);
    disposeAll([...held.others, held.link]);
  }

  /**
   * The id of the held link that `attach --as` gave a name.
   *
   * @throws {UsageError} when there is none.
   */
  labelled(label: string): number {
    for (const [id, held] of this.#links) if (held.label === label) return id;
    throw new UsageError(`this script holds no link that it calls ${label}`);
  }

  async #open(name: KernelName, { threads = 1, maxInstructions }: KernelNeeds): Promise<Kernel> {
    if (name === "linux") {
      const { openLinuxKernel } = await import("../linux/index.ts");
      return openLinuxKernel();
    }
    const { EmbeddedKernel } = await import("../kernel/index.ts");
    return EmbeddedKernel.boot({
      possibleCpus: threads,
      sharedMemory: threads > 1,
      countTailCallMisses: true,
      trace: (line) => this.trace?.(line),
      ...(maxInstructions !== undefined && { instructionLimit: maxInstructions }),
    });
  }

  [Symbol.dispose](): void {
    for (const id of [...this.#links.keys()]) this.release(id);
    disposeAll(this.#kept.splice(0));
    this.#kernel?.[Symbol.dispose]();
    this.#kernel = null;
  }
}

/** The last is disposed of first. */
function disposeAll(things: readonly Disposable[]): void {
  for (const thing of things.toReversed()) thing[Symbol.dispose]();
}

/** Keeps the process alive: a listener for a signal alone doesn't. */
const KEEP_ALIVE_MS = 2 ** 30;

/** Waits for SIGINT or SIGTERM, which then don't end the process. */
export class Interruption {
  readonly #signals = ["SIGINT", "SIGTERM"] as const;
  readonly #timer: NodeJS.Timeout = setInterval(() => {}, KEEP_ALIVE_MS);
  readonly #come: Promise<void>;

  constructor() {
    this.#come = new Promise((resolve) => {
      for (const signal of this.#signals) process.once(signal, () => resolve());
    });
  }

  async wait(): Promise<void> {
    await this.#come;
    clearInterval(this.#timer);
  }
}
