/**
 * Solvers as child processes: Debian's z3 and cvc5, one after the other let in on a question until
 * one of them answers; npm's z3-solver where neither is there.
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import type { SolverName } from "./lemma.ts";
import type { Question } from "./terms.ts";

/** `unsat`: what was to be shown is proved. */
export type Answer = "sat" | "unsat" | "unknown";

export interface Verdict {
  readonly answer: Answer;
  /** By which solver. */
  readonly by: string;
  readonly seconds: number;
  /** Values of variables, where there is a counterexample. */
  readonly model: string;
}

/** How a solver is started, and asked. */
interface Way {
  readonly name: string;
  readonly command: string;
  readonly args: (limitSeconds: number) => readonly string[];
  readonly ask: string;
}

const WAYS: Readonly<Record<SolverName, Way>> = {
  cvc5: {
    name: "cvc5",
    command: "cvc5",
    args: (limit) => ["--lang=smt2", "--bitblast=eager", `--tlimit=${limit * 1000}`, "-q"],
    ask: "(check-sat)",
  },
  "z3-sat": {
    name: "z3, bit-blasted",
    command: "z3",
    args: (limit) => ["-in", "-smt2", `-T:${limit}`],
    ask: "(check-sat-using (then simplify solve-eqs bit-blast sat))",
  },
  z3: {
    name: "z3",
    command: "z3",
    args: (limit) => ["-in", "-smt2", `-T:${limit}`],
    ask: "(check-sat)",
  },
};

/** Seconds after which the next solver is let in. */
const HEAD_START_SECONDS = 5;

function isThere(command: string): boolean {
  return spawnSync(command, ["--version"], { stdio: "ignore" }).error === undefined;
}

/** Which of the solvers this machine has. */
export function available(): readonly SolverName[] {
  const there = new Set(["z3", "cvc5"].filter(isThere));
  const names = Object.keys(WAYS) as SolverName[];
  return names.filter((name) => there.has(WAYS[name].command));
}

let installed: readonly SolverName[] | null = null;

/** Npm's z3-solver, run by a Node of its own: it has threads that never end. */
const PORTABLE: Way = {
  name: "z3-solver",
  command: process.execPath,
  args: () => ["--input-type=module", "--eval", portableProgram()],
  ask: "(check-sat)",
};

function portableProgram(): string {
  const path = createRequire(import.meta.url).resolve("z3-solver");
  return `
    import { createRequire } from "node:module";
    import { readFileSync } from "node:fs";
    const { init } = createRequire(import.meta.url)(${JSON.stringify(path)});
    const { Z3 } = await init();
    const context = Z3.mk_context(Z3.mk_config());
    process.stdout.write(await Z3.eval_smtlib2_string(context, readFileSync(0, "utf8")));
    process.exit(0);`;
}

/** Whether there is any solver. */
export function hasSolver(): boolean {
  try {
    return waysFrom("cvc5").length > 0;
  } catch {
    return false;
  }
}

/** What stands in for a solver that is missing. @throws {Error} when nothing can. */
function waysFrom(first: SolverName): readonly Way[] {
  installed ??= available();
  if (installed.length > 0) {
    const order = [first, ...installed].filter((name) => installed?.includes(name));
    return [...new Set(order)].map((name) => WAYS[name]);
  }
  try {
    createRequire(import.meta.url).resolve("z3-solver");
    return [PORTABLE];
  } catch {
    throw new Error(
      "no solver: apt-get install z3 cvc5, or npm install --no-save z3-solver, which is slower",
    );
  }
}

/** Which solvers are asked, for a report. */
export function solverNames(): string {
  return waysFrom("cvc5")
    .map(({ name }) => name)
    .join(", ");
}

interface Attempt {
  readonly child: ChildProcess;
  readonly output: Promise<string>;
}

function start(way: Way, text: string, limitSeconds: number): Attempt {
  const child = spawn(way.command, way.args(limitSeconds), {
    stdio: ["pipe", "pipe", "ignore"],
  });
  const output = new Promise<string>((resolve) => {
    let all = "";
    child.stdout?.on("data", (data) => {
      all += data;
    });
    child.on("error", () => resolve(""));
    child.on("close", () => resolve(all));
  });
  // Who was stopped no longer reads.
  child.stdin?.on("error", () => {});
  child.stdin?.end(text);
  return { child, output };
}

function textFor(way: Way, { text, variables }: Question, logic: string): string {
  const values = variables.length > 0 ? `(get-value (${variables.join(" ")}))` : "";
  return `(set-option :produce-models true)\n(set-logic ${logic})\n${text}${way.ask}\n${values}\n`;
}

/** Asks whether all formulas of a question can be true. @param limit - seconds. */
export async function solve(
  asked: Question,
  { first = "cvc5", limit = 60, logic = "QF_BV" }: SolveOptions = {},
): Promise<Verdict> {
  const begin = performance.now();
  const attempts: Attempt[] = [];
  const answers: Promise<Verdict | null>[] = [];
  let decided: Verdict | null = null;
  const seconds = (): number => (performance.now() - begin) / 1000;
  for (const way of waysFrom(first)) {
    const attempt = start(way, textFor(way, asked, logic), limit);
    attempts.push(attempt);
    const answer = attempt.output.then((output) => {
      const found = /^(sat|unsat)$/m.exec(output)?.[1] as Answer | undefined;
      if (found === undefined) return null;
      const model = found === "sat" ? modelOf(output) : "";
      decided ??= { answer: found, by: way.name, seconds: seconds(), model };
      return decided;
    });
    answers.push(answer);
    await Promise.race([anyAnswer(answers), attempt.output, pause(HEAD_START_SECONDS)]);
    if (decided !== null) break;
  }
  const verdict = await Promise.race([
    anyAnswer(answers),
    pause(limit + HEAD_START_SECONDS).then(() => null),
  ]);
  for (const { child } of attempts) child.kill("SIGKILL");
  return verdict ?? { answer: "unknown", by: "none", seconds: seconds(), model: "" };
}

export interface SolveOptions {
  readonly first?: SolverName;
  /** Seconds for each of the solvers. */
  readonly limit?: number;
  readonly logic?: string;
}

/** The first that isn't null; null when all are. */
async function anyAnswer(answers: readonly Promise<Verdict | null>[]): Promise<Verdict | null> {
  try {
    return await Promise.any(
      answers.map(async (answer) => {
        const verdict = await answer;
        if (verdict === null) throw new Error("no answer");
        return verdict;
      }),
    );
  } catch {
    return null;
  }
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, seconds * 1000).unref();
  });
}

/** Values as `name = number`, without zeros and what rounding needs. */
function modelOf(output: string): string {
  const pairs = output.matchAll(/\(\|?([^|()]+)\.\d+\|? (#[xb][0-9a-f]+|true|false)\)/g);
  return [...pairs]
    .map(([, name = "", value = ""]) => `${name} = ${value.replace("#", "0")}`)
    .join(", ");
}
