/**
 * The differential: programs that the verifier accepts, run everywhere on the same packets. Whoever
 * leaves something else behind than the interpreter computes something else than Linux does.
 */

import { disassemble, encodeInstructions } from "../../src/asm/index.ts";
import { Random } from "../random.ts";
import type { TestProgram } from "../verifier/program.ts";
import { randomPacket } from "./packets.ts";
import { engineProgram, isRunnable, isSameOnLinux } from "./programs.ts";
import { embeddedWorlds, linuxWorld, type World } from "./world.ts";

/** Packets that each program is run on, one after the other. */
const PACKETS = 3;
/** Tries for each program that is wanted, before the generator is given up. */
const MAX_TRIES = 50;
const PROGRESS_INTERVAL = 5000;
/**
 * Linux 6.18 lets a few programs in that never end: loops around bpf_loop in which nothing changes.
 * Where the interpreter takes more instructions than this, no other engine is asked.
 */
const INSTRUCTION_LIMIT: number = 2 ** 27;

/** What to do. */
export interface Options {
  readonly seed: number;
  /** How many accepted programs to run. */
  readonly programs: number;
  /** Stops after so many differences. */
  readonly maxDifferences: number;
  /** Called now and then, and after each difference. */
  readonly progress?: (counts: Counts) => void;
}

/** What came of it. */
export interface Counts {
  /** Seeds that were tried. */
  tried: number;
  /** Programs that were run, by what made them. */
  programs: number;
  readonly origins: Map<string, number>;
  /** Of those, on Linux too. */
  onLinux: number;
  /** Programs that were run on the interpreter only, as they take too long. */
  tooLong: number;
  /** Programs that Linux did not load, although they are accepted here. */
  refusedByLinux: number;
  /** Reports of programs that engines differ in. */
  readonly differences: string[];
}

/** Everything that runs programs here; Linux's last, where it can be used. */
export class Engines implements Disposable {
  readonly #embedded: readonly World[];
  readonly #linux: World | null;
  readonly #accepts: (program: TestProgram) => number;

  private constructor(embedded: readonly World[], linux: World | null) {
    this.#embedded = embedded;
    this.#linux = linux;
    this.#accepts = (embedded[0] as World).restricted();
  }

  /** @param withLinux - as root, on Linux. */
  static async open(withLinux: boolean): Promise<Engines> {
    const linux = withLinux ? await linuxWorld() : null;
    return new Engines(embeddedWorlds(linux?.kernel.possibleCpus ?? 2, INSTRUCTION_LIMIT), linux);
  }

  get names(): readonly string[] {
    return [...this.#embedded, ...(this.#linux === null ? [] : [this.#linux])].map(
      ({ name }) => name,
    );
  }

  [Symbol.dispose](): void {
    for (const world of [...this.#embedded, this.#linux]) world?.[Symbol.dispose]();
  }

  /** Runs programs until enough were accepted. */
  compare({ seed, programs, maxDifferences, progress }: Options): Counts {
    const counts: Counts = {
      tried: 0,
      programs: 0,
      origins: new Map(),
      onLinux: 0,
      tooLong: 0,
      refusedByLinux: 0,
      differences: [],
    };
    while (counts.programs < programs && counts.tried < programs * MAX_TRIES) {
      const at = seed + counts.tried++;
      const program = engineProgram(at);
      if (!isRunnable(program) || this.#accepts(program) < 0) continue;
      counts.programs++;
      const origin = program.origin.split(/[:]/, 1)[0] ?? "";
      counts.origins.set(origin, (counts.origins.get(origin) ?? 0) + 1);
      const difference = this.#differ(program, at, counts);
      if (difference !== null) counts.differences.push(difference);
      if (difference !== null || counts.programs % PROGRESS_INTERVAL === 0) progress?.(counts);
      if (counts.differences.length >= maxDifferences) break;
    }
    return counts;
  }

  /** A report of how engines differ in a program; null when they don't. */
  #differ(program: TestProgram, seed: number, counts: Counts): string | null {
    const random = new Random(seed ^ 0x5eed);
    const packets = Array.from({ length: PACKETS }, () => randomPacket(random));
    let tooLong = false;
    const runOn = (world: World): string | null => {
      const fd = world.load(program);
      if (fd < 0) return null;
      const result = world.run(fd, program, packets);
      tooLong ||= world.wasTooLong(fd);
      world.kernel.close(fd);
      return result;
    };
    const [first, ...rest] = this.#embedded;
    const expected = runOn(first as World);
    if (tooLong) {
      counts.tooLong++;
      return null;
    }
    const others = rest.map((world) => [world.name, runOn(world)] as [string, string | null]);
    if (this.#linux !== null && isSameOnLinux(program)) {
      const seen = runOn(this.#linux);
      if (seen === null) counts.refusedByLinux++;
      else {
        counts.onLinux++;
        others.push([this.#linux.name, seen]);
      }
    }
    for (const [name, seen] of others) {
      if (seen !== expected) return report(program, seed, expected ?? "refused", name, seen);
    }
    return null;
  }
}

function report(
  program: TestProgram,
  seed: number,
  expected: string,
  name: string,
  seen: string | null,
): string {
  const theirs = (seen ?? "refused").split("\n");
  const lines = expected.split("\n").flatMap((line, i) => {
    const other = theirs[i] ?? "";
    return line === other ? [] : [`  interpreter  ${line}`, `  ${name}  ${other}`];
  });
  const text = disassemble(encodeInstructions(program.instructions)).trimEnd();
  return [`seed ${seed} (${program.origin}; type ${program.type}):`, ...lines, text].join("\n");
}
