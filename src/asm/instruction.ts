/**
 * One BPF instruction slot as a plain object, and the way between slots and bytes (little-endian).
 */
import {
  BPF_CALL,
  BPF_CLASS,
  BPF_EXIT,
  BPF_INSN_SIZE,
  BPF_JA,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD_IMM64,
  BPF_OP,
} from "../abi/insn.ts";

/**
 * One 8-byte slot of a program: Linux's `struct bpf_insn`.
 *
 * A program is an array of these, and its index is the slot number that jumps count in. The load
 * of a 64-bit immediate takes two slots, and so two elements: the second has opcode 0 (which is no
 * instruction by itself) and carries the upper half in `imm`.
 */
export interface Instruction {
  /** Class, size, mode and operation; u8. */
  readonly opcode: number;
  /** Destination register field, 0-15; only 0-10 are registers. */
  readonly dst: number;
  /** Source register field, 0-15; for some opcodes a kind (`BPF_PSEUDO_…`) instead. */
  readonly src: number;
  /** Offset of a memory access in bytes, or of a jump in slots; s16. */
  readonly off: number;
  /** Immediate; s32. */
  readonly imm: number;
}

/**
 * Reads every slot of a program, whatever it contains; nothing is checked but the length.
 *
 * @param bytes - little-endian slots of 8 bytes.
 * @returns one element a slot, in order.
 * @throws {RangeError} if the length is no multiple of 8.
 */
export function decodeInstructions(bytes: Uint8Array): Instruction[] {
  if (bytes.length % BPF_INSN_SIZE !== 0) {
    throw new RangeError(`bytes: ${bytes.length} bytes are no whole number of 8-byte slots`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const insns = new Array<Instruction>(bytes.length / BPF_INSN_SIZE);
  for (let slot = 0; slot < insns.length; slot++) {
    const at = slot * BPF_INSN_SIZE;
    const registers = view.getUint8(at + 1);
    insns[slot] = {
      opcode: view.getUint8(at),
      dst: registers & 0x0f,
      src: registers >> 4,
      off: view.getInt16(at + 2, true),
      imm: view.getInt32(at + 4, true),
    };
  }
  return insns;
}

/**
 * Writes slots as bytes: the inverse of {@link decodeInstructions}.
 *
 * @throws {RangeError} naming the slot and the field, if a value does not fit its field.
 */
export function encodeInstructions(insns: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(insns.length * BPF_INSN_SIZE);
  const view = new DataView(bytes.buffer);
  insns.forEach((insn, slot) => {
    const at = slot * BPF_INSN_SIZE;
    checkField(slot, "opcode", insn.opcode, 0, 0xff);
    checkField(slot, "dst", insn.dst, 0, 0x0f);
    checkField(slot, "src", insn.src, 0, 0x0f);
    checkField(slot, "off", insn.off, -0x8000, 0x7fff);
    checkField(slot, "imm", insn.imm, -0x8000_0000, 0x7fff_ffff);
    view.setUint8(at, insn.opcode);
    view.setUint8(at + 1, (insn.src << 4) | insn.dst);
    view.setInt16(at + 2, insn.off, true);
    view.setInt32(at + 4, insn.imm, true);
  });
  return bytes;
}

function checkField(slot: number, field: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`insns[${slot}].${field}: ${value} is not in ${min}..${max}`);
  }
}

/** Whether a slot is the first of the two of a 64-bit immediate load. */
export function isLoadImm64(insn: Instruction): boolean {
  return insn.opcode === BPF_LD_IMM64;
}

/** The immediate of a 64-bit immediate load as a u64, from its two slots. */
export function loadImm64Value(first: Instruction, second: Instruction): bigint {
  return (BigInt(second.imm >>> 0) << 32n) | BigInt(first.imm >>> 0);
}

/** The two slots of a 64-bit immediate load; `value` may be given as u64 or as s64. */
export function loadImm64(dst: number, src: number, value: bigint): [Instruction, Instruction] {
  const low = Number(BigInt.asIntN(32, value));
  const high = Number(BigInt.asIntN(32, value >> 32n));
  return [
    { opcode: BPF_LD_IMM64, dst, src, off: 0, imm: low },
    { opcode: 0, dst: 0, src: 0, off: 0, imm: high },
  ];
}

/**
 * How far an instruction may jump, in slots counted from the next one: for `goto`, `gotol`,
 * `may_goto` and every conditional jump. Undefined for everything else, calls and exit included.
 *
 * The answer is about the opcode alone: other fields may still make the instruction invalid.
 */
export function jumpOffset(insn: Instruction): number | undefined {
  const { opcode } = insn;
  const jumpClass = BPF_CLASS(opcode);
  if (jumpClass !== BPF_JMP && jumpClass !== BPF_JMP32) return undefined;
  const operation = BPF_OP(opcode);
  if (operation === BPF_CALL || operation === BPF_EXIT) return undefined;
  return jumpClass === BPF_JMP32 && operation === BPF_JA ? insn.imm : insn.off;
}
