// The programs of the benchmark, and the packets that they run on.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** BPF_MAP_TYPE_ARRAY */
const ARRAY = 2;

/** Bytes that look random, and are the same each time. */
function noise(size, seed = 7) {
  let state = seed >>> 0;
  return Uint8Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

const fromHex = (text) => Uint8Array.from(Buffer.from(text, "hex"));
const join = (...parts) => Uint8Array.from(Buffer.concat(parts));

const REQUEST = [
  "GET /index.html?a=1&b=22%20x=abcd HTTP/1.1",
  "Host: www.example.com:8080",
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
  "Accept: text/html,application/xhtml+xml",
  "",
  "",
].join("\r\n");

const MACS = fromHex("020000000001020000000002");
const TCP = fromHex("303901bb00000001000000005002ffff00000000");
const IPV4 = fromHex("4500003c1c4640004006b1e6c0a80001c0a800c7");
/** IPv6 with two extension headers: hop-by-hop options, then destination options, then TCP. */
const IPV6 = join(fromHex("6001234500280040"), noise(32), fromHex("3c00000000000000"));

const PACKETS = {
  bytes64: noise(64),
  bytes1500: noise(1500),
  request: new TextEncoder().encode(REQUEST),
  tcp4: join(MACS, fromHex("0800"), IPV4, TCP, noise(20)),
  tcp6: join(
    MACS,
    fromHex("88a800648100006586dd"),
    IPV6,
    fromHex("0600000000000000"),
    TCP,
    noise(20),
  ),
};

/**
 * Rows of the table: program, packet, which row is the loop around it alone, and whether Linux must
 * not be faster at all.
 */
export const CORPUS = {
  empty: { object: "empty", packet: PACKETS.bytes64 },
  "empty fd": { object: "empty_fd", packet: PACKETS.tcp4 },
  "fd tcp4": { object: "fd", packet: PACKETS.tcp4, loop: "empty fd", strict: true },
  "fd tcp6": { object: "fd", packet: PACKETS.tcp6, loop: "empty fd", strict: true },
  fnv: { object: "fnv", packet: PACKETS.bytes1500 },
  xxh: { object: "xxh", packet: PACKETS.bytes1500 },
  csum: { object: "csum", packet: PACKETS.bytes1500 },
  muldiv: { object: "muldiv", packet: PACKETS.bytes64 },
  fsm: { object: "fsm", packet: PACKETS.request },
  maparr: { object: "maparr", packet: PACKETS.bytes64, strict: true },
  maphash: { object: "maphash", packet: PACKETS.bytes64, strict: true },
};

/** The object file of a program of the corpus. */
export function readObject(name) {
  return readFileSync(fileURLToPath(new URL(`corpus/${name}.bpf.o`, import.meta.url)));
}

/** Fills the map of a collection as its program expects, if it has one. */
export function fillMap(collection) {
  const map = collection.maps.get("values");
  if (map === undefined) return;
  const { maxEntries, type } = map.info;
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < maxEntries; i++) {
    view.setUint32(0, type === ARRAY ? i : Math.imul(i, 2654435761), true);
    view.setBigUint64(4, BigInt(i) * 0x9e3779b97f4a7c15n + 1n, true);
    map.set(bytes.slice(0, 4), bytes.slice(4));
  }
}
