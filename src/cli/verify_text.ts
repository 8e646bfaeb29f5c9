/**
 * What people read of a verdict.
 */

import { PROG_TYPE_NAMES } from "../abi/bpf.ts";
import { type BpfError, VerifierError } from "../errors.ts";
import type { Statistics } from "../verdict/index.ts";
import type { Output } from "./output.ts";
import { remedyCommand } from "./remedies.ts";
import { counted, grouped, printable } from "./text.ts";
import type { ProgramVerdict, Verdict } from "./verify.ts";

/** The lines of one program, each with its end. */
export function verdictLines(
  output: Output,
  { spec, verdicts, differences }: ProgramVerdict,
): string {
  const type = (PROG_TYPE_NAMES[spec.type] ?? `${spec.type}`).replace("BPF_PROG_TYPE_", "");
  const isAlone = verdicts.length === 1;
  const lines = [`${spec.name} (${type.toLowerCase()})`];
  // A log may have more lines than a call may have arguments.
  const addIndented = (texts: readonly string[]): void => {
    for (const text of texts) lines.push(`    ${text}`);
  };
  for (const verdict of verdicts) {
    const isRepeated =
      verdict !== verdicts[0] &&
      differences.length === 0 &&
      !verdicts.some((each) => each.isBarred);
    lines.push(`  ${headline(verdict, isAlone)}`);
    if (verdict.refusal !== null && !isRepeated) addIndented(details(verdict.refusal));
    if (verdict.log !== "") addIndented(verdict.log.trimEnd().split("\n"));
  }
  if (differences.length > 0) lines.push(`  the kernels differ in: ${differences.join(", ")}`);
  return lines.map((line) => `${paintMark(output, printable(line))}\n`).join("");
}

function paintMark(output: Output, line: string): string {
  return line.replace(/^ {2}(?:\w+ +)?([✓✗])/, (start, mark: string) =>
    start.replace(mark, output.paint(mark === "✓" ? "green" : "red", mark)),
  );
}

/** The width of the longest name of a kernel. */
const NAME_WIDTH = 8;

function headline({ kernel, isBarred, refusal, statistics }: Verdict, isAlone: boolean): string {
  const name = isAlone ? "" : `${kernel.padEnd(NAME_WIDTH)} `;
  const figures = statistics === null ? "" : `; ${figuresOf(statistics)}`;
  if (refusal === null) return `${name}✓ accepted${figures}`;
  if (isBarred) return `${name}- not verified: ${refusal.code}: ${refusal.hint}`;
  // What is no verdict says itself what was refused.
  if (!(refusal instanceof VerifierError)) return `${name}✗ ${refusal.message}`;
  const why = refusal.cause === null ? "" : `: ${refusal.cause.sentence}`;
  return `${name}✗ refused, ${refusal.code}${why}${figures}`;
}

function figuresOf(statistics: Statistics): string {
  const { processed, totalStates, peakStates, timeUs } = statistics;
  const time = timeUs === null ? "" : `, ${grouped(timeUs)} µs`;
  const states = `${counted(totalStates, "state")} (peak ${grouped(peakStates)})`;
  return `${counted(processed, "instruction")} walked, ${states}${time}`;
}

function details(refusal: BpfError): string[] {
  if (!(refusal instanceof VerifierError)) {
    return refusal.remedies
      .map((remedy) => remedyCommand(remedy))
      .flatMap((command) => (command === null ? [] : [`try          ${command}`]));
  }
  const { line, instruction, registers, words, cause } = refusal;
  return [
    ...(line === null ? [] : [`source       ${line.file}:${line.line}  ${line.text}`]),
    ...(instruction === null ? [] : [`instruction  ${instruction.slot}: ${instruction.text}`]),
    ...Object.entries(registers).map(([name, contents]) => `${name.padEnd(12)} ${contents}`),
    ...words.split("\n").map((text, i) => `${i === 0 ? "verifier    " : "            "} ${text}`),
    ...(cause === null ? [] : [`mend         ${cause.mend}`]),
  ];
}
