/**
 * Text for people: columns, numbers, marks.
 */

/** Alignment of a column. */
export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** Whether its cells may go on in the next line, where a line is too short for all columns. */
  readonly folds?: boolean;
  /** Colours a cell; its width stays. */
  readonly paint?: (cell: string) => string;
}

/**
 * A table whose rows are all known; columns are as wide as they need to be.
 *
 * @param maxWidth - of a line, in characters. Where that is too little, the widest columns that
 *   fold are made narrower.
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  maxWidth: number = Number.POSITIVE_INFINITY,
): string {
  const widths = columns.map(({ title }, i) =>
    rows.reduce((width, row) => Math.max(width, cellText(row[i]).length), title.length),
  );
  narrow(columns, widths, maxWidth);
  const header = columns.map(({ title }) => title);
  const titles = columns.map(({ align = "left" }): Column => ({ title: "", align }));
  const lines = rows.flatMap((row) =>
    foldRow(row, widths).map((line) => formatRow(columns, widths, line)),
  );
  const heads = foldRow(header, widths).map((line) => formatRow(titles, widths, line));
  return [...heads, ...lines].map((line) => `${line}\n`).join("");
}

/** Blanks between two columns. */
const GAP = 2;
/** No column is made narrower than this. */
const MIN_WIDTH = 9;

/** Takes characters from the widest columns that fold, one at a time. */
function narrow(columns: readonly Column[], widths: number[], maxWidth: number): void {
  const foldable = columns.flatMap(({ folds }, i) => (folds === true ? [i] : []));
  let excess = widths.reduce((sum, width) => sum + width + GAP, -GAP) - maxWidth;
  for (; excess > 0; excess--) {
    const most = Math.max(0, ...foldable.map((i) => widths[i] ?? 0));
    if (most <= MIN_WIDTH) return;
    const at = foldable.findLast((i) => widths[i] === most) ?? 0;
    widths[at] = most - 1;
  }
}

/** A row as the rows of text that it takes. */
function foldRow(row: readonly string[], widths: readonly number[]): string[][] {
  const cells = widths.map((width, i) => foldCell(cellText(row[i]), width));
  const height = Math.max(...cells.map(({ length }) => length));
  return Array.from({ length: height }, (_, line) => cells.map((cell) => cell[line] ?? ""));
}

/** Broken behind a blank or a slash, if there is one in the second half of the line. */
function foldCell(text: string, width: number): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > width) {
    const most = rest.slice(0, width);
    const end = Math.max(most.lastIndexOf(" "), most.lastIndexOf("/")) + 1;
    const line = end > width / 2 ? most.slice(0, end) : most;
    lines.push(line.trimEnd());
    rest = rest.slice(line.length);
  }
  return [...lines, rest];
}

/** One row of a table whose widths are fixed. */
export function formatRow(
  columns: readonly Column[],
  widths: readonly number[],
  row: readonly string[],
): string {
  return columns
    .map(({ align, paint = (cell) => cell }, i) => {
      const cell = cellText(row[i]);
      const padding = " ".repeat(Math.max((widths[i] ?? 0) - cell.length, 0));
      return align === "right" ? padding + paint(cell) : paint(cell) + padding;
    })
    .join("  ")
    .trimEnd();
}

/** Names that somebody else gave may hold anything, even the end of a line. */
function cellText(cell: string = ""): string {
  return CONTROLS.test(cell) ? oneLine(cell) : cell;
}

/** What a terminal may obey or not show: controls, format characters, lines, lone surrogates. */
const CONTROLS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
const ALL_CONTROLS = new RegExp(CONTROLS, "gu");

/** {@link printable} text on one line: line ends and tabs are written as \n and \t. */
export function oneLine(text: string): string {
  return printable(text).replaceAll("\n", "\\n").replaceAll("\t", "\\t");
}

/**
 * Text from a file, fit for a terminal: names in an object may hold what a terminal would obey.
 * Line ends and tabs stay, other control characters become \xNN, as do bytes that are no UTF-8;
 * characters that change how others are shown become \u{NNNN}.
 */
export function printable(text: string): string {
  return text.replaceAll(ALL_CONTROLS, (character) => {
    if (character === "\n" || character === "\t") return character;
    const code = character.codePointAt(0) ?? 0;
    if (code >= FIRST_BYTE && code <= LAST_BYTE) return `\\x${(code & 0xff).toString(16)}`;
    const digits = code.toString(16);
    return code > 0xff ? `\\u{${digits}}` : `\\x${digits.padStart(2, "0")}`;
  });
}

/** Bytes of names that are no UTF-8: see abi/names.ts. */
const FIRST_BYTE = 0xdc80;
const LAST_BYTE = 0xdcff;

/** A value as JSON over several lines, in which a terminal finds nothing to obey either. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll(JSON_LEAVES, (character) =>
    Array.from({ length: character.length }, (_, i) => {
      return `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`;
    }).join(""),
  );
}

/** What JSON may have as it is in a string: line ends are only between its tokens. */
const JSON_LEAVES = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu;

/** 12345 as "12,345". */
export function grouped(value: number): string {
  return `${value}`.replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

/** "1 packet", "2 packets". */
export function counted(value: number, noun: string): string {
  return `${grouped(value)} ${noun}${value === 1 ? "" : "s"}`;
}
