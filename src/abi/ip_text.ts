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

/** The address that each place is of, in words, and its text: that of the unspecified one first. */
const ipv4Kept: Int32Array = new Int32Array(KEPT);
const ipv4Texts: string[] = new Array<string>(KEPT).fill("0.0.0.0");
const ipv6Kept: Int32Array = new Int32Array(4 * KEPT);
const ipv6Texts: string[] = new Array<string>(KEPT).fill("::");

/** An IPv4 address: "192.0.2.1". @param word - its four bytes, the first one highest. */
export function ipv4Text(word: number): string {
  const place = Math.imul(word, SPREAD) >>> (32 - KEPT_BITS);
  if (ipv4Kept[place] !== word) {
    ipv4Kept[place] = word;
    ipv4Texts[place] = `${word >>> 24}.${(word >> 16) & 255}.${(word >> 8) & 255}.${word & 255}`;
  }
  return ipv4Texts[place] as string;
}

/**
 * The IPv6 address at an offset, as RFC 5952 writes it: lower case, the longest run of zeros as
 * "::".
 */
export function ipv6Text(view: DataView, offset: number): string {
  const a = view.getInt32(offset, false);
  const b = view.getInt32(offset + 4, false);
  const c = view.getInt32(offset + 8, false);
  const d = view.getInt32(offset + 12, false);
  const mixed = Math.imul(Math.imul(Math.imul(a, SPREAD) ^ b, SPREAD) ^ c, SPREAD) ^ d;
  const place = Math.imul(mixed, SPREAD) >>> (32 - KEPT_BITS);
  const at = 4 * place;
  if (
    ipv6Kept[at] !== a ||
    ipv6Kept[at + 1] !== b ||
    ipv6Kept[at + 2] !== c ||
    ipv6Kept[at + 3] !== d
  ) {
    ipv6Kept[at] = a;
    ipv6Kept[at + 1] = b;
    ipv6Kept[at + 2] = c;
    ipv6Kept[at + 3] = d;
    ipv6Texts[place] = groupsText([a, b, c, d].flatMap((word) => [word >>> 16, word & 0xffff]));
  }
  return ipv6Texts[place] as string;
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
