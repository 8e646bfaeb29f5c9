/**
 * `nslink disasm`: instructions, each below the source line that it comes from.
 */

import { decodeInstructions, listing } from "../asm/index.ts";
import type { ProgramSpec, SourceLine } from "../elf/index.ts";
import { choosePrograms, readObject } from "./files.ts";
import type { Session } from "./session.ts";
import { jsonText, printable } from "./text.ts";

/** One instruction of a listing. */
export interface Line {
  /** Where it stands, in slots of 8 bytes. */
  readonly slot: number;
  /** Its bytes, in hexadecimal digits. */
  readonly bytes: string;
  readonly text: string;
  /** The function that starts here. */
  readonly subprogram?: string;
  /** The map whose fd or address the loader puts in. */
  readonly map?: string;
  /** The source line that starts here, when it is known. */
  readonly source?: SourceLine;
}

/** Prints the instructions of one program, or of all. */
export async function disasm(
  { output }: Session,
  path: string,
  options: { readonly program?: string; readonly json?: boolean; readonly wasm?: boolean },
): Promise<void> {
  const object = await readObject(path);
  const programs = choosePrograms(object, path, options.program);
  let [asObjects, texts] = [() => programs.map(asJson), () => programs.map(asText)];
  if (options.wasm === true) {
    const { translate, translatedAsJson, translatedAsText } = await import("./disasm_wasm.ts");
    const translated = translate(object, programs);
    asObjects = () => translated.map(translatedAsJson);
    texts = () => translated.map(translatedAsText);
  }
  const text =
    options.json === true
      ? `${jsonText(asObjects())}\n`
      : printable(texts().join("\n") || "no programs\n");
  await output.write(text);
}

function asJson(program: ProgramSpec): object {
  return { program: program.name, section: program.section, instructions: linesOf(program) };
}

function asText(program: ProgramSpec): string {
  const lines = linesOf(program);
  const width = `${lines.at(-1)?.slot ?? 0}`.length;
  return lines
    .flatMap((line) => [
      ...(line.subprogram === undefined ? [] : [`${line.subprogram}:`]),
      ...instructionText(line, width),
    ])
    .join("\n")
    .concat("\n");
}

/** An instruction, below its source line. @param width - of the largest slot, in digits. */
export function instructionText(line: Line, width: number): string[] {
  const { slot, bytes, text, map, source } = line;
  return [
    ...(source === undefined ? [] : [`; ${sourceText(source)}`]),
    `${`${slot}`.padStart(width + 2)}: ${bytes.slice(0, 16)}  ${text}${commentOf(map)}`,
  ];
}

/** The instructions of a program, and what is known of each. */
export function linesOf(program: ProgramSpec): Line[] {
  const functions = new Map(program.subprograms.map(({ slot, name }) => [slot, name]));
  const maps = new Map(program.references.map(({ slot, map }) => [slot, map]));
  const sources = sourcesBySlot(program.lines);
  return listing(decodeInstructions(program.instructions)).map(({ slot, slots, text }) => {
    const subprogram = functions.get(slot);
    const map = maps.get(slot);
    const source = sources.get(slot);
    return {
      slot,
      bytes: Buffer.from(program.instructions.subarray(slot * 8, (slot + slots) * 8)).toString(
        "hex",
      ),
      text,
      ...(subprogram !== undefined && { subprogram }),
      ...(map !== undefined && { map }),
      ...(source !== undefined && { source }),
    };
  });
}

/** The line and its place; the place alone when the compiler couldn't see the line. */
function sourceText({ text, file, line }: SourceLine): string {
  const place = `@ ${file}:${line}`;
  return text.trim() === "" ? place : `${text.trim()} ${place}`;
}

function commentOf(map: string | undefined): string {
  return map === undefined ? "" : `  # ${map}`;
}

/** A line is named once, however many records in a row come from it. */
function sourcesBySlot(lines: readonly SourceLine[]): Map<number, SourceLine> {
  const bySlot = new Map<number, SourceLine>();
  let previous: SourceLine | undefined;
  for (const line of lines) {
    if (line.line !== previous?.line || line.file !== previous.file) bySlot.set(line.slot, line);
    previous = line;
  }
  return bySlot;
}
