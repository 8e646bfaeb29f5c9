/**
 * What helpers return: the numbers are those of Linux 6.18.
 */
import { describe, expect, test } from "vitest";
import { BPF_FUNC } from "../../../src/abi/helpers.ts";
import { SUPPORTED_HELPERS } from "../../../src/kernel/helpers/index.ts";
import { interpret } from "../../../src/kernel/interpreter.ts";
import { arrayMap, boot, ENGINES, hashMap, program, run } from "./support.ts";

describe.each(Object.entries(ENGINES))("on the %s", (_engine, options) => {
  /** r0 as s64. */
  function result(text: string, bench = boot(options), maps = {}): number {
    const { r0, fault } = run(bench.machine, program(bench.machine, text, { maps }));
    if (fault !== null) throw fault;
    return Number(BigInt.asIntN(64, r0));
  }

  test("the helpers of the first release are there, and no others are claimed", () => {
    const { map_lookup_elem, map_update_elem, map_delete_elem, tail_call, skb_load_bytes } =
      BPF_FUNC;
    for (const id of [
      map_lookup_elem,
      map_update_elem,
      map_delete_elem,
      tail_call,
      skb_load_bytes,
    ]) {
      expect(SUPPORTED_HELPERS.has(id)).toBe(true);
    }
    expect(SUPPORTED_HELPERS.size).toBe(21);
    expect(SUPPORTED_HELPERS.has(BPF_FUNC.redirect)).toBe(false);
  });

  describe("maps", () => {
    const KEY = "r1 = map_fd[m]\nr2 = r10\nr2 += -8\n";
    const VALUE = "r3 = r10\nr3 += -16\n";

    test("update, lookup in place, delete", () => {
      const bench = boot(options);
      const m = hashMap(bench.machine);
      const text =
        "*(u64 *)(r10 - 8) = 3\n*(u64 *)(r10 - 16) = 40\n" +
        `${KEY}${VALUE}r4 = 1\ncall bpf_map_update_elem\nr6 = r0\n` +
        `${KEY}call bpf_map_lookup_elem\nif r0 == 0 goto end\n*(u64 *)(r0 + 0) = 41\n` +
        `${KEY}call bpf_map_lookup_elem\nr7 = *(u64 *)(r0 + 0)\n` +
        `${KEY}${VALUE}r4 = 1\ncall bpf_map_update_elem\nr8 = r0\n` +
        `${KEY}call bpf_map_delete_elem\nr9 = r0\n${KEY}call bpf_map_delete_elem\n` +
        "r0 *= 1000\nr0 += r7\nr6 += r9\nif r6 != 0 goto end\nif r8 != -17 goto end\nexit\n" +
        "end:\nr0 = 1\nexit";
      expect(result(text, bench, { m })).toBe(-2 * 1000 + 41);
    });

    test("a key that is not there", () => {
      const bench = boot(options);
      expect(
        result(`${KEY}call bpf_map_lookup_elem\nexit`, bench, { m: hashMap(bench.machine) }),
      ).toBe(0);
    });

    test("flags past 32 bits are unknown flags", () => {
      const bench = boot(options);
      const text = `${KEY}${VALUE}r4 = 0x100000000 ll\ncall bpf_map_update_elem\nexit`;
      expect(result(text, bench, { m: hashMap(bench.machine) })).toBe(-22);
    });

    test("a per-CPU array gives the value of the CPU that runs", () => {
      const bench = boot(options);
      const m = arrayMap(bench.machine, { type: 6, maxEntries: 1 });
      bench.machine.memory.view.setUint32(m.base, 5, true);
      expect(
        result(`${KEY}call bpf_map_lookup_elem\nr0 = *(u64 *)(r0 + 0)\nexit`, bench, { m }),
      ).toBe(5);
    });
  });

  describe("machine", () => {
    test.each([
      ["ktime_get_ns", 2_240_358_000_001],
      ["ktime_get_boot_ns", 2_240_358_000_001],
      ["ktime_get_coarse_ns", 2_240_356_000_000],
      // 250 a second, from 5 minutes before 2^32 on.
      ["jiffies64", 2 ** 32 - 75_000 + 560_089],
      ["get_prandom_u32", 0x9abcdef0],
      ["get_smp_processor_id", 0],
      ["get_numa_node_id", 0],
    ])("bpf_%s", (name, value) => {
      const bench = boot(options);
      bench.now = 2_240_358_000_001n;
      expect(result(`call bpf_${name}\nexit`, bench)).toBe(value);
    });
  });

  describe("sockets", () => {
    const TUPLE = "*(u64 *)(r10 - 16) = 0\nr2 = r10\nr2 += -16\nr4 = -1\nr5 = 0\n";

    test.each(["sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp"])("bpf_%s finds none", (name) => {
      expect(result(`${TUPLE}r3 = 12\ncall bpf_${name}\nexit`)).toBe(0);
      expect(result(`${TUPLE}r3 = 0\ncall bpf_${name}\nexit`)).toBe(0);
    });

    test("a lookup wants a context and a tuple that is there", () => {
      expect(() => result(`${TUPLE}r1 = 8\nr3 = 12\ncall bpf_sk_lookup_udp\nexit`)).toThrow();
      expect(() => result(`${TUPLE}r3 = 17\ncall bpf_sk_lookup_udp\nexit`)).toThrow();
    });

    test("bpf_sk_assign takes two flags", () => {
      const assign = (flags: string): number =>
        result(`r2 = 0\nr3 = ${flags} ll\ncall bpf_sk_assign\nexit`);
      expect([assign("0"), assign("3"), assign("4"), assign("0x100000000")]).toEqual([
        0, 0, -22, -22,
      ]);
    });
  });

  describe("bpf_strncmp", () => {
    test.each([
      ["abc", 4, "abc", 0],
      ["abd", 4, "abc", 1],
      ["aba", 4, "abc", -1],
      ["abz", 2, "abc", 0],
      ["\xff", 2, "abc", 1],
      ["abc\0q", 8, "abc\0z", 0],
      ["b", 1, "abc", 1],
      ["a", 8, "abc", -1],
      ["a", 0, "b", 0],
    ])("%j, %i, %j: %i", (first, size, second, expected) => {
      const bench = boot(options);
      const m = arrayMap(bench.machine, { maxEntries: 1, valueSize: 8 });
      const bytes = Uint8Array.from(second, (character) => character.charCodeAt(0));
      bench.machine.memory.bytes.set(bytes, m.base);
      const word = Array.from(first).reduceRight(
        (sum, c) => sum * 256n + BigInt(c.charCodeAt(0)),
        0n,
      );
      const text =
        `r1 = ${word} ll\n*(u64 *)(r10 - 8) = r1\nr1 = r10\nr1 += -8\nr2 = ${size}\n` +
        "r3 = map_value[m][0]\ncall bpf_strncmp\nexit";
      expect(result(text, bench, { m })).toBe(expected);
    });
  });

  describe("bpf_skb_load_bytes", () => {
    const text = (offset: string, size: number): string =>
      `*(u64 *)(r10 - 8) = -1\nr2 = ${offset} ll\nr3 = r10\nr3 += -8\nr4 = ${size}\n` +
      "call bpf_skb_load_bytes\nr0 <<= 32\nr1 = *(u32 *)(r10 - 8)\nr0 |= r1\nexit";

    function load(offset: string, size: number, skb: boolean): [number, number] {
      const { machine } = boot(options);
      const packet = machine.memory.alloc(64);
      for (let i = 0; i < 64; i++) machine.memory.bytes[packet + i] = i;
      const data = packet + 14;
      const outcome = interpret(machine, program(machine, text(offset, size)), {
        context: 0x1000,
        layout: null,
        regions: [],
        skb: skb ? { head: packet, network: data, data, tail: packet + 64 } : null,
      });
      expect(outcome?.fault).toBeNull();
      const r0 = outcome?.r0 ?? 0n;
      return [Number(BigInt.asIntN(32, r0 >> 32n)), Number(r0 & 0xffff_ffffn)];
    }

    test("counts from the network header", () => {
      expect(load("0", 4, true)).toEqual([0, 0x11100f0e]);
      expect(load("46", 4, true)).toEqual([0, 0x3f3e3d3c]);
      expect(load("0x100000000", 4, true)).toEqual([0, 0x11100f0e]);
    });

    test.each(["47", "50", "0x7fffffff", "0xffffffff", "0xfffffffffffffff2"])(
      "at %s: -EFAULT and a zeroed buffer",
      (offset) => {
        expect(load(offset, 4, true)).toEqual([-14, 0]);
      },
    );

    test("without a socket buffer: -EFAULT and a zeroed buffer", () => {
      expect(load("0", 4, false)).toEqual([-14, 0]);
      expect(load("0", 2, false)).toEqual([-14, 0xffff0000]);
    });
  });

  describe("bpf_trace_printk", () => {
    /** The format and "ABCDE" on the stack; r3 to r5 as given, "S" for the string's address. */
    function print(
      format: string,
      args: readonly (bigint | "S")[],
      size?: number,
    ): [number, string[]] {
      const bench = boot(options);
      const bytes = Uint8Array.from(`${format}\0`, (character) => character.charCodeAt(0));
      const padded = new Uint8Array(Math.ceil(bytes.length / 8) * 8);
      padded.set(bytes);
      const view = new DataView(padded.buffer);
      const lines = ["r1 = 0x4544434241 ll", "*(u64 *)(r10 - 256) = r1"];
      for (let i = 0; i < padded.length; i += 8) {
        lines.push(
          `r1 = ${view.getBigUint64(i, true)} ll`,
          `*(u64 *)(r10 - ${padded.length - i}) = r1`,
        );
      }
      args.forEach((value, i) => {
        if (value === "S") lines.push(`r${3 + i} = r10`, `r${3 + i} += -256`);
        else lines.push(`r${3 + i} = ${BigInt.asUintN(64, value)} ll`);
      });
      lines.push("r1 = r10", `r1 += -${padded.length}`, `r2 = ${size ?? bytes.length}`);
      lines.push("call bpf_trace_printk", "exit");
      return [result(lines.join("\n"), bench), bench.traced];
    }

    // What Linux 6.18 printed and returned.
    test.each<[string, number, string, readonly (bigint | "S")[]]>([
      ["hi", 2, "hi", []],
      ["hi\n", 3, "hi", []],
      ["%d", 2, "-5", [-5n]],
      ["%d", 2, "-1", [0x1ffffffffn]],
      ["%i", 1, "5", [5n]],
      ["%u", 10, "4294967295", [-1n]],
      ["%x %X", 5, "ff FF", [255n, 255n]],
      ["%ld", 2, "-1", [-1n]],
      ["%lu", 20, "18446744073709551615", [-1n]],
      ["%lx", 16, "ffffffffffffffff", [-1n]],
      ["%lld", 2, "-1", [-1n]],
      ["%llX", 16, "FFFFFFFFFFFFFFFF", [-1n]],
      ["%px", 16, "0000000012345678", [0x12345678n]],
      ["%p", 16, "0000000000000000", [0n]],
      ["%s", 5, "ABCDE", ["S"]],
      ["%s|", 1, "|", [0x1234n]],
      ["[%5s]", 7, "[ABCDE]", ["S"]],
      ["%-12s|", 13, "ABCDE       |", ["S"]],
      ["[%-5d]", 7, "[7    ]", [7n]],
      ["[%05d]", 7, "[00007]", [7n]],
      ["[%5d]", 7, "[    7]", [7n]],
      ["%08llx", 8, "00000abc", [0xabcn]],
      ["%+d", 2, "+5", [5n]],
      ["% d", 2, " 5", [5n]],
      ["%%", 1, "%", []],
      ["%% %d%%", 4, "% 3%", [3n]],
      ["%c", 1, "A", [65n]],
      ["%5c|", 6, "    A|", [65n]],
      ["%-3c|", 4, "A  |", [65n]],
      ["%d %d %d", 5, "1 2 3", [1n, 2n, 3n]],
      ["%pI4", 11, "65.66.67.68", ["S"]],
      ["%pi6", 32, "41424344450000000000000000000000", ["S"]],
      ["%pB", 3, "0x1", [1n]],
      ["%pks", 5, "ABCDE", ["S"]],
      ["a\xc3\xa9", 3, "aé", []],
      ["a\0bc", 1, "a", []],
      ["\t\n", 2, "\t", []],
    ])("%j: %i", (format, length, line, args) => {
      expect(print(format, args)).toEqual([length, [line]]);
    });

    test.each([
      "%hd",
      "%o",
      "%f",
      "%",
      "%z",
      "%l",
      "%lll",
      "%d %d %d %d",
      "%#x",
      "%.3d",
      "%ls",
      "%5%",
      "%lc",
      "%*d",
      "\x01a",
      "\x7f",
    ])("%j: -EINVAL and no line", (format) => {
      expect(print(format, [1n, 2n, 3n])).toEqual([-22, []]);
    });

    test("a format must end with a NUL", () => {
      expect(print("abc", [], 3)).toEqual([-22, []]);
      expect(print("abc", [], 0)).toEqual([-22, []]);
    });

    test("a long line is cut, and its length is not", () => {
      const [length, lines] = print("%123456d", [7n]);
      expect(length).toBe(123_456);
      expect(lines.map((line) => line.length)).toEqual([1023]);
    });
  });
});
