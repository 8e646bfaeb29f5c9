/**
 * The body of one WebAssembly function, written instruction by instruction.
 */

import { Bytes } from "./bytes.ts";
import { ATOMIC_OP, ATOMIC_PREFIX, type AtomicOp, OP, type Op, VOID } from "./wasm.ts";

/** An instruction of two bytes, and the memory that it is about. */
const MEMORY_FILL = [0xfc, 0x0b, 0] as const;

/** Instructions, and the block nesting they have reached. */
export class Code {
  readonly #bytes: Bytes = new Bytes();
  #height: number = 0;

  /** What was written so far. */
  get bytes(): Bytes {
    return this.#bytes;
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** How many blocks are open: the label of the innermost is `height` - 1. */
  get height(): number {
    return this.#height;
  }

  /** Instructions without operands. */
  op(...names: readonly Op[]): void {
    for (const name of names) this.#bytes.byte(OP[name]);
  }

  get(local: number): void {
    this.#indexed("local.get", local);
  }

  set(local: number): void {
    this.#indexed("local.set", local);
  }

  tee(local: number): void {
    this.#indexed("local.tee", local);
  }

  i32(value: number): void {
    this.#bytes.byte(OP["i32.const"]);
    this.#bytes.s32(value);
  }

  /** A number of 32 bits, sign-extended to 64. */
  i64(value: number): void {
    this.i64Halves(value, value >> 31);
  }

  i64Halves(low: number, high: number): void {
    this.#bytes.byte(OP["i64.const"]);
    this.#bytes.s64(low, high);
  }

  /** A load or store. @param offset - added to the address without wrapping around; a u32. */
  access(name: Op, offset: number): void {
    this.#bytes.bytes(OP[name], 0);
    this.#bytes.u32(offset);
  }

  /**
   * An atomic access to shared memory, which traps where the address isn't a multiple of its size.
   *
   * @param size - of the access: 1, 2, 4 or 8 bytes.
   */
  atomic(name: AtomicOp, size: number, offset: number): void {
    this.#bytes.bytes(ATOMIC_PREFIX, ATOMIC_OP[name], Math.log2(size));
    this.#bytes.u32(offset);
  }

  /** memory.fill: takes an address, a byte and a size. */
  fill(): void {
    this.#bytes.bytes(...MEMORY_FILL);
  }

  call(index: number): void {
    this.#indexed("call", index);
  }

  callIndirect(type: number): void {
    this.#indexed("call_indirect", type);
    this.#bytes.byte(0);
  }

  returnCall(index: number): void {
    this.#indexed("return_call", index);
  }

  returnCallIndirect(type: number): void {
    this.#indexed("return_call_indirect", type);
    this.#bytes.byte(0);
  }

  /**
   * Opens a block, a loop or an if.
   *
   * @returns its label, for {@link Code.branch}.
   */
  open(kind: "block" | "loop" | "if", type: number = VOID): number {
    this.#bytes.bytes(OP[kind], type);
    return this.#height++;
  }

  else(): void {
    this.#bytes.byte(OP.else);
  }

  end(): void {
    this.#bytes.byte(OP.end);
    this.#height--;
  }

  branch(kind: "br" | "br_if", label: number): void {
    this.#indexed(kind, this.#height - 1 - label);
  }

  /** @param labels - by index; the last one is also for all other indices. */
  branchTable(labels: readonly number[]): void {
    this.#indexed("br_table", labels.length - 1);
    for (const label of labels) this.#bytes.u32(this.#height - 1 - label);
  }

  #indexed(name: Op, index: number): void {
    this.#bytes.byte(OP[name]);
    this.#bytes.u32(index);
  }
}
