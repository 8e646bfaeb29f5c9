/**
 * Programs by seed through everything: accepted ones are run on all engines and their memory is
 * looked at; verdicts and results are compared with Linux's, where there is one.
 */

import { disassemble, encodeInstructions } from "../../src/asm/index.ts";
import { RELATIONS, type Relation } from "./body.ts";
import { type Linked, link, OUT_LABEL, type Source } from "./code.ts";
import { explanationOf } from "./explained.ts";
import type { LinuxSubject } from "./linux.ts";
import { makeProgram, type Program } from "./program.ts";
import { shrink, withoutGuards } from "./shrink.ts";
import { Subject } from "./subject.ts";

/** What to do. */
export interface Options {
  readonly seed: number;
  readonly count: number;
  /** Null: not on Linux. */
  readonly linux: LinuxSubject | null;
  /** One in so many programs is run on the hardened JIT as well. */
  readonly hardenedEvery: number;
  /** After so many faults nothing more is tried. */
  readonly maxFaults: number;
  readonly progress?: (counts: Counts) => void;
}

/** What came of it. */
export interface Counts {
  /** Seeds that were tried; each is one program, or two when the first is refused. */
  seeds: number;
  programs: number;
  accepted: number;
  /** Programs that trial runs knew to be wrong. */
  wrong: number;
  /** Runs of accepted programs, on all engines. */
  runs: number;
  onLinux: number;
  unsafe: number;
  /** Verdicts, errnos or results that differ from Linux's for no known reason. */
  unexplained: number;
  readonly explained: Map<string, number>;
  /** Accepted programs by use. */
  readonly uses: Map<string, number>;
  /** Of accepted programs that are refused without their comparisons: what led to the number. */
  readonly decided: Map<Relation, number>;
  readonly reports: string[];
}

const PROGRESS_INTERVAL = 2000;
/** One in so many accepted programs is tried without its comparisons. */
const DECIDED_EVERY = 3;

function increment<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Runs programs until there are enough, or enough faults. */
export class Campaign {
  readonly #options: Options;
  readonly #jit: Subject = new Subject("jit", false);
  readonly #hardened: Subject = new Subject("jit", true);
  readonly #counts: Counts = {
    seeds: 0,
    programs: 0,
    accepted: 0,
    wrong: 0,
    runs: 0,
    onLinux: 0,
    unsafe: 0,
    unexplained: 0,
    explained: new Map(),
    uses: new Map(),
    decided: new Map(RELATIONS.map((relation) => [relation, 0])),
    reports: [],
  };

  constructor(options: Options) {
    this.#options = options;
  }

  run(): Counts {
    const counts = this.#counts;
    const { seed, count, maxFaults, progress } = this.#options;
    let shown = 0;
    while (counts.programs < count && counts.reports.length < maxFaults) {
      const program = makeProgram(seed + counts.seeds++, this.#jit);
      if (!this.#try(program) && program.repaired !== null) this.#try(program.repaired());
      const steps = Math.floor(counts.programs / PROGRESS_INTERVAL) + counts.reports.length;
      if (steps !== shown) progress?.(counts);
      shown = steps;
    }
    return counts;
  }

  /** Whether a program was accepted. */
  #try(program: Program): boolean {
    const counts = this.#counts;
    counts.programs++;
    if (program.isWrong) counts.wrong++;
    const linked = link(program.source);
    const fd = this.#jit.load(linked);
    if (fd >= 0) {
      counts.accepted++;
      increment(counts.uses, program.use);
      if (counts.accepted % DECIDED_EVERY === 0) this.#countRelations(program);
    }
    const results = fd < 0 ? null : this.#runHere(fd, program, linked);
    if (fd >= 0) this.#jit.close(fd);
    this.#compareWithLinux(program, linked, Math.min(fd, 0), results);
    return fd >= 0;
  }

  /** Results of an accepted program on all engines. Null when something is wrong with them. */
  #runHere(fd: number, program: Program, linked: Linked): string | null {
    const counts = this.#counts;
    const { inputs, keepsStack } = program;
    const interpreted = this.#jit.run(fd, linked, inputs, { keepsStack, interpreted: true });
    const compiled = this.#jit.run(fd, linked, inputs, { keepsStack, interpreted: false });
    counts.runs += 2 * inputs.length;
    let harm = interpreted.harm ?? compiled.harm;
    if (harm === null && compiled.results !== interpreted.results) harm = "engines differ";
    if (counts.accepted % this.#options.hardenedEvery === 0)
      harm ??= this.#runHardened(program, linked, interpreted.results);
    if (harm === null) return interpreted.results;
    counts.unsafe++;
    const isBad = (source: Source): boolean => this.#isUnsafe(source, program);
    this.#report(program, `UNSAFE: ${harm}`, shrink(program.source, isBad));
    return null;
  }

  #runHardened({ inputs, keepsStack }: Program, linked: Linked, expected: string): string | null {
    const fd = this.#hardened.load(linked);
    if (fd < 0) return `accepted once, and then refused with errno ${-fd}`;
    const { results, harm } = this.#hardened.run(fd, linked, inputs, {
      keepsStack,
      interpreted: false,
    });
    this.#hardened.close(fd);
    this.#counts.runs += inputs.length;
    return harm ?? (results === expected ? null : "the hardened engine differs");
  }

  /** Whether a program is accepted, and does harm; the tokens on the stack don't count. */
  #isUnsafe(source: Source, { inputs }: Program): boolean {
    const linked = linkable(source);
    if (linked === null) return false;
    const fd = this.#jit.load(linked);
    if (fd < 0) return false;
    const interpreted = this.#jit.run(fd, linked, inputs, { keepsStack: false, interpreted: true });
    const compiled = this.#jit.run(fd, linked, inputs, { keepsStack: false, interpreted: false });
    this.#jit.close(fd);
    return (interpreted.harm ?? compiled.harm) !== null || interpreted.results !== compiled.results;
  }

  #countRelations({ source, relations }: Program): void {
    const linked = linkable(withoutGuards(source, OUT_LABEL));
    const fd = linked === null ? 0 : this.#jit.load(linked);
    if (linked !== null && fd >= 0) this.#jit.close(fd);
    if (linked === null || fd >= 0) return;
    for (const relation of relations) increment(this.#counts.decided, relation);
  }

  #compareWithLinux(program: Program, linked: Linked, here: number, results: string | null): void {
    const { linux } = this.#options;
    if (linux === null) return;
    const counts = this.#counts;
    counts.onLinux++;
    const fd = linux.load(linked);
    const there = Math.min(fd, 0);
    if (here !== there) {
      this.#explain(program, linked, here, there);
    } else if (results !== null) {
      const theirs = linux.run(fd, linked, program.inputs);
      if (theirs !== results) this.#explainResults(program, linked, results, theirs);
    }
    if (fd >= 0) linux.close(fd);
  }

  #explain(program: Program, linked: Linked, here: number, there: number): void {
    const counts = this.#counts;
    const { linux } = this.#options;
    if (linux === null) return;
    const reason = this.#reasonOf(linked, here, there);
    if (reason !== null) {
      increment(counts.explained, reason);
      return;
    }
    counts.unexplained++;
    if (here === 0) counts.unsafe++;
    const isBad = (source: Source): boolean => {
      const shorter = linkable(source);
      return (
        shorter !== null &&
        this.#verdict(this.#jit, shorter) === here &&
        this.#verdict(linux, shorter) === there
      );
    };
    const shrunk = shrink(program.source, isBad);
    const name = (errno: number): string => (errno === 0 ? "accepted" : `errno ${-errno}`);
    this.#report(program, `here ${name(here)}, on Linux ${name(there)}`, shrunk);
    counts.reports.push(`Linux says:\n${lastLines(linux.log(link(shrunk)))}`);
    counts.reports.push(`Here:\n${lastLines(this.#jit.log(link(shrunk)))}`);
  }

  #explainResults(program: Program, linked: Linked, here: string, there: string): void {
    const counts = this.#counts;
    const reason = this.#reasonOf(linked, 0, 0);
    if (reason !== null) {
      increment(counts.explained, reason);
      return;
    }
    counts.unexplained++;
    this.#report(program, `results differ:\n${differingLines(here, there)}`, program.source);
  }

  #reasonOf(linked: Linked, here: number, there: number): string | null {
    const linuxLog = (): string => this.#options.linux?.log(linked) ?? "";
    return explanationOf({ here, there, log: () => this.#jit.log(linked), linuxLog });
  }

  #verdict(kernel: Subject | LinuxSubject, linked: Linked): number {
    const fd = kernel.load(linked);
    if (fd >= 0) kernel.close(fd);
    return Math.min(fd, 0);
  }

  #report({ seed, use, isWrong }: Program, what: string, source: Source): void {
    const { programs } = this.#counts;
    const wrong = isWrong ? ", wrong by trial runs" : "";
    const text = disassemble(encodeInstructions(link(source).instructions));
    this.#counts.reports.push(
      `seed ${seed}, program ${programs} (${use}${wrong}; type ${source.type}): ${what}\n${text}`,
    );
  }
}

/** A program that lost lines may jump to where nothing is. */
function linkable(source: Source): Linked | null {
  try {
    const linked = link(source);
    return linked.instructions.length === 0 ? null : linked;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

const LOG_LINES = 12;

function lastLines(log: string): string {
  return log.trimEnd().split("\n").slice(-LOG_LINES).join("\n");
}

function differingLines(here: string, there: string): string {
  const theirs = there.split("\n");
  return here
    .split("\n")
    .flatMap((line, i) =>
      line === theirs[i] ? [] : [`  ${i}: here ${line}\n  there ${theirs[i]}`],
    )
    .join("\n");
}

/** What a campaign came to, in words. */
export function summary(counts: Counts): string {
  const { seeds, programs, accepted, wrong, runs, onLinux, unsafe, unexplained } = counts;
  const share = ((100 * accepted) / Math.max(1, programs)).toFixed(1);
  return (
    `${programs} programs of ${seeds} seeds: ${accepted} accepted (${share} %), ${wrong} known ` +
    `to be wrong; ${runs} runs; ${onLinux} on Linux; ${unsafe} unsafe, ${unexplained} unexplained`
  );
}

/** How often each relation and use was what it came to. */
export function table({ decided, uses, explained }: Counts): string {
  const rows = (title: string, counts: ReadonlyMap<string, number>): string[] => [
    title,
    ...[...counts].sort(([, a], [, b]) => b - a).map(([name, count]) => `  ${count} ${name}`),
  ];
  return [
    ...rows("accepted programs by use:", uses),
    ...rows(
      `of one in ${DECIDED_EVERY}, refused without comparisons, by what led to the number:`,
      decided,
    ),
    ...rows("explained differences:", explained),
  ].join("\n");
}
