/**
 * Looks for programs at which Linux finds a fault of its own. Each kind of fault is shown once, by
 * the shortest program that was found for it.
 */

import { disassemble, encodeInstructions } from "../../src/asm/index.ts";
import { generate } from "./generate.ts";
import { faultsInLog, KernelLog, kindOfFault, warnAgain } from "./kernel_log.ts";
import type { Rights, TestProgram } from "./program.ts";
import { shrink } from "./shrink.ts";
import type { World } from "./world.ts";

const ONCE = "Linux warns once of each fault outside of the verifier until it is booted again";

/** What Linux says about itself when it is given programs. */
export class FaultWatch implements Disposable {
  readonly #linux: World;
  readonly #kernelLog: KernelLog | null;
  readonly #shrinks: boolean;
  /** Kinds that were shown. */
  readonly #known: Set<string> = new Set();
  /** What can't be seen; null: everything is. */
  readonly blindness: string | null;

  /** @param shrinks - programs are made short; Linux is told to warn again and again. */
  constructor(linux: World, shrinks: boolean) {
    this.#linux = linux;
    this.#shrinks = shrinks;
    const log = KernelLog.open();
    this.#kernelLog = typeof log === "string" ? null : log;
    this.blindness = typeof log === "string" ? log : null;
    if (shrinks && !warnAgain()) this.blindness ??= ONCE;
  }

  /**
   * What the kernel's log says of the program that Linux was given last.
   *
   * @returns for each fault of a kind that was not seen before, the program and the fault as text.
   */
  afterLoad(program: TestProgram, seed: number): string[] {
    return this.#report(program, seed, this.#kernelLog?.faults() ?? []);
  }

  /** Gives Linux a program; returns the same, of the verifier's log too. */
  load(program: TestProgram, seed: number): string[] {
    return this.#report(program, seed, this.#faults(program));
  }

  /** The verifier's log is asked for at level 2: at others, paths that end well are left out. */
  #faults(program: TestProgram): string[] {
    const told = faultsInLog(this.#linux.log(program));
    return [...told, ...(this.#kernelLog?.faults() ?? [])];
  }

  #report(program: TestProgram, seed: number, faults: readonly string[]): string[] {
    const reports: string[] = [];
    const kinds = new Map(faults.map((fault) => [kindOfFault(fault), fault]));
    for (const [kind, fault] of kinds) {
      if (this.#known.has(kind)) continue;
      this.#known.add(kind);
      reports.push(`${fault}\n${this.#describe(program, seed, kind)}`);
    }
    // Otherwise the next program that causes the same would be passed over.
    if (this.#shrinks && faults.length > 0) warnAgain();
    return reports;
  }

  #describe(program: TestProgram, seed: number, kind: string): string {
    const shows = (candidate: TestProgram): boolean => {
      warnAgain();
      return this.#faults(candidate).some((fault) => kindOfFault(fault) === kind);
    };
    const isShown = this.#shrinks && shows(program);
    const { origin, type, rights, flags, instructions } = isShown
      ? shrink(program, false, shows)
      : program;
    const state = isShown ? "made short" : "as it came";
    const text = disassemble(encodeInstructions(instructions)).trimEnd();
    return `seed ${seed} (${origin}; type ${type}, ${rights}, flags ${flags}), ${state}:\n${text}`;
  }

  [Symbol.dispose](): void {
    this.#kernelLog?.[Symbol.dispose]();
  }
}

/** Where to look. */
export interface HuntOptions {
  readonly seed: number;
  readonly programs: number;
  readonly rights?: Rights;
  readonly only?: string;
  readonly found: (report: string) => void;
  readonly progress?: (done: number) => void;
}

const PROGRESS_INTERVAL = 10_000;

/** Gives programs to Linux alone. @returns how many kinds of faults came. */
export function hunt(watch: FaultWatch, options: HuntOptions): number {
  let found = 0;
  for (let i = 0; i < options.programs; i++) {
    const seed = options.seed + i;
    const program = generate(seed, options.rights);
    if (options.only !== undefined && !program.origin.includes(options.only)) continue;
    for (const report of watch.load(program, seed)) {
      found++;
      options.found(report);
    }
    if (i % PROGRESS_INTERVAL === PROGRESS_INTERVAL - 1) options.progress?.(i + 1);
  }
  return found;
}
