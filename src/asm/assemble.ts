/**
 * Assembly text to program bytes: lines, labels and the distances between them.
 */
import { helperId } from "../abi/helpers.ts";
import { BPF_PSEUDO_CALL } from "../abi/insn.ts";
import { encodeInstructions, type Instruction } from "./instruction.ts";
import { parseStatement } from "./parse.ts";
import type { Reference } from "./statement.ts";
import { AssemblerError, type Constants, Cursor } from "./tokens.ts";

/** How to assemble. */
export interface AssembleOptions {
  /**
   * Names that may be written where an integer may, such as the fd of a map:
   * `r1 = map_fd[flows]`. Registers and the words of the language can't be renamed.
   */
  readonly constants?: Constants;
}

/** A label reference with the places it was found in and will be written to. */
interface PendingReference extends Reference {
  readonly slot: number;
  readonly line: number;
}

interface Label {
  readonly slot: number;
  readonly line: number;
}

/**
 * Assembles a program from the syntax that `disassemble` prints.
 *
 * One statement a line. A label is `name:`, alone or before a statement, and may be used before or
 * after it: `goto name`, `if r1 == 0 goto name`, `gotol name`, `may_goto name`, `call name`,
 * `r2 = func[name]`. Comments start with `;`, `#` or `//`. Integers are decimal or 0x…. Helpers go
 * by name or number: `call bpf_map_lookup_elem`, `call 1`.
 *
 *     assemble(`
 *       r0 = 0
 *     again:
 *       r0 += 1
 *       if r0 < 10 goto again
 *       exit
 *     `);
 *
 * @returns little-endian slots of 8 bytes. Nothing is verified: a program may jump out of itself.
 * @throws {AssemblerError} with the place of the first mistake.
 */
export function assemble(text: string, options: AssembleOptions = {}): Uint8Array {
  const insns: Instruction[] = [];
  const labels = new Map<string, Label>();
  const references: PendingReference[] = [];
  text.split("\n").forEach((lineText, index) => {
    const line = index + 1;
    const cursor = new Cursor(lineText, line, options.constants);
    readLabels(cursor, insns.length, labels);
    if (cursor.peek().kind === "end") return;
    const statement = parseStatement(cursor);
    if (statement.reference) references.push({ ...statement.reference, slot: insns.length, line });
    for (const insn of statement.insns) insns.push(insn);
  });
  for (const reference of references) {
    const insn = insns[reference.slot];
    if (insn) insns[reference.slot] = resolve(insn, reference, labels);
  }
  return encodeInstructions(insns);
}

function readLabels(cursor: Cursor, slot: number, labels: Map<string, Label>): void {
  while (cursor.peek().kind === "word" && cursor.peek(1).text === ":") {
    const { text: name } = cursor.peek();
    const earlier = labels.get(name);
    if (earlier) throw cursor.error(`label \`${name}\` is defined in line ${earlier.line} already`);
    labels.set(name, { slot, line: cursor.line });
    cursor.next();
    cursor.next();
  }
}

function resolve(
  insn: Instruction,
  { kind, token, slot, line }: PendingReference,
  labels: ReadonlyMap<string, Label>,
): Instruction {
  const label = labels.get(token.text);
  const helper = kind === "call" ? helperId(token.text) : undefined;
  if (label === undefined && helper !== undefined) return { ...insn, imm: helper };
  if (label === undefined) {
    const reason = kind === "call" ? "is neither a label nor a helper" : "is no label";
    throw new AssemblerError(line, token.column, `\`${token.text}\` ${reason}`);
  }
  const distance = label.slot - slot - 1;
  if (kind === "imm") return { ...insn, imm: distance };
  if (kind === "call") return { ...insn, src: BPF_PSEUDO_CALL, imm: distance };
  if (distance < -0x8000 || distance > 0x7fff) {
    const reason = `\`${token.text}\` is ${distance} slots away, too far for a 16-bit offset`;
    throw new AssemblerError(line, token.column, `${reason}: use gotol`);
  }
  return { ...insn, off: distance };
}
