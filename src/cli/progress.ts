/**
 * A progress bar at the foot of a terminal, gone when the work is done.
 */

/** Shorter work shows no bar. */
const DELAY_MS = 300;
const INTERVAL_MS = 100;
const WIDTH = 30;

/** Draws on standard error, and only when that is a terminal. */
export class Progress {
  readonly #total: number | null;
  readonly #start: number = performance.now();
  #last: number = 0;
  #shown: boolean = false;

  /** @param total - how much there is to do; null when that can't be known. */
  constructor(total: number | null) {
    this.#total = total;
  }

  /** Shows how much is done, at most ten times a second. */
  update(done: number, note: string): void {
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#start < DELAY_MS) return;
    if (now - this.#last < INTERVAL_MS) return;
    this.#last = now;
    this.#shown = true;
    process.stderr.write(`\r\x1b[K${this.#bar(done)}${note}`);
  }

  /** Takes the bar away, so that other lines can be written. */
  clear(): void {
    if (!this.#shown) return;
    this.#shown = false;
    this.#last = 0;
    process.stderr.write("\r\x1b[K");
  }

  #bar(done: number): string {
    if (this.#total === null || this.#total === 0) return "";
    const share = Math.min(done / this.#total, 1);
    const filled = Math.round(share * WIDTH);
    const percent = `${Math.floor(share * 100)}`.padStart(3);
    return `[${"#".repeat(filled)}${" ".repeat(WIDTH - filled)}] ${percent} % `;
  }
}
