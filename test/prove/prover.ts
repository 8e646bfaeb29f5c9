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
/** As many questions are asked at a time. */
const AT_A_TIME = 2;

interface Asked {
  readonly name: string;
  readonly text: string;
  readonly variables?: readonly string[];
}

/** The questions of one case: each has no answer if what is to be shown is true. */
function questionsOf(row: Row, of: string | number, faults: readonly Fault[]): Asked[] {
  if (row.reals !== undefined) return [{ name: "", text: row.reals }];
  T.forgetTerms();
  const lemma = new Lemma(faults);
  const goals: Goals = row.prove(lemma, of);
  const { facts, duties } = lemma.machine;
  const parts = { ...goals, duties: T.and(...duties) };
  return Object.entries(parts)
    .filter(([, goal]) => goal !== T.TRUE)
    .map(([part, goal]) => ({ name: part, ...T.question([...facts, T.not(goal)]) }));
}

/** Proves a row. @param progress - is told of each case. */
export async function prove(
  row: Row,
  progress: (text: string) => void = () => {},
): Promise<Outcome> {
  const begin = performance.now();
  const failures: string[] = [];
  const by = new Set<string>();
  let questions = 0;
  for (const of of row.cases ?? [""]) {
    const asked = questionsOf(row, of, []);
    await eachOf(asked, async (question) => {
      const { name } = question;
      const verdict = await ask(row, question);
      questions++;
      by.add(verdict.by);
      progress(`${row.name} ${of} ${name}: ${verdict.answer} by ${verdict.by}, ${verdict.seconds.toFixed(1)} s`);
      if (verdict.answer !== "unsat") failures.push(`${of} ${name}: ${tell(verdict)}`.trim());
    });
  }
  const seconds = (performance.now() - begin) / 1000;
  return { row, seconds, questions, failures, by };
}

function tell({ answer, model, seconds }: Verdict): string {
  return answer === "sat" ? `not so where ${model}` : `${answer} after ${seconds.toFixed(0)} s`;
}

function ask(row: Row, { text, variables = [] }: Asked): Promise<Verdict> {
  const { first = "cvc5", limit = LIMIT_SECONDS, reals } = row;
  const logic = reals === undefined ? "QF_BV" : "QF_NRA";
  return solve({ text, variables }, { first, limit, logic });
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
    for (const question of questionsOf(row, of, [fault])) {
      const verdict = await ask(row, question);
      if (verdict.answer === "sat") return `${of} ${question.name}: ${verdict.model}`.trim();
    }
  }
  return null;
}
