/**
 * SHA-256 (FIPS 180-4), synchronous and without a platform's help: program tags need it.
 */

const BLOCK_BYTES = 64;
const LENGTH_BYTES = 8;
const ROUNDS = 64;

/** The first 64 primes' cube roots' fractions, and the first 8 primes' square roots'. */
const { roundConstants, initialState } = constants();
const schedule = new Int32Array(ROUNDS);

/** The digest of `message`, 32 bytes. */
export function sha256(message: Uint8Array): Uint8Array {
  const state = initialState.slice();
  const padded = pad(message);
  const view = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += BLOCK_BYTES) compress(state, view, at);
  const digest = new Uint8Array(32);
  const out = new DataView(digest.buffer);
  for (let i = 0; i < 8; i++) out.setInt32(4 * i, state[i] ?? 0);
  return digest;
}

/** The message, a set bit, zeros up to the end of a block, and the length in bits. */
function pad(message: Uint8Array): Uint8Array {
  const blocks = Math.ceil((message.length + 1 + LENGTH_BYTES) / BLOCK_BYTES);
  const padded = new Uint8Array(blocks * BLOCK_BYTES);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - LENGTH_BYTES, BigInt(message.length) * 8n);
  return padded;
}

function compress(state: Int32Array, view: DataView, at: number): void {
  const w = (t: number): number => schedule[t] as number;
  for (let t = 0; t < 16; t++) schedule[t] = view.getInt32(at + 4 * t);
  for (let t = 16; t < ROUNDS; t++) {
    const before15 = w(t - 15);
    const before2 = w(t - 2);
    const sigma0 = rotate(before15, 7) ^ rotate(before15, 18) ^ (before15 >>> 3);
    const sigma1 = rotate(before2, 17) ^ rotate(before2, 19) ^ (before2 >>> 10);
    schedule[t] = w(t - 16) + sigma0 + w(t - 7) + sigma1;
  }
  const s = (i: number): number => state[i] as number;
  let [a, b, c, d, e, f, g, h] = [s(0), s(1), s(2), s(3), s(4), s(5), s(6), s(7)];
  for (let t = 0; t < ROUNDS; t++) {
    const sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const choice = (e & f) ^ (~e & g);
    const first = (h + sum1 + choice + (roundConstants[t] as number) + w(t)) | 0;
    const sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    [h, g, f, e] = [g, f, e, (d + first) | 0];
    [d, c, b, a] = [c, b, a, (first + sum0 + majority) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    state[i] = (state[i] as number) + word;
  });
}

function rotate(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}

/**
 * Calculated, not listed: whole-number roots of primes shifted left by 96 (or 64) bits are exact.
 */
function constants(): { roundConstants: Int32Array; initialState: Int32Array } {
  const primes: bigint[] = [];
  for (let n = 2n; primes.length < ROUNDS; n++) {
    if (primes.every((prime) => n % prime !== 0n)) primes.push(n);
  }
  const fraction = (root: bigint): number => Number(BigInt.asIntN(32, root));
  return {
    roundConstants: Int32Array.from(primes, (prime) => fraction(root(prime << 96n, 3n))),
    initialState: Int32Array.from(primes.slice(0, 8), (prime) => fraction(root(prime << 64n, 2n))),
  };
}

/** The largest whole number whose `degree`th power is not above `value`. */
function root(value: bigint, degree: bigint): bigint {
  let low = 0n;
  let high = 1n << 40n;
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (middle ** degree <= value) low = middle;
    else high = middle;
  }
  return low;
}
