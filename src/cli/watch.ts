/**
 * Says on standard error that a program takes long, while this thread is in it and can say nothing.
 */

import { Worker } from "node:worker_threads";

/** How long programs may run on a piece of a capture before a word is said of it. */
const PATIENCE_MS = 5000;

/** Words of what the two threads share. */
const [SINCE, TOLD] = [0, 1];

/**
 * The other thread: it looks at the clock while this one can't. It writes to the file itself, since
 * what a worker writes to process.stderr waits for the main thread.
 */
const WATCHER = `
const { workerData } = require("node:worker_threads");
const { writeSync } = require("node:fs");
const { shared, patienceMs, before, after } = workerData;
for (;;) {
  const since = Atomics.load(shared, ${SINCE});
  Atomics.wait(shared, ${SINCE}, since, since === 0 ? Infinity : patienceMs);
  if (since === 0 || Atomics.load(shared, ${SINCE}) !== since) continue;
  if (Atomics.exchange(shared, ${TOLD}, 1) === 0) {
    try { writeSync(2, before + since + after); } catch {}
  }
  return;
}`;

/** Watches over pieces of a capture, one after the other. */
export class Watch implements Disposable {
  readonly #shared: Int32Array = new Int32Array(new SharedArrayBuffer(8));
  readonly #worker: Worker;

  /** @param hint - what can be done about it. */
  constructor(hint: string) {
    const seconds = PATIENCE_MS / 1000;
    const workerData = {
      shared: this.#shared,
      patienceMs: PATIENCE_MS,
      before: "nslink: note: the packets from ",
      after: ` on have taken more than ${seconds} s so far; ${hint}\n`,
    };
    this.#worker = new Worker(`(() => {${WATCHER}})();`, { eval: true, workerData });
    // Whoever can't be watched is dissected all the same.
    this.#worker.on("error", () => {});
    this.#worker.unref();
  }

  /** Programs begin to run. @param packet - the number of the first. */
  begin(packet: number): void {
    this.#set(packet | 0 || 1);
  }

  /** They are done. */
  end(): void {
    this.#set(0);
  }

  [Symbol.dispose](): void {
    void this.#worker.terminate();
  }

  #set(since: number): void {
    Atomics.store(this.#shared, SINCE, since);
    Atomics.notify(this.#shared, SINCE);
  }
}
