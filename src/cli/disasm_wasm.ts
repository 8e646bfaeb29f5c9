/**
 * `nslink disasm --wasm`: what the JIT makes of a program, beside its instructions and source.
 */

import { Collection } from "../collection.ts";
import type { ObjectSpec, ProgramSpec } from "../elf/index.ts";
import {
  type CompiledListing,
  EmbeddedKernel,
  type ProgramListing,
  type WasmInstruction,
} from "../kernel/index.ts";
import { instructionText, type Line, linesOf } from "./disasm.ts";
import { grouped } from "./text.ts";

/** A program, and its code. */
export interface Translated {
  readonly program: ProgramSpec;
  readonly listing: ProgramListing;
}

/** Loads programs into an embedded kernel, and has them compiled. */
export function translate(object: ObjectSpec, programs: readonly ProgramSpec[]): Translated[] {
  using kernel = EmbeddedKernel.boot();
  using collection = Collection.load(kernel, object, {
    programs: programs.map(({ name }) => name),
  });
  return programs.map((program) => {
    const listing = kernel.listProgram(collection.program(program.name).fd);
    if (typeof listing !== "number") return { program, listing };
    throw new TypeError(`program ${program.name} is not loaded: ${listing}`);
  });
}

export function translatedAsJson({ program, listing }: Translated): object {
  const { name, section } = program;
  if ("refused" in listing) return { program: name, section, refused: listing.refused };
  const lines = linesOf(program);
  const functions = listing.functions.map((each) => {
    const slots = new Map(each.marks.map(({ offset, slot }) => [offset, slot]));
    return {
      index: each.index,
      name: nameOf(each, lines),
      type: each.type,
      locals: each.locals,
      flow: each.flow,
      code: each.instructions.map((instruction) => {
        const slot = slots.get(instruction.offset);
        const { offset, text } = instruction;
        const bytes = bytesOf(listing.bytes, instruction);
        return { offset, bytes, text, ...(slot !== undefined && { slot }) };
      }),
    };
  });
  return { program: name, section, instructions: lines, functions };
}

export function translatedAsText({ program, listing }: Translated): string {
  if ("refused" in listing) return `${program.name}: not compiled: ${listing.refused}\n`;
  const { bytes, functions } = listing;
  const lines = linesOf(program);
  const size = `${grouped(bytes.length)} bytes of WebAssembly`;
  return [`${program.name}: ${size}`, ...functions.flatMap((each) => textOf(each, bytes, lines))]
    .join("\n")
    .concat("\n");
}

function textOf(compiled: CompiledListing, bytes: Uint8Array, lines: readonly Line[]): string[] {
  const { type, locals, flow, instructions, marks } = compiled;
  const bySlot = new Map(lines.map((line) => [line.slot, line]));
  const width = `${lines.at(-1)?.slot ?? 0}`.length;
  const facts = [type, flow ?? "", locals === "" ? "" : `(local ${locals})`];
  const out = ["", `${nameOf(compiled, lines)}: ${facts.filter((fact) => fact !== "").join(" ")}`];
  let next = 0;
  for (const instruction of instructions) {
    // Several may begin here: those that left no code of their own.
    for (let mark = marks[next]; mark !== undefined && mark.offset <= instruction.offset; ) {
      const line = bySlot.get(mark.slot);
      if (line !== undefined) for (const text of instructionText(line, width)) out.push(text);
      mark = marks[++next];
    }
    const place = instruction.offset.toString(16).padStart(width + 8);
    const code = bytesOf(bytes, instruction).padEnd(BYTES_COLUMNS);
    out.push(`${place}: ${code}  ${"  ".repeat(instruction.depth)}${instruction.text}`);
  }
  return out;
}

/** Most instructions are no longer. */
const BYTES_COLUMNS = 10;

function bytesOf(bytes: Uint8Array, { offset, size }: WasmInstruction): string {
  return Buffer.from(bytes.subarray(offset, offset + size)).toString("hex");
}

/** The function's own name, or what the JIT calls it. */
function nameOf({ slot, name, index }: CompiledListing, lines: readonly Line[]): string {
  const own = lines.find((line) => line.slot === slot)?.subprogram;
  return own ?? name ?? `function ${index}`;
}
