/**
 * Whole logs of two verifiers, held against each other: how many are the same, how many end the
 * same, and where the others begin to differ.
 */

/** One program's log on each kernel. */
export interface LogPair {
  readonly name: string;
  readonly level: number;
  readonly here: string;
  readonly there: string;
}

/** What came of a comparison. */
export interface LogCounts {
  compared: number;
  /** To the last byte, but for times. */
  identical: number;
  /** The last line before the figures is the same. */
  sameLast: number;
  /** Of programs that Linux refuses: those, and those whose last line is the same. */
  refused: number;
  refusedSameLast: number;
  /** How the first differing lines differ, with one program that shows it. */
  readonly kinds: Map<string, { count: number; readonly example: string }>;
}

export function noLogs(): LogCounts {
  const counts = { compared: 0, identical: 0, sameLast: 0, refused: 0, refusedSameLast: 0 };
  return { ...counts, kinds: new Map() };
}

/** The lines but for what is never twice the same: times. */
export function comparableLines(log: string): string[] {
  return log
    .replace(/^verification time \d+ usec$/m, "verification time")
    .split("\n")
    .map((line) => line.trimEnd());
}

/** The last line before the figures: why the program is refused, if it is. */
export function lastWords(log: string): string {
  const lines = comparableLines(log).filter(
    (line) => line !== "" && !/^(processed \d|verification time|stack depth)/.test(line),
  );
  return lines.at(-1) ?? "";
}

/** An address of Linux's that a load of a map stands for. */
const ADDRESS = /\(18\) (r\d) = 0xffff[0-9a-f]{12} */;
const ANY_ADDRESS = /\(18\) (r\d) = 0x[0-9a-f]+ */;

function isSameLine(here: string | undefined, there: string | undefined): boolean {
  if (here === there) return true;
  if (here === undefined || there === undefined || !ADDRESS.test(there)) return false;
  return here.replace(ANY_ADDRESS, "") === there.replace(ANY_ADDRESS, "");
}

/** Index of the first line that differs in more than an address; -1: none. */
export function firstDifference(here: readonly string[], there: readonly string[]): number {
  const length = Math.max(here.length, there.length);
  for (let at = 0; at < length; at++) if (!isSameLine(here[at], there[at])) return at;
  return -1;
}

/** A line without its numbers, for counting lines of a kind. */
function shape(line: string | undefined): string {
  if (line === undefined) return "(end)";
  return line
    .replace(/0x[0-9a-f]+/g, "N")
    .replace(/-?\d+/g, "N")
    .slice(0, 120);
}

/** Counts one pair. */
export function addPair(counts: LogCounts, { name, level, here, there }: LogPair): void {
  const [ours, theirs] = [comparableLines(here), comparableLines(there)];
  counts.compared++;
  const isSame = lastWords(here) === lastWords(there);
  if (isSame) counts.sameLast++;
  const at = firstDifference(ours, theirs);
  if (at < 0) {
    counts.identical++;
    return;
  }
  const kind = `${shape(ours[at])}  <>  ${shape(theirs[at])}`;
  const known = counts.kinds.get(kind);
  if (known !== undefined) known.count++;
  else {
    const before = ours.slice(Math.max(0, at - 2), at).map((line) => `    ${line}`);
    const example = [
      `  ${name}, level ${level}, line ${at + 1}`,
      ...before,
      `  - ${ours.slice(at, at + 2).join("\n  - ")}`,
      `  + ${theirs.slice(at, at + 2).join("\n  + ")}`,
    ].join("\n");
    counts.kinds.set(kind, { count: 1, example });
  }
}

/** Two lines of figures and the commonest differences. */
export function describeLogs(title: string, counts: LogCounts, shown: number): string {
  const { compared, identical, sameLast } = counts;
  const percent = (part: number): string => ((100 * part) / Math.max(1, compared)).toFixed(1);
  const kinds = [...counts.kinds.entries()].sort(([, a], [, b]) => b.count - a.count);
  return [
    `${title}: ${compared} logs, ${identical} identical (${percent(identical)} %), ` +
      `${sameLast} with the same last line (${percent(sameLast)} %)`,
    ...kinds.slice(0, shown).map(([kind, { count, example }]) => `${count} x ${kind}\n${example}`),
  ].join("\n");
}
