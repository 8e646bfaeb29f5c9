/**
 * Statements that go elsewhere: jumps and calls.
 */
import {
  BPF_CALL,
  BPF_JMP,
  BPF_JMP32,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_KFUNC_CALL,
} from "../abi/insn.ts";
import type { Instruction } from "./instruction.ts";
import { COMPARISONS } from "./mnemonics.ts";
import { readInteger, readRegister, readS32 } from "./operands.ts";
import { withOperand } from "./parse_register.ts";
import { one, type Statement, slot } from "./statement.ts";
import type { Cursor } from "./tokens.ts";

/** `if r1 s> r2 goto name`, after the `if`. */
export function conditional(cursor: Cursor): Statement {
  const left = readRegister(cursor);
  const operation = COMPARISONS.get(cursor.peek().text);
  if (operation === undefined) throw cursor.unexpected("a comparison such as `==` or `s<`");
  cursor.next();
  const opcode = (left.wide ? BPF_JMP : BPF_JMP32) | operation;
  const insn = withOperand(cursor, opcode, left, 0);
  cursor.expect("goto");
  return jump(cursor, insn, "off");
}

/** The target of a jump: a distance with its sign, or a label. */
export function jump(cursor: Cursor, insn: Instruction, field: "off" | "imm"): Statement {
  const token = cursor.peek();
  if (token.kind === "word") {
    cursor.next();
    return { insns: [insn], reference: { kind: field, token } };
  }
  if (token.text !== "+" && token.text !== "-") {
    throw cursor.unexpected("a target: a label, or slots such as +3 or -7");
  }
  const distance =
    field === "off"
      ? readInteger(cursor, -0x8000, 0x7fff, "jump distance")
      : readS32(cursor, "jump distance");
  return { insns: [{ ...insn, [field]: distance }] };
}

/** `call bpf_map_lookup_elem`, `call 1`, `call name`, `call +12`, `call kfunc[…]`. */
export function call(cursor: Cursor): Statement {
  const token = cursor.peek();
  const opcode = BPF_JMP | BPF_CALL;
  if (token.kind === "number") {
    return one(opcode, { imm: readInteger(cursor, 0, 0x7fff_ffff, "helper id") });
  }
  if (token.text === "+" || token.text === "-") {
    const imm = readS32(cursor, "call distance");
    return one(opcode, { src: BPF_PSEUDO_CALL, imm });
  }
  if (token.kind !== "word") {
    throw cursor.unexpected("a helper, a label, or slots such as +12");
  }
  cursor.next();
  if (token.text === "kfunc" && cursor.accept("[")) return kfunc(cursor);
  return { insns: [slot(opcode)], reference: { kind: "call", token } };
}

/** `kfunc[btf id]` or `kfunc[btf id][index of the module's BTF]`, after the first bracket. */
function kfunc(cursor: Cursor): Statement {
  const imm = readS32(cursor, "BTF id");
  cursor.expect("]");
  let off = 0;
  if (cursor.accept("[")) {
    off = readInteger(cursor, -0x8000, 0x7fff, "BTF index");
    cursor.expect("]");
  }
  return one(BPF_JMP | BPF_CALL, { src: BPF_PSEUDO_KFUNC_CALL, off, imm });
}
