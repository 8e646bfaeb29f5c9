import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatType, loadObject, ObjectError } from "../../src/elf/index.ts";
import { MOVING_SEED, PROPERTY_RUNS } from "../settings.ts";
import { FIXTURES, fixture } from "./fixtures.ts";

const OBJECTS = FIXTURES.map(fixture);
const anObject = fc.constantFrom(...OBJECTS);
/** Where in an object, as a fraction: objects differ in size. */
const aPlace = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

/** Reads the bytes: a spec that holds together, or our error. */
function readsOrRefuses(bytes: Uint8Array): void {
  try {
    const { programs, maps, btf } = loadObject(bytes);
    for (const { instructions, references, subprograms } of programs.values()) {
      const slots = instructions.length / 8;
      expect(references.every(({ slot, map }) => slot < slots && maps.has(map))).toBe(true);
      expect(subprograms.every(({ slot }) => slot < slots)).toBe(true);
    }
    for (const { contents } of maps.values()) {
      if (contents?.kind === "programs") {
        expect(contents.slots.every(({ name }) => programs.has(name))).toBe(true);
      } else if (contents?.kind === "maps") {
        expect(contents.slots.every(({ name }) => maps.has(name))).toBe(true);
      }
    }
    if (btf) for (const { id } of btf.types) formatType(btf, id);
  } catch (error) {
    if (!(error instanceof ObjectError)) throw error;
    expect(error.message).toContain(`+0x${error.offset.toString(16)}: `);
  }
}

function holds<T>(name: string, arbitrary: fc.Arbitrary<T>, mutate: (value: T) => Uint8Array) {
  it(name, () => {
    fc.assert(
      fc.property(arbitrary, (value) => readsOrRefuses(mutate(value))),
      { numRuns: PROPERTY_RUNS, seed: MOVING_SEED },
    );
  });
}

// Breaks if any bytes make the reader throw something else than ObjectError, or hang.
describe(`whatever the bytes (${PROPERTY_RUNS} runs each)`, () => {
  holds(
    "bits flipped",
    fc.tuple(anObject, fc.array(fc.tuple(aPlace, fc.nat(7)), { minLength: 1, maxLength: 16 })),
    ([object, flips]) => {
      const bytes = object.slice();
      for (const [place, bit] of flips) {
        const at = Math.floor(place * bytes.length);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
      }
      return bytes;
    },
  );

  holds("cut off", fc.tuple(anObject, aPlace), ([object, place]) => {
    return object.slice(0, Math.floor(place * object.length));
  });

  holds(
    "a piece of one object in another",
    fc.tuple(anObject, anObject, aPlace, aPlace, fc.nat(512)),
    ([object, donor, to, from, length]) => {
      const bytes = object.slice();
      const at = Math.floor(to * bytes.length);
      const start = Math.floor(from * donor.length);
      const room = Math.min(length, bytes.length - at);
      bytes.set(donor.subarray(start, start + room), at);
      return bytes;
    },
  );

  const aWord = fc.oneof(
    fc.constantFrom(0, 1, 2, 3, 7, 8, 16, 24, 64, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff),
    fc.nat(4096),
    fc.integer({ min: 0, max: 0xffffffff }),
  );
  const someWords = fc.array(fc.tuple(aPlace, aWord), { minLength: 1, maxLength: 6 });

  holds("fields changed anywhere", fc.tuple(anObject, someWords), ([object, words]) => {
    return withWords(object, words, 0, object.length);
  });

  holds("fields of section headers changed", fc.tuple(anObject, someWords), ([object, words]) => {
    const start = Number(new DataView(object.buffer).getBigUint64(40, true));
    return withWords(object, words, start, object.length);
  });

  holds("fields of types and lines changed", fc.tuple(anObject, someWords), ([object, words]) => {
    const { start, end } = btfOf(object);
    return withWords(object, words, start, end);
  });

  holds("no object at all", fc.uint8Array({ maxLength: 512 }), (noise) => noise);

  holds(
    "noise behind a good start",
    fc.tuple(anObject, aPlace, fc.nat()),
    ([object, from, seed]) => {
      const bytes = object.slice();
      let state = seed | 1;
      for (let at = 64 + Math.floor(from * (bytes.length - 64)); at < bytes.length; at++) {
        state = Math.imul(state, 1664525) + 1013904223;
        bytes[at] = state >>> 24;
      }
      return bytes;
    },
  );
});

/** The object with 32-bit words between two places replaced. */
function withWords(
  object: Uint8Array,
  words: readonly (readonly [place: number, word: number])[],
  start: number,
  end: number,
): Uint8Array {
  const bytes = object.slice();
  const view = new DataView(bytes.buffer);
  for (const [place, word] of words) {
    const at = start + Math.floor((place * (end - start)) / 4) * 4;
    view.setUint32(Math.min(at, bytes.length - 4), word, true);
  }
  return bytes;
}

/** Where the magic of BTF is, and roughly where .BTF.ext ends; the whole file without BTF. */
function btfOf(object: Uint8Array): { start: number; end: number } {
  const start = object.findIndex((byte, at) => byte === 0x9f && object[at + 1] === 0xeb);
  return start < 0 ? { start: 0, end: object.length } : { start, end: (object.length * 3) / 4 };
}
