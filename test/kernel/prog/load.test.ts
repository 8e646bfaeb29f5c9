/**
 * Breaks when BPF_PROG_LOAD's arguments, its log, its maps or its tag are treated otherwise than by
 * Linux 6.18, where every row was tried.
 */
import { describe, expect, it } from "vitest";
import type { PROG_LOAD } from "../../../src/abi/attr.ts";
import * as BPF from "../../../src/abi/bpf.ts";
import * as E from "../../../src/abi/errno.ts";
import type { Values } from "../../../src/abi/layout.ts";
import {
  assemble,
  decodeInstructions,
  encodeInstructions,
  type Instruction,
  loadImm64,
} from "../../../src/asm/index.ts";
import { BPF_F_TOKEN_FD } from "../../../src/kernel/bpf/token.ts";
import { sha256 } from "../../../src/kernel/sha256.ts";
import type { Capability } from "../../../src/kernel/task.ts";
import { Bench, bytes, LOG_SIZE, OK } from "./harness.ts";

type Fields = Partial<Values<typeof PROG_LOAD>>;

const BAD_POINTER = 1n;
const OK_INSNS: readonly Instruction[] = decodeInstructions(OK);
const FD = BPF.BPF_PROG_TYPE_FLOW_DISSECTOR;
const XDP = BPF.BPF_PROG_TYPE_XDP;

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

const ROWS: readonly (readonly [name: string, fields: Fields, result: number])[] = [
  ["nothing special", {}, 0],
  ["an unknown flag", { prog_flags: 1 << 8 }, -E.EINVAL],
  ["an unknown flag before a bad token", { prog_flags: 0x80010000, prog_token_fd: 99 }, -E.EINVAL],
  ["a closed token fd", { prog_flags: BPF_F_TOKEN_FD, prog_token_fd: 99 }, -E.EBADF],
  ["a token fd that is none", { prog_flags: BPF_F_TOKEN_FD, prog_token_fd: 0 }, -E.EINVAL],
  [
    "a bad token before no instructions",
    { prog_flags: BPF_F_TOKEN_FD, prog_token_fd: 99, insn_cnt: 0 },
    -E.EBADF,
  ],
  ["a token fd that nobody asked for", { prog_token_fd: 5 }, 0],
  ["every alignment and test flag", { prog_flags: 0b1110_1111 & ~16 }, 0],
  ["a sleepable dissector", { prog_flags: BPF.BPF_F_SLEEPABLE }, -E.EINVAL],
  ["no instructions", { insn_cnt: 0 }, -E.E2BIG],
  ["a million and one instructions", { insn_cnt: 1_000_001 }, -E.E2BIG],
  ["no instructions before an unknown type", { insn_cnt: 0, prog_type: 999 }, -E.E2BIG],
  ["an unknown type", { prog_type: 999 }, -E.EINVAL],
  ["an unknown type after bad instructions", { prog_type: 999, insns: BAD_POINTER }, -E.EFAULT],
  ["an unknown type after a bad license", { prog_type: 999, license: BAD_POINTER }, -E.EFAULT],
  ["no type", { prog_type: 0 }, -E.EINVAL],
  ["bad instructions", { insns: BAD_POINTER }, -E.EFAULT],
  ["a bad license before a bad name", { license: BAD_POINTER, prog_name: text("a-b") }, -E.EFAULT],
  ["any attach type of a dissector", { expected_attach_type: 9999 }, 0],
  ["any attach type of XDP", { prog_type: XDP, expected_attach_type: 9999 }, 0],
  ["sk_lookup with its attach type", { prog_type: BPF.BPF_PROG_TYPE_SK_LOOKUP }, 0],
  [
    "sk_lookup without, before bad instructions",
    { prog_type: BPF.BPF_PROG_TYPE_SK_LOOKUP, expected_attach_type: 0, insns: BAD_POINTER },
    -E.EINVAL,
  ],
  ["a program to attach to", { attach_prog_fd: 99, insns: BAD_POINTER }, -E.EINVAL],
  ["a type to attach to", { attach_btf_id: 1, insns: BAD_POINTER }, -E.EINVAL],
  ["a name with a dash", { prog_name: text("a-b") }, -E.EINVAL],
  ["a name with a space", { prog_name: text("a b") }, -E.EINVAL],
  ["a name of 16", { prog_name: text("0123456789abcdef") }, -E.EINVAL],
  ["a name of 15", { prog_name: text("0123456789a_c.e") }, 0],
  ["a dash behind the name's end", { prog_name: text("a\0-") }, 0],
  ["a version of the kernel", { kern_version: 77 }, 0],
  ["a size of a signature that isn't there", { signature_size: 4 }, 0],
  ["a keyring for no signature", { keyring_id: 5 }, 0],
  ["a signature nobody can read", { signature: BAD_POINTER, signature_size: 4 }, -E.ENOMEM],
  ["a signature too long", { signature: BAD_POINTER, signature_size: 8193 }, -E.EINVAL],
  ["an unknown keyring", { signature: BAD_POINTER, signature_size: 4, keyring_id: 3 }, -E.EINVAL],
  ["a dissector for a device", { prog_ifindex: 1 }, -E.EINVAL],
  [
    "XDP for the loopback device, before its name",
    { prog_type: XDP, prog_ifindex: 1, prog_name: text("-") },
    -E.EOPNOTSUPP,
  ],
  ["XDP for no device", { prog_type: XDP, prog_ifindex: 9999 }, -E.EINVAL],
  [
    "XDP with frags for a device",
    { prog_type: XDP, prog_ifindex: 1, prog_flags: BPF.BPF_F_XDP_HAS_FRAGS },
    -E.EINVAL,
  ],
  [
    "XDP bound to a device it doesn't name",
    { prog_type: XDP, prog_flags: BPF.BPF_F_XDP_DEV_BOUND_ONLY },
    0,
  ],
  ["BTF that no info refers to", { prog_btf_fd: 99 }, 0],
  ["info in closed BTF", { prog_btf_fd: 99, func_info_cnt: 1 }, -E.EBADF],
  ["info in something else", { prog_btf_fd: 0, line_info_cnt: 1 }, -E.EINVAL],
  ["relocations without other info", { core_relo_cnt: 1 }, 0],
  ["an array of fds that isn't there", { fd_array_cnt: 1 }, -E.EFAULT],
  ["an array of fds without end", { fd_array_cnt: 0x3fffffff }, -E.EINVAL],
  ["a bad log before a bad array", { log_level: 16, fd_array_cnt: 1 }, -E.EINVAL],
  ["log_size alone", { log_level: 1, log_size: 4096 }, -E.EINVAL],
  ["log_buf alone", { log_level: 1, log_buf: BAD_POINTER }, -E.EINVAL],
  ["a buffer without a level", { log_level: 0, log_size: 4096, log_buf: BAD_POINTER }, -E.EINVAL],
  ["a log of a GiB", { log_level: 1, log_size: 0x40000000, log_buf: BAD_POINTER }, -E.EINVAL],
  ["a log nowhere", { log_level: 1, log_size: 4096, log_buf: BAD_POINTER }, -E.EFAULT],
  ["a level without a buffer", { log_level: 1 }, 0],
];

describe("arguments", () => {
  it.each(ROWS)("%s", (_name, fields, result) => {
    const bench = new Bench();
    expect(Math.min(bench.load(OK, fields).result, 0)).toBe(result);
    expect(bench.machine.progs.size).toBe(result === 0 ? 1 : 0);
  });

  it("cuts a license that has no end after 127 bytes", () => {
    const bench = new Bench();
    for (const [length, result] of [
      [126, -E.EFAULT],
      [127, 0],
      [128, 0],
    ] as const) {
      const license = bench.memory.addressOf(text("G".repeat(length)));
      expect(Math.min(bench.load(OK, { license }).result, 0)).toBe(result);
    }
  });

  it.each([
    ["GPL", true],
    ["GPL v2", true],
    ["GPL and additional rights", true],
    ["Dual BSD/GPL", true],
    ["Dual MIT/GPL", true],
    ["Dual MPL/GPL", true],
    ["gpl", false],
    ["GPL v3", false],
    ["GPLv2", false],
    ["", false],
  ])("license %j opens GPL-only helpers: %s", (license, compatible) => {
    const bench = new Bench();
    const { result } = bench.load(OK, {}, { license });
    expect(bench.prog(result).facts.gplCompatible).toBe(compatible);
    const print = assemble(
      "r1 = r10\nr1 += -8\nr2 = 8\n*(u64 *)(r10 - 8) = 0\ncall 6\nr0 = 0\nexit",
    );
    const loaded = bench.load(print, {}, { license });
    expect(loaded.result >= 0).toBe(compatible);
    if (!compatible) expect(loaded.log).toContain("cannot call GPL-restricted function");
  });

  it("says EMFILE when there is no fd, and keeps nothing", () => {
    const bench = new Bench();
    const task = bench.spawn(["CAP_SYS_ADMIN"], 3);
    expect(bench.load(OK, {}, { task }).result).toBe(-E.EMFILE);
    expect(bench.machine.progs.size).toBe(0);
  });
});

describe("capabilities", () => {
  const CASES: readonly (readonly [Capability[], type: number, result: number])[] = [
    [[], FD, -E.EPERM],
    [[], 999, -E.EPERM],
    [["CAP_NET_ADMIN"], FD, -E.EPERM],
    [["CAP_BPF"], FD, -E.EPERM],
    [["CAP_BPF"], XDP, -E.EPERM],
    [["CAP_BPF"], BPF.BPF_PROG_TYPE_SK_LOOKUP, 0],
    [["CAP_BPF"], BPF.BPF_PROG_TYPE_SOCKET_FILTER, 0],
    [["CAP_BPF"], BPF.BPF_PROG_TYPE_KPROBE, -E.EPERM],
    [["CAP_BPF"], 999, -E.EINVAL],
    [["CAP_BPF", "CAP_NET_ADMIN"], FD, 0],
    [["CAP_BPF", "CAP_NET_ADMIN"], XDP, 0],
    [["CAP_BPF", "CAP_NET_ADMIN"], BPF.BPF_PROG_TYPE_KPROBE, -E.EPERM],
    [["CAP_SYS_ADMIN"], FD, 0],
  ];
  it.each(CASES)("%j, type %i", (capabilities, prog_type, result) => {
    const bench = new Bench();
    const task = bench.spawn(capabilities);
    expect(Math.min(bench.load(OK, { prog_type }, { task }).result, 0)).toBe(result);
  });

  it("come after flags, and CAP_BPF before the number of instructions", () => {
    const bench = new Bench();
    const task = bench.spawn([]);
    expect(bench.load(OK, { prog_flags: (1 << 31) >>> 0 }, { task }).result).toBe(-E.EINVAL);
    expect(bench.load(OK, { insn_cnt: 0 }, { task }).result).toBe(-E.EPERM);
    const half = bench.spawn(["CAP_BPF"]);
    expect(bench.load(OK, { insn_cnt: 0 }, { task: half }).result).toBe(-E.E2BIG);
    expect(bench.load(OK, { insns: BAD_POINTER }, { task: half }).result).toBe(-E.EPERM);
  });

  it("bpf_trace_printk wants CAP_PERFMON", () => {
    const bench = new Bench();
    const task = bench.spawn(["CAP_BPF", "CAP_NET_ADMIN"]);
    const { result, log } = bench.load(assemble("call 6\nexit"), {}, { task });
    expect(result).toBe(-E.EINVAL);
    expect(log).toContain("program of this type cannot use helper bpf_trace_printk#6\n");
  });
});

describe("log", () => {
  const STATISTICS =
    "processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 " +
    "mark_read 0\n";

  it("of a good program is one line, and counts its NUL", () => {
    const { log, logTrueSize } = new Bench().load(OK);
    expect(log).toBe(STATISTICS);
    expect(logTrueSize).toBe(98);
  });

  it("names functions at level 2", () => {
    const { log } = logged("call f\nexit\nf:\nr0 = 0\nexit", 2, LOG_SIZE);
    expect(log).toMatch(/^func#0 @0\nfunc#1 @2\n/);
  });

  it.each([
    [1, 10, "k_read 0\n"],
    [9, 10, "processed"],
    [1, 1, ""],
    [1, 97, STATISTICS.slice(1)],
    [9, 97, STATISTICS.slice(0, -1)],
  ])("level %i in %i bytes keeps one end of it, and ENOSPC", (level, size, kept) => {
    const { result, log, attr } = logged("r0 = 0\nexit", level, size);
    expect(result).toBe(-E.ENOSPC);
    expect(log).toBe(kept);
    expect(attr.log_true_size).toBe(98);
  });

  it("fits exactly", () => {
    expect(logged("r0 = 0\nexit", 1, 98).result).toBeGreaterThanOrEqual(0);
  });

  it("is only counted without a buffer, and not at all without a level", () => {
    const bench = new Bench();
    expect(bench.load(OK, { log_level: 1 }).logTrueSize).toBe(98);
    expect(bench.load(OK, { log_level: 0 }).logTrueSize).toBe(0);
  });

  function logged(source: string, level: number, size: number): ReturnType<Bench["load"]> {
    const bench = new Bench();
    const buffer = new Uint8Array(LOG_SIZE + 1).fill(0x41);
    const loaded = bench.load(assemble(source), {
      log_level: level,
      log_size: size,
      log_buf: bench.memory.addressOf(buffer),
    });
    const log = String.fromCharCode(...buffer.subarray(0, buffer.indexOf(0)));
    expect(buffer[size]).toBe(0x41);
    return { ...loaded, log };
  }
});

describe("maps", () => {
  const MAP_FD = 1;
  const MAP_VALUE = 2;
  const MAP_IDX = 5;
  const MAP_IDX_VALUE = 6;

  function withMap(src: number, value: bigint): readonly Instruction[] {
    return [...loadImm64(1, src, value), ...OK_INSNS];
  }

  function fdArray(bench: Bench, fds: readonly number[]): bigint {
    return bench.memory.addressOf(new Uint8Array(Int32Array.from(fds).buffer));
  }

  it("become addresses in the program and ids in what info shows", () => {
    const bench = new Bench();
    const fd = bench.map(BPF.BPF_MAP_TYPE_ARRAY, 8, 1);
    const addresses = bench.machine.maps.values().next().value;
    const pointers: number[] = [];
    for (const [src, value] of [
      [MAP_FD, BigInt(fd)],
      [MAP_VALUE, BigInt(fd) | (4n << 32n)],
      [MAP_IDX, 1n],
      [MAP_IDX_VALUE, 1n | (4n << 32n)],
    ] as const) {
      const { result } = bench.load(withMap(src, value), { fd_array: fdArray(bench, [99, fd]) });
      const { facts } = bench.prog(result);
      expect(facts.maps.map(({ id }) => id)).toEqual([addresses?.id]);
      pointers.push((facts.instructions[0]?.imm ?? 0) >>> 0);
      expect(facts.instructions[1]?.imm).toBe(0);
      const shown = decodeInstructions(facts.xlated);
      const isValue = src === MAP_VALUE || src === MAP_IDX_VALUE;
      expect(shown[0]).toMatchObject({ src: isValue ? MAP_VALUE : MAP_FD, imm: addresses?.id });
      expect(shown[1]?.imm).toBe(isValue ? 4 : 0);
    }
    const [map, value, ...again] = pointers;
    expect(map).toBe(addresses?.address);
    expect(again).toEqual([map, value]);
    expect(addresses?.containsValue((value ?? 0) - 4, 8)).toBe(true);
  });

  const REFUSED: readonly (readonly [string, number, bigint, number, string])[] = [
    ["closed", MAP_FD, 99n, -E.EBADF, "fd 99 is not pointing to valid bpf_map"],
    ["no map", MAP_FD, 0n, -E.EINVAL, "fd 0 is not pointing to valid bpf_map"],
    ["upper half", MAP_FD, (1n << 32n) | 3n, -E.EINVAL, "unrecognized bpf_ld_imm64 insn"],
    ["no array", MAP_IDX, 0n, -E.EPROTO, "fd_idx without fd_array is invalid"],
    ["past the value", MAP_VALUE, (8n << 32n) | 3n, -E.EINVAL, "value_size=8 off=8"],
    ["far past", MAP_VALUE, (1n << 61n) | 3n, -E.EINVAL, "offset of 536870912 is not allowed"],
    ["of four values", MAP_VALUE, 4n, -E.ENOTSUPP, "value_size=8 off=0"],
    ["in a hash", MAP_VALUE, 5n, -E.EINVAL, "no direct value access support for this map type"],
    ["per CPU", MAP_VALUE, 6n, -E.EINVAL, "no direct value access support for this map type"],
  ];
  it.each(REFUSED)("%s", (_name, src, value, errno, message) => {
    const bench = new Bench();
    expect(bench.map(BPF.BPF_MAP_TYPE_ARRAY, 8, 1)).toBe(3);
    bench.map(BPF.BPF_MAP_TYPE_ARRAY, 8, 4);
    bench.map(BPF.BPF_MAP_TYPE_HASH, 8, 4);
    bench.map(BPF.BPF_MAP_TYPE_PERCPU_ARRAY, 8, 1);
    const { result, log } = bench.load(withMap(src, value));
    expect(result).toBe(errno);
    expect(log).toContain(message);
  });

  it("in an array with a count all belong to the program, once each", () => {
    const bench = new Bench();
    const fd = bench.map(BPF.BPF_MAP_TYPE_ARRAY, 8, 1);
    const { result } = bench.load(OK, { fd_array: fdArray(bench, [fd, fd]), fd_array_cnt: 2 });
    expect(bench.prog(result).facts.maps).toHaveLength(1);
    const closed = { fd_array: fdArray(bench, [fd, 99]), fd_array_cnt: 2 };
    expect(bench.load(OK, closed)).toMatchObject({ result: -E.EBADF });
  });

  it("are 64 at most", () => {
    const bench = new Bench();
    const fds = Array.from({ length: 65 }, () => bench.map(BPF.BPF_MAP_TYPE_ARRAY, 4, 1));
    const loads = fds.flatMap((fd) => loadImm64(1, MAP_FD, BigInt(fd)));
    expect(bench.load([...loads.slice(2), ...OK_INSNS]).result).toBeGreaterThanOrEqual(0);
    expect(bench.load([...loads, ...OK_INSNS]).result).toBe(-E.E2BIG);
  });

  it("live as long as a program that uses them", () => {
    const bench = new Bench();
    const fd = bench.map(BPF.BPF_MAP_TYPE_ARRAY, 8, 1);
    const { result } = bench.load(withMap(MAP_FD, BigInt(fd)));
    bench.task.files.close(fd);
    expect(bench.machine.maps.size).toBe(1);
    bench.task.files.close(result);
    expect([bench.machine.maps.size, bench.machine.progs.size]).toEqual([0, 0]);
  });

  it("of one program only open to that program, known by its whole hash", () => {
    const bench = new Bench();
    const hash = sha256(encodeInstructions(withMap(MAP_FD, 0n)));
    for (const [excl, result] of [
      [hash, 0],
      [hash.map((byte) => byte ^ 1), -E.EACCES],
    ] as const) {
      const only = { excl_prog_hash: bench.memory.addressOf(excl), excl_prog_hash_size: 32 };
      const fd = bench.map(BPF.BPF_MAP_TYPE_ARRAY, 8, 1, only);
      const loaded = bench.load(withMap(MAP_FD, BigInt(fd)));
      expect(Math.min(loaded.result, 0)).toBe(result);
      expect(loaded.log.includes("program's hash doesn't match")).toBe(result !== 0);
    }
  });

  it("a prog array takes programs of one type and attach type", () => {
    const bench = new Bench();
    const fd = bench.map(BPF.BPF_MAP_TYPE_PROG_ARRAY, 4, 1);
    const insns = withMap(MAP_FD, BigInt(fd));
    expect(bench.load(insns).result).toBeGreaterThanOrEqual(0);
    expect(bench.load(insns, { prog_type: XDP }).result).toBe(-E.EINVAL);
    expect(bench.load(insns, { expected_attach_type: 17 }).result).toBe(-E.EINVAL);
    expect(bench.load(insns).result).toBeGreaterThanOrEqual(0);
  });

  it.each([
    ["0bd0168676c7c779", MAP_FD, 3n],
    ["28813e616f1f93d1", MAP_VALUE, 3n | (4n << 32n)],
    ["a21f8a2c54979fac", MAP_IDX, 1n],
    ["dcb84a73cf0accf2", MAP_IDX_VALUE, 1n | (4n << 32n)],
  ])("tag %s is Linux's: fds don't count, indices do", (tag, src, value) => {
    const bench = new Bench();
    const fd = bench.map(BPF.BPF_MAP_TYPE_ARRAY, 8, 1);
    expect(fd).toBe(3);
    const { result } = bench.load(withMap(src, value), { fd_array: fdArray(bench, [99, fd]) });
    expect(bench.prog(result).facts.tag).toEqual(bytes(tag));
  });
});

it.each([
  ["aa6b1ed072f93130", "r0 = 129\nexit"],
  ["fb4f2a29d50b7322", "r0 = 0x1122334455667788 ll\nexit"],
  ["6c6d5699f5e533f9", "call 5\nexit"],
  ["7ed397078be9b1e7", "call f\nexit\nf:\nr0 = 0\nexit"],
])("tag %s is Linux's", (tag, source) => {
  const bench = new Bench();
  expect(bench.prog(bench.load(assemble(source)).result).facts.tag).toEqual(bytes(tag));
});

it("keeps where functions begin", () => {
  const bench = new Bench();
  const { result } = bench.load(assemble("call f\nexit\nf:\nr0 = 0\nexit"));
  expect(bench.prog(result).facts.subprograms).toEqual([0, 2]);
  expect(encodeInstructions(bench.prog(result).facts.instructions)).toHaveLength(32);
});
