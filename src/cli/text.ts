/**
 * Text for people: columns, numbers, marks.
 */

/** Alignment of a column. */
export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** At least so many characters, for columns whose later rows are not known yet. */
  readonly minWidth?: number;
}

/** A table whose rows are all known; columns are as wide as they need to be. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map(({ title, minWidth = 0 }, i) =>
    Math.max(title.length, minWidth, ...rows.map((row) => (row[i] ?? "").length)),
  );
  const header = columns.map(({ title }) => title);
  return [header, ...rows].map((row) => `${formatRow(columns, widths, row)}\n`).join("");
}

/** One row of a table whose widths are fixed. */
export function formatRow(
  columns: readonly Column[],
  widths: readonly number[],
  row: readonly string[],
): string {
  return columns
    .map(({ align }, i) => {
      const cell = row[i] ?? "";
      const width = widths[i] ?? 0;
      return align === "right" ? cell.padStart(width) : cell.padEnd(width);
    })
    .join("  ")
    .trimEnd();
}

/** 12345 as "12,345". */
export function grouped(value: number | bigint): string {
  return value.toLocaleString("en-US");
}

/** "1 packet", "2 packets". */
export function counted(value: number, noun: string): string {
  return `${grouped(value)} ${noun}${value === 1 ? "" : "s"}`;
}
