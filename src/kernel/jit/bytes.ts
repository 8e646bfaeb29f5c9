/**
 * A growing buffer that takes what the WebAssembly binary format is made of: bytes, LEB128 numbers
 * and names.
 */

const FIRST_CAPACITY = 64;
/** What it grows to at once, when that isn't enough: most functions take no more. */
const SECOND_CAPACITY = 4096;

/** Bytes, written one after the other. */
export class Bytes {
  #buffer: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  #length: number = 0;

  get length(): number {
    return this.#length;
  }

  byte(value: number): void {
    if (this.#length === this.#buffer.length) this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  bytes(...values: readonly number[]): void {
    for (const value of values) this.byte(value);
  }

  /** An unsigned LEB128 of up to 32 bits. */
  u32(value: number): void {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** A signed LEB128 of 32 bits. */
  s32(value: number): void {
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if (rest === (low & 0x40 ? -1 : 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }

  /** A signed LEB128 of 64 bits, from two halves. */
  s64(low: number, high: number): void {
    if (low >> 31 === (high | 0)) {
      this.s32(low);
      return;
    }
    let [bottom, top] = [low >>> 0, high | 0];
    for (;;) {
      const seven = bottom & 0x7f;
      bottom = ((bottom >>> 7) | (top << 25)) >>> 0;
      top >>= 7;
      const end = seven & 0x40 ? -1 : 0;
      if (top === end && (bottom | 0) === end) {
        this.byte(seven);
        return;
      }
      this.byte(seven | 0x80);
    }
  }

  /** A name: its length and its ASCII characters. */
  name(text: string): void {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
  }

  /** Other bytes, copied. */
  append({ view }: Bytes): void {
    this.#reserve(view.length);
    this.#buffer.set(view, this.#length);
    this.#length += view.length;
  }

  /** What was written so far; not a copy. */
  get view(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#length) as Uint8Array<ArrayBuffer>;
  }

  #reserve(count: number): void {
    const wanted = this.#length + count;
    if (wanted <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(wanted, 2 * this.#buffer.length, SECOND_CAPACITY));
    larger.set(this.#buffer);
    this.#buffer = larger;
  }
}
