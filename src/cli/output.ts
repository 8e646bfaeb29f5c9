/**
 * Where a command writes: text for people, JSON for programs, colours for terminals.
 */

import { type Column, jsonText, oneLine, printable, table } from "./text.ts";

/** Where text goes: a stream of Node's, or as much of one as is needed. */
export interface Sink {
  readonly isTTY?: boolean | undefined;
  /** Width of a terminal, in characters. */
  readonly columns?: number | undefined;
  /** @returns false when the reader is slow, and `drain` will say that it has caught up. */
  write(text: string): boolean;
  once(event: "drain", listener: () => void): unknown;
}

/** Select Graphic Rendition of ECMA-48. */
const COLOURS = { bold: 1, red: 31, green: 32, yellow: 33, dim: 2 } as const;

/** How many of the latest changes are told when standard output fails. */
const MAX_CHANGES = 16;

/** A colour of text, or its weight. */
export type Colour = keyof typeof COLOURS;

/** Standard output and standard error, or what stands for them. */
export class Output {
  readonly #out: Sink;
  readonly #errors: Sink;
  readonly #isColoured: boolean;
  #changes: readonly string[] = [];

  /** @param environment - NO_COLOR (no-color.org) and TERM=dumb switch colours off. */
  constructor(
    out: Sink = process.stdout,
    errors: Sink = process.stderr,
    environment: NodeJS.ProcessEnv = process.env,
  ) {
    this.#out = out;
    this.#errors = errors;
    const { NO_COLOR: noColour = "", TERM: terminal } = environment;
    this.#isColoured = out.isTTY === true && noColour === "" && terminal !== "dumb";
  }

  /** Waits while the reader is slow, so that output never piles up in memory. */
  async write(text: string): Promise<void> {
    if (text === "" || this.#out.write(text)) return;
    await new Promise<void>((resolve) => this.#out.once("drain", resolve));
  }

  /** Lines for people; control characters in them, line ends too, are made harmless. */
  async lines(lines: readonly string[]): Promise<void> {
    await this.write(lines.map((line) => `${oneLine(line)}\n`).join(""));
  }

  /** A table, as wide as the terminal at most. */
  async table(columns: readonly Column[], rows: readonly (readonly string[])[]): Promise<void> {
    const width = this.#out.isTTY === true ? this.#out.columns : undefined;
    await this.write(table(columns, rows, width || undefined));
  }

  /** Notes what has been changed for good, for {@link complainOfOutput}. */
  changed(text: string): void {
    this.#changes = [...this.#changes, text].slice(-MAX_CHANGES);
  }

  /** Says that standard output can't be written, and what is done all the same. */
  complainOfOutput(reason: string): void {
    this.complain(`cannot write standard output: ${reason}`);
    for (const change of this.#changes) this.complain(`but this is done: ${oneLine(change)}`);
  }

  /** One value, over as many lines as it needs. */
  async json(value: unknown): Promise<void> {
    await this.write(`${jsonText(value)}\n`);
  }

  /** A line on standard error. */
  complain(text: string): void {
    this.#errors.write(`nslink: ${printable(text)}\n`);
  }

  /** Colours text, where there is somebody to see it. */
  paint(colour: Colour, text: string): string {
    return this.#isColoured ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text;
  }
}
