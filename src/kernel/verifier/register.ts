/**
 * What the verifier knows of one register: a number in bounds, or a pointer of some kind with a
 * fixed and a variable offset. Analogous to struct bpf_reg_state in Linux.
 */

import type { BpfMap } from "../bpf/map/map.ts";
import { type Bounds, exactly, exactlyWords, UNBOUNDED, ZERO } from "./bounds.ts";

/** Kinds of values, spelled as Linux's log spells them. */
export type RegisterType =
  | "?"
  | "scalar"
  | "ctx"
  | "fp"
  | "pkt"
  | "pkt_end"
  | "pkt_meta"
  | "flow_keys"
  | "map_ptr"
  | "map_key"
  | "map_value"
  | "map_value_or_null"
  | "func"
  | "sock"
  | "sock_or_null"
  | "sock_common"
  | "sock_common_or_null"
  | "mem"
  | "mem_or_null";

/** Instead of a range: the pointer is at the packet's end or behind it; or behind it for sure. */
export const AT_PACKET_END = -1;
export const BEYOND_PACKET_END = -2;

/**
 * A number is the one that its id stands for plus `off`, added up in so many bits; 0: it is that
 * number itself.
 */
export type SumWidth = 0 | 32 | 64;

/** What a pointer points to. */
type Target = Partial<
  Pick<Register, "bounds" | "off" | "id" | "map" | "frame" | "size" | "reference">
>;

/** A register's contents. Never changed: states share them. */
export class Register {
  readonly type: RegisterType;
  /** The number; of a pointer the variable part of its offset. */
  readonly bounds: Readonly<Bounds>;
  /** Bytes: the fixed part of a pointer's offset. Of a number: see `sumWidth`. */
  readonly off: number;
  /**
   * Not 0: numbers with the same id are equal; pointers have the same variable part, or are null
   * together.
   */
  readonly id: number;
  /** The number is the one its id stands for plus `off`. */
  readonly sumWidth: SumWidth;
  /** Of a packet pointer: so many bytes from its variable part on are there; or *_PACKET_END. */
  readonly range: number;
  readonly map: BpfMap | null;
  /** Of a stack pointer: whose frame. */
  readonly frame: number;
  /** Of `mem`: its bytes. Of a function: its first slot. */
  readonly size: number;
  /** Not 0: the reference that the program holds with this pointer and its copies. */
  readonly reference: number;

  // One after the other: from objects of many shapes engines are slow to read.
  constructor(
    type: RegisterType,
    bounds: Readonly<Bounds>,
    off: number = 0,
    id: number = 0,
    sumWidth: SumWidth = 0,
    range: number = 0,
    map: BpfMap | null = null,
    frame: number = 0,
    size: number = 0,
    reference: number = 0,
  ) {
    this.type = type;
    this.bounds = bounds;
    this.off = off;
    this.id = id;
    this.sumWidth = sumWidth;
    this.range = range;
    this.map = map;
    this.frame = frame;
    this.size = size;
    this.reference = reference;
  }

  /** The same with other bounds, which is what most instructions change. */
  withBounds(bounds: Readonly<Bounds>): Register {
    const { type, off, id, sumWidth, range, map, frame, size, reference } = this;
    return new Register(type, bounds, off, id, sumWidth, range, map, frame, size, reference);
  }

  withId(id: number): Register {
    const { type, bounds, off, sumWidth, range, map, frame, size, reference } = this;
    return new Register(type, bounds, off, id, sumWidth, range, map, frame, size, reference);
  }

  withRange(range: number): Register {
    const { type, bounds, off, id, sumWidth, map, frame, size, reference } = this;
    return new Register(type, bounds, off, id, sumWidth, range, map, frame, size, reference);
  }

  /** A pointer, moved. */
  movedTo(off: number, bounds: Readonly<Bounds>, id: number, range: number): Register {
    const { type, sumWidth, map, frame, size, reference } = this;
    return new Register(type, bounds, off, id, sumWidth, range, map, frame, size, reference);
  }

  /** A number, `off` more than the one that its id stands for. */
  sumOf(off: number, width: SumWidth, bounds: Readonly<Bounds>): Register {
    return new Register(this.type, bounds, off, this.id, width);
  }

  /** The number, said to be equal to no other. */
  unlinked(): Register {
    const isPlain = this.id === 0 && this.off === 0 && this.sumWidth === 0;
    return isPlain ? this : new Register(this.type, this.bounds);
  }

  get isScalar(): boolean {
    return this.type === "scalar";
  }

  /** Any kind of pointer. */
  get isPointer(): boolean {
    return this.type !== "scalar" && this.type !== "?";
  }

  /** Into a packet or the metadata before it. */
  get isPacket(): boolean {
    return this.type === "pkt" || this.type === "pkt_meta";
  }

  /** Into a packet, or its end. */
  get isPacketOrEnd(): boolean {
    return this.isPacket || this.type === "pkt_end";
  }

  get mayBeNull(): boolean {
    const { type } = this;
    return (
      type === "map_value_or_null" ||
      type === "mem_or_null" ||
      type === "sock_or_null" ||
      type === "sock_common_or_null"
    );
  }

  /** The number 0. */
  get isNull(): boolean {
    return this.type === "scalar" && this.bounds.bits.isZero;
  }
}

/** Never written. */
export const NOT_INIT: Register = new Register("?", UNBOUNDED);
/** Any number. */
export const UNKNOWN_SCALAR: Register = new Register("scalar", UNBOUNDED);

/** A number in bounds. */
export function scalar(bounds: Readonly<Bounds>): Register {
  return new Register("scalar", bounds);
}

/** One number. @param value - taken modulo 2^64. */
export function known(value: bigint): Register {
  return scalar(exactly(value));
}

/** As many small numbers are kept for the operands of instructions. */
const KEPT_OPERANDS = 256;
const OPERANDS: readonly Register[] = Array.from({ length: KEPT_OPERANDS }, (_, value) =>
  scalar(exactlyWords(0, value)),
);

/**
 * The operand that an instruction holds, its sign extended. Not to be put into a register: the log
 * tells what was written by what is another object.
 */
export function immediate(value: number): Register {
  return OPERANDS[value] ?? scalar(exactlyWords(value >> 31, value));
}

/** A pointer to the beginning of something. */
export function pointer(
  type: RegisterType,
  { bounds = ZERO, off = 0, id = 0, map = null, frame = 0, size = 0, reference = 0 }: Target = {},
): Register {
  return new Register(type, bounds, off, id, 0, 0, map, frame, size, reference);
}

/** The same pointer, known not to be null. */
export function notNull(register: Register): Register {
  const type = register.type.replace("_or_null", "") as RegisterType;
  const { bounds, off, sumWidth, range, map, frame, size, reference } = register;
  return new Register(type, bounds, off, 0, sumWidth, range, map, frame, size, reference);
}
