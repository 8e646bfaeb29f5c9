/**
 * A thread of `nslink run --jobs`: dissects pages on the kernel's memory and reports on them.
 */

import { parentPort, workerData } from "node:worker_threads";
import { DissectorReplica, type HelperCall, RECORD, VERDICT } from "../kernel/index.ts";
import { recordAt } from "./page.ts";
import { Report } from "./report.ts";
import { ANSWER, type PageJob, type ThreadMessage, type ThreadStart } from "./spread_messages.ts";

const { image, cpu, format, answer, pages } = workerData as ThreadStart;
const report = new Report(format);
/** The page that is being worked on. */
let current = 0;

function say(message: ThreadMessage): void {
  parentPort?.postMessage(message);
}

/** Waits until the thread that has the kernel has called a helper. */
function callKernel(call: HelperCall): boolean {
  Atomics.store(answer, 0, ANSWER.waiting);
  say({ kind: "call", page: current, call });
  // The one who answered the last call may wake us only now: that is no answer yet.
  while (Atomics.load(answer, 0) === ANSWER.waiting) Atomics.wait(answer, 0, ANSWER.waiting);
  return Atomics.load(answer, 0) === ANSWER.goesOn;
}

/** Which packet of a page reached the limit of instructions; null if none did. */
function lastPacket(
  places: Int32Array,
  { records }: PageJob,
  dissected: number,
  words: Int32Array,
): number | null {
  if (dissected === 0) return null;
  const verdict = words[(recordAt(records, dissected - 1) + RECORD.verdict) / 4];
  return verdict === VERDICT.limit ? places.indexOf(dissected - 1) : null;
}

const replica = new DissectorReplica(image, cpu, callKernel);

parentPort?.on("message", (job: PageJob) => {
  const { page, packets, first, records } = job;
  const columns = pages[page];
  if (columns === undefined) throw new RangeError(`job: there is no page ${page}`);
  current = page;
  const dissected = replica.dissect(job);
  const words = new Int32Array(image.memory.buffer);
  const last = lastPacket(columns.places, job, dissected.count, words);
  report.addPage({ ...columns, words, records, count: last === null ? packets : last + 1, first });
  const overLimit = last === null ? null : first + last;
  say({ kind: "page", result: { part: report.takePart(), dissected, overLimit } });
});
