/**
 * Text for people: columns, numbers, marks.
 */

/** Alignment of a column. */
export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** Colours a cell; its width stays. */
  readonly paint?: (cell: string) => string;
}

/** A table whose rows are all known; columns are as wide as they need to be. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map(({ title }, i) =>
    rows.reduce((width, row) => Math.max(width, cellText(row[i]).length), title.length),
  );
  const header = columns.map(({ title }) => title);
  const titles = columns.map(({ align = "left" }): Column => ({ title: "", align }));
  return [
    `${formatRow(titles, widths, header)}\n`,
    ...rows.map((row) => `${formatRow(columns, widths, row)}\n`),
  ].join("");
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
  if (!/\p{Cc}/u.test(cell)) return cell;
  return printable(cell).replaceAll("\n", "\\n").replaceAll("\t", "\\t");
}

/**
 * Text from a file, fit for a terminal: names in an object may hold what a terminal would obey.
 * Line ends and tabs stay, other control characters become \xNN.
 */
export function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n\t]/gu, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** 12345 as "12,345". */
export function grouped(value: number): string {
  return `${value}`.replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

/** "1 packet", "2 packets". */
export function counted(value: number, noun: string): string {
  return `${grouped(value)} ${noun}${value === 1 ? "" : "s"}`;
}
