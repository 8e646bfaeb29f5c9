/**
 * Keys of hash maps: their hash and their comparison, written out word by word. The same hash as
 * the one in bpf/map/hash_key.ts.
 */

import { C1, C2, FINAL_1, FINAL_2, ROUND } from "../bpf/map/hash_key.ts";
import type { Code } from "./code.ts";

/** The longest key, in bytes, that code is written out for; maps look longer ones up themselves. */
export const MAX_INLINE_KEY = 64;

/** Locals, all i32: the key's address, its hash, and one to compute with. */
export interface HashLocals {
  readonly key: number;
  readonly hash: number;
  readonly word: number;
}

/** Sets the hash local to the hash of the key: MurmurHash3_x86_32. */
export function hashOfKey(
  code: Code,
  { key, hash, word }: HashLocals,
  size: number,
  seed: number,
): void {
  /** hash ^= scramble(top) */
  const mix = (): void => {
    code.i32(C1);
    code.op("i32.mul");
    code.i32(15);
    code.op("i32.rotl");
    code.i32(C2);
    code.op("i32.mul");
    code.get(hash);
    code.op("i32.xor");
  };
  code.i32(seed);
  code.set(hash);
  let at = 0;
  for (; at + 4 <= size; at += 4) {
    code.get(key);
    code.access("i32.load", at);
    mix();
    code.i32(13);
    code.op("i32.rotl");
    code.i32(5);
    code.op("i32.mul");
    code.i32(ROUND);
    code.op("i32.add");
    code.set(hash);
  }
  if (at < size) {
    for (let i = at; i < size; i++) {
      code.get(key);
      code.access("i32.load8_u", i);
      if (i === at) continue;
      code.i32(8 * (i - at));
      code.op("i32.shl", "i32.or");
    }
    mix();
    code.set(hash);
  }
  code.get(hash);
  code.i32(size);
  code.op("i32.xor");
  for (const [shift, factor] of [
    [16, FINAL_1],
    [13, FINAL_2],
    [16, null],
  ] as const) {
    code.tee(word);
    code.get(word);
    code.i32(shift);
    code.op("i32.shr_u", "i32.xor");
    if (factor === null) continue;
    code.i32(factor);
    code.op("i32.mul");
  }
  code.set(hash);
}

/** Branches to a label when the keys at two addresses plus offset are not the same. */
export function compareKeys(
  code: Code,
  element: number,
  keyOffset: number,
  key: number,
  size: number,
  differs: number,
): void {
  const compare = (at: number, bytes: 1 | 4 | 8): void => {
    const load = bytes === 8 ? "i64.load" : bytes === 4 ? "i32.load" : "i32.load8_u";
    code.get(element);
    code.access(load, keyOffset + at);
    code.get(key);
    code.access(load, at);
    code.op(bytes === 8 ? "i64.ne" : "i32.ne");
    code.branch("br_if", differs);
  };
  let at = 0;
  for (; at + 8 <= size; at += 8) compare(at, 8);
  for (; at + 4 <= size; at += 4) compare(at, 4);
  for (; at < size; at++) compare(at, 1);
}
