/** Names: if this fails, two files are taken for one, or one can't be had by its name. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeName, encodeName, isFileName } from "../../src/abi/names.ts";
import { HOSTILE_BYTES, HOSTILE_NAMES } from "../hostile_names.ts";

test("bytes come back from their text, and no two have the same", () => {
  const few = fc.uint8Array({ max: 255, maxLength: 12 });
  const likely = fc.array(
    fc.constantFrom(0x61, 0x80, 0xbf, 0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xed, 0xa0, 0xf0, 0x9f, 0xff),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(fc.oneof(few, likely.map(Uint8Array.from.bind(Uint8Array))), (bytes) => {
      expect(encodeName(decodeName(bytes))).toEqual(bytes);
      expect(JSON.parse(JSON.stringify(decodeName(bytes)))).toBe(decodeName(bytes));
    }),
    { numRuns: 5000 },
  );
});

test("text that is UTF-8 is as it is", () => {
  for (const name of HOSTILE_NAMES) {
    expect(decodeName(new TextEncoder().encode(name))).toBe(name);
    expect(encodeName(name)).toEqual(new TextEncoder().encode(name));
  }
  for (const bytes of HOSTILE_BYTES) expect(decodeName(bytes)).toMatch(/^z[\udc80-\udcff]/u);
  expect(decodeName(Uint8Array.of(0xef, 0xbb, 0xbf, 0x78))).toBe("\ufeffx");
});

test("names of files have neither a slash nor a NUL", () => {
  for (const name of ["", ".", "..", "a/b", "/", "a\0"]) expect(isFileName(name), name).toBe(false);
  for (const name of ["...", "a", "-", " ", "\n"]) expect(isFileName(name), name).toBe(true);
});
