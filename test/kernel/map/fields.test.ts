/**
 * Breaks when a program is loaded that can reach a map whose values have fields which the kernel
 * looks after, as a lock: to the embedded kernel they would be memory like any other.
 */

import { beforeAll, describe, expect, test } from "vitest";
import { BTF_LOAD, MAP_CREATE, PROG_LOAD } from "../../../src/abi/attr.ts";
import * as BPF from "../../../src/abi/bpf.ts";
import { EINVAL } from "../../../src/abi/errno.ts";
import { encode } from "../../../src/abi/layout.ts";
import { assemble } from "../../../src/asm/index.ts";
import { explainVerdict } from "../../../src/index.ts";
import { EmbeddedKernel } from "../../../src/kernel/index.ts";
import { BtfWriter } from "../../btf.ts";

const kernel = EmbeddedKernel.boot();
const LOG_SIZE = 1 << 16;
const NAME = new TextEncoder().encode("locked");
let map: number;

beforeAll(() => {
  const w = new BtfWriter();
  const u32 = w.int("u32", 4);
  const lock = w.struct("bpf_spin_lock", 4, [["val", u32, 0]]);
  const inner = w.struct("queue", 8, [["lock", lock, 4]]);
  const value = w.struct("value", 16, [["queue", inner, 8]]);
  const bytes = w.encode();
  const given = { btf: kernel.addressOf(bytes), btf_size: bytes.length };
  const btf_fd = kernel.bpf(BPF.BPF_BTF_LOAD, encode(BTF_LOAD, given));
  const wanted = {
    map_type: BPF.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: 16,
    max_entries: 1,
    map_name: NAME,
    btf_fd,
    btf_key_type_id: u32,
    btf_value_type_id: value,
  };
  map = kernel.bpf(BPF.BPF_MAP_CREATE, encode(MAP_CREATE, wanted));
  expect(map).toBeGreaterThan(0);
});

/**
 * Loads a program. @param source - of its two-slot load, in place of BPF_PSEUDO_MAP_FD or _VALUE.
 */
function load(
  text: string,
  options: { type?: number; source?: number; count?: number } = {},
): { result: number; log: string; cause: string | undefined } {
  const insns = assemble(text, { constants: { m: map } });
  const { source, type = BPF.BPF_PROG_TYPE_XDP, count = 0 } = options;
  if (source !== undefined) {
    insns[1] = ((insns[1] as number) & 0xf) | (source << 4);
    new DataView(insns.buffer).setInt32(4, 0, true);
  }
  const fds = new Uint8Array(Int32Array.of(map).buffer);
  const log = new Uint8Array(LOG_SIZE);
  const attr = encode(PROG_LOAD, {
    prog_type: type,
    insns: kernel.addressOf(insns),
    insn_cnt: insns.length / 8,
    license: kernel.addressOf(new TextEncoder().encode("GPL\0")),
    fd_array: kernel.addressOf(fds),
    fd_array_cnt: count,
    log_level: 1,
    log_size: LOG_SIZE,
    log_buf: kernel.addressOf(log),
  });
  const result = kernel.bpf(BPF.BPF_PROG_LOAD, attr);
  const said = new TextDecoder().decode(log.subarray(0, log.indexOf(0)));
  return { result, log: said, cause: explainVerdict(said, { instructions: insns }).cause?.id };
}

const END = "r0 = 1\nexit";
type Way = readonly [way: string, text: string, options: Parameters<typeof load>[1]];
const WAYS: readonly Way[] = [
  ["by its fd", `r1 = map_fd[m]\n${END}`, {}],
  ["by its value's address", `r1 = map_value[m][0]\n${END}`, {}],
  ["by an index into an array of fds", `r1 = map_fd[m]\n${END}`, { source: 5 }],
  ["by its value's address and such an index", `r1 = map_value[m][0]\n${END}`, { source: 6 }],
  ["in an array of fds that is the program's", END, { count: 1 }],
  ["in code that is never reached", `goto out\nr1 = map_fd[m]\nout:\n${END}`, {}],
];

describe("a program that has such a map", () => {
  test.each(WAYS)("%s is refused", (_way, text, options) => {
    const { result, log, cause } = load(text, options);
    expect(result).toBe(-EINVAL);
    expect(log).toContain("map locked: its values hold bpf_spin_lock queue.lock at offset 12");
    expect(cause).toBe("map-fields-not-embedded");
  });

  test("and is a socket filter, is refused as by Linux", () => {
    const type = BPF.BPF_PROG_TYPE_SOCKET_FILTER;
    const { result, log, cause } = load(`r1 = map_fd[m]\n${END}`, { type });
    expect(result).toBe(-EINVAL);
    expect(log).toContain("socket filter progs cannot use bpf_spin_lock yet");
    expect(cause).toBe("map-fields-not-for-type");
  });
});

test("a program that has none is loaded", () => {
  const { result } = load(END);
  expect(result).toBeGreaterThan(0);
});
