/** Proves rows of the table: a question for each case and each part of what is to be shown. */

import { type Goals, Lemma, type Row } from "./lemma.ts";
import type { Fault } from "./loader.ts";
import { solve, type Verdict } from "./solver.ts";
import * as T from "./terms.ts";

/** What came of a row. */
export interface Outcome {
  readonly row: Row;
  readonly seconds: number;
  readonly questions: number;
  /** What isn't proved, and why; empty when all is. */
  readonly failures: readonly string[];
  readonly by: ReadonlySet<string>;
}

/** Seconds that a question may take where a row says nothing else. */
const LIMIT_SECONDS = 120;
/** And all parts of what is to be shown at once, before each is asked by itself. */
const WHOLE_SECONDS = 20;
/** As many questions are asked at a time. */
const AT_A_TIME = 2;

interface Asked {
  readonly name: string;
  readonly text: string;
  readonly variables?: readonly string[];
}

/** What is to be shown in one case: it is, if the question has no answer. */
function questionsOf(row: Row, of: string | number, faults: readonly Fault[]): Asked[] {
  if (row.reals !== undefined) return [{ name: "", text: row.reals }];
  T.forgetTerms();
  const lemma = new Lemma(faults);
  const goals: Goals = row.prove(lemma, of);
  const { facts, duties } = lemma.machine;
  const parts = Object.entries(goals).concat(duties.map((duty, i) => [`duty ${i + 1}`, duty]));
  const open = parts.filter(([, goal]) => goal !== T.TRUE);
  const ask = (name: string, goal: T.Term): Asked => ({
    name,
    ...T.question([...facts, T.not(goal)]),
  });
  const whole = ask("all", T.and(...open.map(([, goal]) => goal)));
  return open.length === 0 ? [] : [whole, ...open.map(([part, goal]) => ask(part, goal))];
}

/** Proves a row. @param progress - is told of each question. */
export async function prove(
  row: Row,
  progress: (text: string) => void = () => {},
): Promise<Outcome> {
  const begin = performance.now();
  const failures: string[] = [];
  const by = new Set<string>();
  let questions = 0;
  const put = async (of: string | number, question: Asked, limit?: number): Promise<Verdict> => {
    const verdict = await ask(row, question, limit);
    questions++;
    const seconds = verdict.seconds.toFixed(1);
    progress(`${row.name} ${of} ${question.name}: ${verdict.answer}, ${verdict.by}, ${seconds} s`);
    if (verdict.answer === "unsat") by.add(verdict.by);
    return verdict;
  };
  await eachOf(row.cases ?? [""], async (of) => {
    const [whole, ...parts] = questionsOf(row, of, []);
    // All parts at once, which is quicker as a rule; each by itself where that takes long.
    if (whole === undefined) return;
    const first = await put(of, whole, parts.length > 1 ? WHOLE_SECONDS : undefined);
    if (first.answer === "unsat") return;
    if (parts.length === 0) failures.push(`${of}: ${tell(first)}`);
    for (const part of parts) {
      const verdict = await put(of, part);
      if (verdict.answer !== "unsat") failures.push(`${of} ${part.name}: ${tell(verdict)}`.trim());
    }
  });
  const seconds = (performance.now() - begin) / 1000;
  return { row, seconds, questions, failures, by };
}

function tell({ answer, model, seconds }: Verdict): string {
  return answer === "sat" ? `not so where ${model}` : `${answer} after ${seconds.toFixed(0)} s`;
}

function ask(row: Row, { text, variables = [] }: Asked, limit?: number): Promise<Verdict> {
  const { first = "cvc5", limit: most = LIMIT_SECONDS, reals } = row;
  const logic = reals === undefined ? "QF_BV" : "QF_NRA";
  return solve({ text, variables }, { first, limit: limit ?? most, logic });
}

async function eachOf<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
}

/** Whether a fault is noticed. @returns a counterexample, or null. */
export async function findCounterexample(row: Row, fault: Fault): Promise<string | null> {
  for (const of of row.cases ?? [""]) {
    const [whole, ...parts] = questionsOf(row, of, [fault]);
    if (whole === undefined) continue;
    const limit = parts.length > 1 ? WHOLE_SECONDS : undefined;
    let verdict = await ask(row, whole, limit);
    for (const part of verdict.answer === "unknown" ? parts : []) {
      if (verdict.answer !== "sat") verdict = await ask(row, part);
    }
    if (verdict.answer === "sat") return `${of}: ${verdict.model}`.trim();
  }
  return null;
}
