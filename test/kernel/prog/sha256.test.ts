/**
 * Breaks when a digest differs from that of Node's own SHA-256, at any length around a block.
 */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sha256 } from "../../../src/kernel/sha256.ts";

function expected(message: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(message).digest());
}

describe("sha256", () => {
  it("agrees with node:crypto at every length up to three blocks", () => {
    for (let length = 0; length <= 192; length++) {
      const message = Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 0xff);
      expect(sha256(message)).toEqual(expected(message));
    }
  });

  it("agrees with node:crypto on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (message) => {
        expect(sha256(message)).toEqual(expected(message));
      }),
    );
  });
});
