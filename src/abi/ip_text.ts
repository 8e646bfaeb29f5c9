/**
 * IP addresses as text. Packets come from and go to the same places again and again: the texts of
 * the last ones are kept.
 */

/** Texts kept of each IP version; a power of two. */
const KEPT = 4096;
/** Bits of a place among them. */
const KEPT_BITS = 12;
/** 2^32 divided by the golden ratio: multiplied by it, numbers that differ little differ much. */
const SPREAD = 0x9e3779b1;

/**
 * IPv4 addresses and, right after each, its text: side by side, where a processor's caches have
 * them together. All places begin with the unspecified address.
 */
const ipv4Kept: (number | string)[] = Array.from({ length: 2 * KEPT }, (_, i) =>
  i % 2 === 0 ? 0 : "0.0.0.0",
);
/** IPv6 addresses in words, and their texts. */
const ipv6Kept: Int32Array = new Int32Array(4 * KEPT);
const ipv6Texts: string[] = new Array<string>(KEPT).fill("::");

/** An IPv4 address: "192.0.2.1". @param word - its four bytes, the first one lowest. */
export function ipv4Text(word: number): string {
  // Addresses of a network are kept side by side as well.
  const place = (Math.imul(word & 0xff_ffff, SPREAD) >>> (32 - KEPT_BITS)) ^ (word >>> 24);
  return ipv4Kept[2 * place] === word ? (ipv4Kept[2 * place + 1] as string) : keepIpv4(word, place);
}

// Apart, since engines put only small functions into the place where they are called.
function keepIpv4(word: number, place: number): string {
  const text = `${word & 255}.${(word >> 8) & 255}.${(word >> 16) & 255}.${word >>> 24}`;
  ipv4Kept[2 * place] = word;
  ipv4Kept[2 * place + 1] = text;
  return text;
}

/**
 * An IPv6 address, as RFC 5952 writes it: lower case, the longest run of zeros as "::".
 *
 * @param words - of which four are the address's, bytes that come first lowest; @param first - the
 *   index of the first of them.
 */
export function ipv6Text(words: Int32Array, first: number): string {
  const a = words[first] as number;
  const b = words[first + 1] as number;
  const c = words[first + 2] as number;
  const d = words[first + 3] as number;
  const mixed = Math.imul(Math.imul(Math.imul(a, SPREAD) ^ b, SPREAD) ^ c, SPREAD) ^ d;
  const place = Math.imul(mixed, SPREAD) >>> (32 - KEPT_BITS);
  const at = 4 * place;
  return ipv6Kept[at] === a &&
    ipv6Kept[at + 1] === b &&
    ipv6Kept[at + 2] === c &&
    ipv6Kept[at + 3] === d
    ? (ipv6Texts[place] as string)
    : keepIpv6([a, b, c, d], place);
}

function keepIpv6(words: readonly number[], place: number): string {
  const text = groupsText(words.flatMap((word) => [group(word), group(word >>> 16)]));
  ipv6Kept.set(words, 4 * place);
  ipv6Texts[place] = text;
  return text;
}

/** The two lower bytes of a word, the lowest first. */
function group(word: number): number {
  return ((word & 0xff) << 8) | ((word >>> 8) & 0xff);
}

/** @param groups - eight u16. */
function groupsText(groups: readonly number[]): string {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > best.length) best = { start, length: end - start };
  }
  const text = (part: readonly number[]): string =>
    part.map((group) => group.toString(16)).join(":");
  if (best.length < 2) return text(groups);
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
}
