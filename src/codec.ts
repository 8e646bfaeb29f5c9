/**
 * How a value in JavaScript becomes the bytes of a map's key or value, and back.
 */

/** Both directions for one type. */
export interface Codec<T> {
  /** Bytes that an encoded value takes. */
  readonly size: number;
  readonly encode: (value: T) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => T;
}

/** An integer of one to four bytes, little-endian. */
function unsigned(size: 1 | 2 | 4): Codec<number> {
  const max = 2 ** (8 * size) - 1;
  return {
    size,
    encode(value) {
      if (!Number.isInteger(value) || value < 0 || value > max) {
        throw new RangeError(`${value} is no integer from 0 to ${max}`);
      }
      const bytes = new Uint8Array(size);
      for (let i = 0; i < size; i++) bytes[i] = value >>> (8 * i);
      return bytes;
    },
    decode: (bytes) => bytes.subarray(0, size).reduceRight((sum, byte) => sum * 256 + byte, 0),
  };
}

export const u8: Codec<number> = unsigned(1);
export const u16: Codec<number> = unsigned(2);
export const u32: Codec<number> = unsigned(4);

/** A u64, as a bigint. */
export const u64: Codec<bigint> = {
  size: 8,
  encode(value) {
    if (BigInt.asUintN(64, value) !== value) throw new RangeError(`${value} is no u64`);
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    return bytes;
  },
  decode: (bytes) => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true),
};

/** Bytes as they are. */
export function bytes(size: number): Codec<Uint8Array> {
  return {
    size,
    encode(value) {
      if (value.length !== size) {
        throw new RangeError(`${value.length} bytes given where ${size} are wanted`);
      }
      return value;
    },
    decode: (value) => value.slice(0, size),
  };
}

/** The value of a per-CPU map: one element for each possible CPU. */
export function perCpu<T>(element: Codec<T>, possibleCpus: number): Codec<readonly T[]> {
  const stride = Math.ceil(element.size / 8) * 8;
  return {
    size: stride * possibleCpus,
    encode(values) {
      if (values.length !== possibleCpus) {
        throw new RangeError(`${values.length} values given for ${possibleCpus} possible CPUs`);
      }
      const all = new Uint8Array(stride * possibleCpus);
      for (const [cpu, value] of values.entries()) all.set(element.encode(value), cpu * stride);
      return all;
    },
    decode: (all) =>
      Array.from({ length: possibleCpus }, (_, cpu) =>
        element.decode(all.slice(cpu * stride, cpu * stride + element.size)),
      ),
  };
}
