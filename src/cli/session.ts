/**
 * What commands share while they run: the kernel, where output goes, and what is held on to. A
 * command line is a session of one command, a script one of many.
 */

import type { Inventory, LinkEntry } from "../inventory/index.ts";
import type { Kernel } from "../kernel.ts";
import { EXIT_DONE, UsageError } from "./failure.ts";
import type { HeldLink } from "./held.ts";
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
  /** Ids of those that are known to be attached to nothing. */
  readonly #lost: Set<number> = new Set();
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
    const inventory = takeInventory(kernel, {
      earlier: this.#lastLook,
      linkFds: this.linkFds,
    });
    this.#lastLook = inventory.links;
    return inventory;
  }

  /** What the last look found. */
  get lastLook(): readonly LinkEntry[] {
    return this.#lastLook;
  }

  /** Fds of the links that it holds. */
  get linkFds(): readonly number[] {
    return [...this.#links.values()].map(({ link }) => link.fd);
  }

  /** The link with an id, if it holds it. */
  held(id: number): HeldLink | undefined {
    return this.#links.get(id);
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

  /** Sentences about held links that were lost since it was last asked. */
  async losses(): Promise<readonly string[]> {
    const kernel = this.#kernel;
    if (kernel === null || this.#links.size === 0) return [];
    const { lossOf, lossText } = await import("./held.ts");
    const texts: string[] = [];
    for (const [id, held] of this.#links) {
      const loss = this.#lost.has(id) ? null : lossOf(kernel, held);
      if (loss === null) continue;
      this.#lost.add(id);
      texts.push(lossText(held, loss));
    }
    return texts;
  }

  /** Notes that a link was detached on purpose: it is no loss. */
  noteDetached(id: number): void {
    this.#lost.add(id);
  }

  /** Lets go of what a held link's program needed: the link has another one. */
  replaceOthers(id: number, others: readonly Disposable[]): void {
    const held = this.#links.get(id);
    if (held === undefined) {
      for (const each of others) this.keep(each);
      return;
    }
    this.#links.set(id, { ...held, others });
    disposeAll(held.others);
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
    this.#lost.delete(id);
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

/** How often a held link is looked at: nothing tells of a change. */
const LOOK_MS = 100;

/** Waits for SIGINT or SIGTERM, which then don't end the process. */
export class Interruption {
  readonly #come: Promise<void>;
  #end: () => void = () => {};

  constructor() {
    this.#come = new Promise((resolve) => {
      this.#end = resolve;
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, resolve);
    });
  }

  /** @param look - called again and again; the waiting ends as well when it says false. */
  async wait(look: () => boolean): Promise<void> {
    let failure: { readonly error: unknown } | undefined;
    const timer = setInterval(() => {
      try {
        if (!look()) this.#end();
      } catch (error) {
        failure = { error };
        this.#end();
      }
    }, LOOK_MS);
    await this.#come;
    clearInterval(timer);
    if (failure !== undefined) throw failure.error;
  }
}
