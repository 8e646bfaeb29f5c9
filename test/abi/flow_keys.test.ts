/**
 * Flow keys as objects: if this fails, an address is told as another one, which was there before.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeFlowKeys, ETH_P_IP, ETH_P_IPV6 } from "../../src/abi/flow_keys.ts";

function keysOf(protocol: number, source: Uint8Array, destination: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(56);
  new DataView(bytes.buffer).setUint16(4, protocol, true);
  bytes.set(source, 16);
  bytes.set(destination, 16 + source.length);
  return bytes;
}

/** An IPv6 address as URLs have it, which is RFC 5952's way. */
function urlText(address: Uint8Array): string {
  const view = new DataView(address.buffer, address.byteOffset, 16);
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

/** Bytes of few values, so that runs of zeros and addresses that return are frequent. */
const address = (size: number): fc.Arbitrary<Uint8Array> =>
  fc
    .uint8Array({ minLength: size, maxLength: size })
    .map((bytes) => bytes.map((b) => b & (b >> 4)));

test("IPv4 addresses are told as they are, however many there are", () => {
  for (let i = 0; i < 20_000; i++) {
    const word = Math.imul(i >> 1, 0x01000193);
    const source = Uint8Array.of(word >>> 24, word >>> 16, word >>> 8, word);
    const keys = decodeFlowKeys(keysOf(ETH_P_IP, source, source.toReversed()));
    expect(keys.ipv4_src).toBe(source.join("."));
    expect(keys.ipv4_dst).toBe(source.toReversed().join("."));
  }
});

test("IPv6 addresses are told as they are, whichever came before", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(address(16), address(16)), { minLength: 8 }), (pairs) => {
      for (const [source, destination] of pairs) {
        const keys = decodeFlowKeys(keysOf(ETH_P_IPV6, source, destination));
        expect(keys.ipv6_src).toBe(urlText(source));
        expect(keys.ipv6_dst).toBe(urlText(destination));
      }
    }),
  );
});

describe("other keys", () => {
  test("have no addresses, and all that is left", () => {
    const bytes = Uint8Array.from({ length: 56 }, (_, i) => i + 1);
    expect(decodeFlowKeys(bytes)).toEqual({
      nhoff: 0x0201,
      thoff: 0x0403,
      addr_proto: 0x0605,
      is_frag: true,
      is_first_frag: true,
      is_encap: true,
      ip_proto: 10,
      n_proto: 0x0b0c,
      sport: 0x0d0e,
      dport: 0x0f10,
      flags: 0x34333231,
      flow_label: 0x63738,
    });
  });

  test("can't be read from fewer than 56 bytes", () => {
    expect(() => decodeFlowKeys(new Uint8Array(55))).toThrow(RangeError);
  });
});
