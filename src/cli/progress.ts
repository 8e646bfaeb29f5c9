/**
 * A progress bar at the foot of a terminal, gone when the work is done.
 */

/** Shorter work shows no bar. */
const DELAY_MS = 300;
const INTERVAL_MS = 100;
const WIDTH = 30;
/** Back to the start of the line, and clear it (ECMA-48 EL). */
const CLEAR_LINE = "\r\x1b[K";

/** Where the bar is drawn. */
export interface Terminal {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Draws on standard error, and only when that is a terminal. */
export class Progress {
  readonly #total: number | null;
  readonly #terminal: Terminal;
  readonly #nowMs: () => number;
  readonly #start: number;
  #last: number = Number.NEGATIVE_INFINITY;
  #shown: boolean = false;

  /** @param total - how much there is to do; null when that can't be known. */
  constructor(
    total: number | null,
    terminal: Terminal = process.stderr,
    nowMs: () => number = () => performance.now(),
  ) {
    this.#total = total;
    this.#terminal = terminal;
    this.#nowMs = nowMs;
    this.#start = nowMs();
  }

  /** Shows how much is done, at most ten times a second. */
  update(done: number, note: string): void {
    if (this.#terminal.isTTY !== true) return;
    const now = this.#nowMs();
    if (now - this.#start < DELAY_MS || now - this.#last < INTERVAL_MS) return;
    this.#last = now;
    this.#shown = true;
    this.#terminal.write(`${CLEAR_LINE}${this.#bar(done)}${note}`);
  }

  /** Takes the bar away, so that other lines can be written. */
  clear(): void {
    if (!this.#shown) return;
    this.#shown = false;
    this.#last = Number.NEGATIVE_INFINITY;
    this.#terminal.write(CLEAR_LINE);
  }

  #bar(done: number): string {
    if (this.#total === null || this.#total === 0) return "";
    const share = Math.min(done / this.#total, 1);
    const filled = Math.round(share * WIDTH);
    const percent = `${Math.floor(share * 100)}`.padStart(3);
    return `[${"#".repeat(filled)}${" ".repeat(WIDTH - filled)}] ${percent} % `;
  }
}
