/**
 * Names that shells, terminals, JSON, paths and regular expressions have a meaning for. Whatever
 * takes names from a system, an object or a capture is tried with each of them.
 */

/** Text that must come through as it is, or be shown so that nothing obeys it. */
export const HOSTILE_NAMES: readonly string[] = [
  "z$(id>PWNED)",
  "z`id>PWNED`",
  "z$IFS$HOME",
  "z'id'",
  'z"id"',
  `z'$(id>PWNED)'`,
  `z"$(id>PWNED)"`,
  "z\n$(id>PWNED)",
  'z"\n$(id>PWNED)',
  "z\tid",
  "z\rid",
  "z\x1b[31mred\x1b]0;title\x07",
  "z\x7f\x01",
  "z\u009b31m",
  "z\u202egnp.exe",
  "z\u2066id\u2069\u200b",
  "z\u2028line",
  "zäöü-名前-🐝",
  "z id",
  " z",
  "z ",
  "z;id>PWNED",
  "z&id>PWNED&",
  "z|id>PWNED",
  "z>PWNED",
  "z<PWNED",
  "z\\",
  "z\\n",
  "z*",
  "z?[a-z]{1,2}",
  "z~!#%^=",
  "z.*(a+)+$|^",
  "z<script>alert(1)</script>&amp;",
  "z,id:id",
  "-z",
  "--json",
  "..z",
  "...",
  "__proto__",
  "constructor",
  "z".repeat(255),
];

/** Bytes that are no UTF-8. */
export const HOSTILE_BYTES: readonly Uint8Array[] = [
  Uint8Array.of(0x7a, 0xff, 0xfe),
  Uint8Array.of(0x7a, 0xc3, 0x28),
  Uint8Array.of(0x7a, 0xed, 0xa0, 0x80),
];
