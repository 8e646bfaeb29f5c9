/**
 * What a statement of assembly text is parsed into.
 */
import type { Instruction } from "./instruction.ts";
import type { Token } from "./tokens.ts";

/** A place in an instruction that waits for the slot number of a label. */
export interface Reference {
  /** Which field of the instruction takes the distance; `call` may also name a helper. */
  readonly kind: "off" | "imm" | "call";
  readonly token: Token;
}

/** What one statement means. */
export interface Statement {
  readonly insns: readonly Instruction[];
  readonly reference?: Reference;
}

/** An instruction of which only the fields that are not zero are named. */
export function slot(
  opcode: number,
  fields: Partial<Omit<Instruction, "opcode">> = {},
): Instruction {
  return { opcode, dst: 0, src: 0, off: 0, imm: 0, ...fields };
}

/** A statement of one slot, built as by {@link slot}. */
export function one(opcode: number, fields?: Partial<Omit<Instruction, "opcode">>): Statement {
  return { insns: [slot(opcode, fields)] };
}
