/**
 * Keys of hash maps in linear memory: their hash and their comparison. Kept simple enough to be
 * emitted as WebAssembly too, which jit/hash_key.ts does.
 */

// MurmurHash3's numbers.
export const C1 = 0xcc9e2d51;
export const C2 = 0x1b873593;
export const ROUND = 0xe6546b64;
export const FINAL_1 = 0x85ebca6b;
export const FINAL_2 = 0xc2b2ae35;

/**
 * MurmurHash3_x86_32 (Austin Appleby, public domain) over a key. Linux uses another hash; only the
 * spread matters, as the seed is random.
 *
 * @param size - bytes of the key; it need not be aligned.
 * @returns a u32.
 */
export function hashKey(view: DataView, address: number, size: number, seed: number): number {
  let hash = seed;
  const end = address + size;
  let at = address;
  for (; at + 4 <= end; at += 4) {
    hash ^= scramble(view.getInt32(at, true));
    hash = Math.imul((hash << 13) | (hash >>> 19), 5) + ROUND;
  }
  if (at < end) {
    let tail = 0;
    for (let i = end - 1; i >= at; i--) tail = (tail << 8) | view.getUint8(i);
    hash ^= scramble(tail);
  }
  hash ^= size;
  hash = Math.imul(hash ^ (hash >>> 16), FINAL_1);
  hash = Math.imul(hash ^ (hash >>> 13), FINAL_2);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function scramble(word: number): number {
  const product = Math.imul(word, C1);
  return Math.imul((product << 15) | (product >>> 17), C2);
}

/** Whether the keys at two addresses are the same, byte for byte. */
export function sameKey(view: DataView, a: number, b: number, size: number): boolean {
  let i = 0;
  for (; i + 4 <= size; i += 4) {
    if (view.getInt32(a + i, true) !== view.getInt32(b + i, true)) return false;
  }
  for (; i < size; i++) if (view.getUint8(a + i) !== view.getUint8(b + i)) return false;
  return true;
}
