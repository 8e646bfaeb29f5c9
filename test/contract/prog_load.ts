/**
 * BPF_PROG_LOAD: what is refused by its attr or its shape, and what only a verifier can refuse.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { BAD_POINTER, type Case, type Fields, SK_LOOKUP_PROGRAM, SOCKET_FILTER } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

type LoadFields = Fields<typeof bpf.BPF_PROG_LOAD>;

const encodeText = (text: string): Uint8Array => new TextEncoder().encode(text);
const load = (c: Case, fields: LoadFields = {}): string =>
  c.outcome(bpf.BPF_PROG_LOAD, { ...c.programFields(), ...fields });
const loadText = (c: Case, text: string): string =>
  c.outcome(bpf.BPF_PROG_LOAD, c.programFields({ text }));
/** Raw instructions, as hexadecimal digits. */
const loadInsns = (c: Case, hex: string): string => {
  const insns = Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
  return load(c, { insns: c.at(insns), insn_cnt: insns.length / 8 });
};

const EXIT = "95 00 0000 00000000";
const R0_0 = "b7 00 0000 00000000";

export const progLoad: Chapter = {
  title: "PROG_LOAD",
  rules: (rules) => {
    attr(rules);
    types(rules);
    shape(rules);
    log(rules);
    context(rules);
    packet(rules);
    dataFlow(rules);
  },
};

function attr({ rule }: Rules): void {
  rule("an instruction count of 0 or over a million is E2BIG", (c) => {
    expect(load(c, { insn_cnt: 0 })).toBe("E2BIG");
    expect(load(c, { insn_cnt: bpf.BPF_MAXINSNS_PRIVILEGED + 1 })).toBe("E2BIG");
    expect(load(c, { insn_cnt: 0xffffffff })).toBe("E2BIG");
  });

  rule("an unknown type is EINVAL", (c) => {
    expect(load(c, { prog_type: 999 })).toBe("EINVAL");
    expect(load(c, { prog_type: 0 })).toBe("EINVAL");
  });

  rule("bad pointers to instructions or license are EFAULT", (c) => {
    expect(load(c, { insns: BAD_POINTER })).toBe("EFAULT");
    expect(load(c, { license: BAD_POINTER })).toBe("EFAULT");
    expect(load(c, { insns: 0n })).toBe("EFAULT");
    expect(load(c, { license: 0n })).toBe("EFAULT");
  });

  rule("flags nobody knows are EINVAL", (c) => {
    expect(load(c, { prog_flags: 0x80000000 })).toBe("EINVAL");
    expect(load(c, { prog_flags: bpf.BPF_F_ANY_ALIGNMENT })).toBe("ok");
  });

  rule("a name is at most 15 letters, digits, dots and underscores", (c) => {
    expect(load(c, { prog_name: encodeText("with-dash") })).toBe("EINVAL");
    expect(load(c, { prog_name: encodeText("with space") })).toBe("EINVAL");
    expect(load(c, { prog_name: encodeText("a".repeat(16)) })).toBe("EINVAL");
    expect(load(c, { prog_name: encodeText("contract_v.1234") })).toBe("ok");
    const fd = c.must(bpf.BPF_PROG_LOAD, {
      ...c.programFields(),
      prog_name: encodeText("contract\0-b"),
    });
    const name = new TextDecoder().decode(c.progInfo(fd).name);
    expect(name, "bytes after the NUL").toBe("contract".padEnd(16, "\0"));
  });

  rule("a license longer than its room is cut off, not refused", (c) => {
    const fd = c.program({ license: "GPL".padEnd(300, "x") });
    expect(c.progInfo(fd).gpl_compatible & 1).toBe(0);
  });
}

function types({ rule, ruleOf }: Rules): void {
  rule("a flow dissector may have any expected_attach_type", (c) => {
    for (const expected of [0, bpf.BPF_FLOW_DISSECTOR, bpf.BPF_SK_LOOKUP, 9999]) {
      expect(load(c, { expected_attach_type: expected }), `${expected}`).toBe("ok");
    }
  });

  rule("sk_lookup has to have its own", (c) => {
    const fields = c.programFields(SK_LOOKUP_PROGRAM);
    expect(load(c, fields)).toBe("ok");
    for (const expected of [0, bpf.BPF_FLOW_DISSECTOR]) {
      expect(load(c, { ...fields, expected_attach_type: expected })).toBe("EINVAL");
    }
  });

  rule("a flow dissector may return any number", (c) => {
    expect(loadText(c, "r0 = 12345\nexit")).toBe("ok");
    expect(loadText(c, "r0 = -1\nexit")).toBe("ok");
  });

  ruleOf("verifier", "sk_lookup has to return 0 or 1", (c) => {
    const returning = (number: number): string =>
      load(c, c.programFields({ ...SK_LOOKUP_PROGRAM, text: `r0 = ${number}\nexit` }));
    expect([0, 1, 2, -1].map(returning)).toEqual(["ok", "ok", "EINVAL", "EINVAL"]);
  });
}

function shape({ rule }: Rules): void {
  const shapes: readonly (readonly [what: string, insns: string, outcome: string])[] = [
    ["no exit at the end", R0_0, "EINVAL"],
    ["an unknown opcode", `${R0_0} ff 00 0000 00000000 ${EXIT}`, "EINVAL"],
    ["register 11", `b7 0b 0000 00000000 ${R0_0} ${EXIT}`, "EINVAL"],
    ["a write to the frame pointer", `b7 0a 0000 00000000 ${R0_0} ${EXIT}`, "EACCES"],
    ["a jump past the end", `${R0_0} 05 00 0500 00000000 ${EXIT}`, "EINVAL"],
    ["a jump before the start", `${R0_0} 05 00 f0ff 00000000 ${EXIT}`, "EINVAL"],
    [
      "a jump into a two-slot load",
      `${R0_0} 05 00 0100 00000000 18 01 0000 00000000 00 00 0000 00000000 ${EXIT}`,
      "EINVAL",
    ],
    ["half of a two-slot load", `${R0_0} 18 01 0000 00000000`, "EINVAL"],
    ["a second slot that isn't one", `18 01 0000 00000000 ${R0_0} ${EXIT}`, "EINVAL"],
    ["reserved fields in exit", `${R0_0} 95 00 0000 01000000`, "EINVAL"],
    ["reserved fields in a move", `b7 10 0000 00000000 ${EXIT}`, "EINVAL"],
    ["a division by the constant 0", `${R0_0} 37 00 0000 00000000 ${EXIT}`, "EINVAL"],
    ["a shift by 64", `${R0_0} 67 00 0000 40000000 ${EXIT}`, "EINVAL"],
    ["a shift of a word by 32", `${R0_0} 64 00 0000 20000000 ${EXIT}`, "EINVAL"],
    ["instructions that nothing reaches", `${R0_0} ${EXIT} ${R0_0} ${EXIT}`, "EINVAL"],
    ["a helper that doesn't exist", `85 00 0000 ffff0000 ${EXIT}`, "EINVAL"],
    ["a map fd that is closed", `18 11 0000 3f420f00 00 00 0000 00000000 ${R0_0} ${EXIT}`, "EBADF"],
  ];
  for (const [what, insns, outcome] of shapes) {
    rule(`${what} is ${outcome}`, (c) => expect(loadInsns(c, insns)).toBe(outcome));
  }

  rule("a map fd that is no map is EINVAL", (c) => {
    const fields = c.programFields({
      text: "r1 = map_fd[m]\nr0 = 0\nexit",
      constants: { m: c.program() },
    });
    expect(load(c, fields)).toBe("EINVAL");
  });

  rule("a program holds the maps it names", (c) => {
    const m = c.map();
    const { id } = c.mapInfo(m);
    const fd = c.program({ text: "r1 = map_fd[m]\nr0 = 0\nexit", constants: { m } });
    c.close(m);
    expect(c.exists(bpf.BPF_MAP_GET_FD_BY_ID, id)).toBe(true);
    c.close(fd);
  });
}

function log({ rule }: Rules): void {
  rule("a buffer, its size and a level go together", (c) => {
    const log_buf = c.at(new Uint8Array(256));
    expect(load(c, { log_level: 1, log_size: 256 }), "no buffer").toBe("EINVAL");
    expect(load(c, { log_level: 1, log_buf }), "no size").toBe("EINVAL");
    expect(load(c, { log_buf, log_size: 256 }), "no level").toBe("EINVAL");
    expect(load(c, { log_buf }), "a buffer alone").toBe("EINVAL");
    expect(load(c, { log_size: 256 }), "a size alone").toBe("EINVAL");
  });

  rule("a level alone asks how long the log would be", (c) => {
    const fields = { ...c.programFields({ text: "r0 = 0" }), log_level: 1 };
    const { outcome, attr: out } = c.answer(bpf.BPF_PROG_LOAD, fields);
    expect(outcome).toBe("EINVAL");
    expect(out.log_true_size).toBeGreaterThan(1);
  });

  rule("an unknown log level is EINVAL", (c) => {
    const log_buf = c.at(new Uint8Array(4096));
    expect(load(c, { log_buf, log_size: 4096, log_level: 16 })).toBe("EINVAL");
  });

  rule("a log tells why a program was refused, and ends with a NUL", (c) => {
    const buffer = new Uint8Array(4096).fill(0xee);
    const fields = { log_buf: c.at(buffer), log_size: buffer.length, log_level: 1 };
    const { outcome, attr: out } = c.answer(bpf.BPF_PROG_LOAD, {
      ...c.programFields({ text: "r0 = 0" }),
      ...fields,
    });
    expect(outcome).toBe("EINVAL");
    const end = buffer.indexOf(0);
    expect(end).toBeGreaterThan(0);
    expect(out.log_true_size).toBe(end + 1);
  });

  rule("a log that doesn't fit is ENOSPC", (c) => {
    const fields = { log_buf: c.at(new Uint8Array(8)), log_size: 8, log_level: 2 };
    expect(load(c, fields)).toBe("ENOSPC");
  });
}

function context({ ruleOf }: Rules): void {
  const accesses: readonly (readonly [what: string, text: string, outcome: string])[] = [
    ["len (0)", "r0 = *(u32 *)(r1 + 0)", "EACCES"],
    ["protocol (16)", "r0 = *(u32 *)(r1 + 16)", "EACCES"],
    ["data (76) as u32", "r0 = *(u32 *)(r1 + 76)\nr0 = 0", "ok"],
    ["data (76) as u16", "r0 = *(u16 *)(r1 + 76)\nr0 = 0", "EACCES"],
    ["data_end (80) as u32", "r0 = *(u32 *)(r1 + 80)\nr0 = 0", "ok"],
    ["flow_keys (144) as u64", "r0 = *(u64 *)(r1 + 144)\nr0 = 0", "ok"],
    ["flow_keys (144) as u32", "r0 = *(u32 *)(r1 + 144)\nr0 = 0", "EACCES"],
    ["a write to data", "r0 = 0\n*(u32 *)(r1 + 76) = r0", "EACCES"],
    ["a byte past the end", "r0 = *(u8 *)(r1 + 192)\nr0 = 0", "EACCES"],
  ];
  for (const [what, text, outcome] of accesses) {
    ruleOf("verifier", `context of a flow dissector: ${what} is ${outcome}`, (c) => {
      expect(loadText(c, `${text}\nexit`)).toBe(outcome);
    });
  }

  const keys: readonly (readonly [what: string, text: string, outcome: string])[] = [
    ["a read of the last two bytes", "r0 = *(u16 *)(r2 + 54)", "ok"],
    ["a read past the end", "r0 = *(u8 *)(r2 + 56)", "EACCES"],
    ["a read over the end", "r0 = *(u32 *)(r2 + 54)", "EACCES"],
    ["a read before the start", "r0 = *(u8 *)(r2 - 1)", "EACCES"],
    ["a write", "*(u32 *)(r2 + 52) = 7", "ok"],
    ["an unaligned read", "r0 = *(u32 *)(r2 + 2)", "ok"],
    ["a pointer moved by a constant", "r2 += 16\nr0 = *(u32 *)(r2 + 0)", "ok"],
    [
      "a pointer moved by a variable",
      "r3 = *(u32 *)(r2 + 0)\nr3 &= 7\nr2 += r3\nr0 = *(u8 *)(r2 + 0)",
      "EACCES",
    ],
  ];
  for (const [what, text, outcome] of keys) {
    ruleOf("verifier", `flow keys: ${what} is ${outcome}`, (c) => {
      expect(loadText(c, `r2 = *(u64 *)(r1 + 144)\n${text}\nr0 = 0\nexit`)).toBe(outcome);
    });
  }
}

function packet({ ruleOf }: Rules): void {
  const bounds = "r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr4 = r2\nr4 += 14";
  const checked = `${bounds}\nr0 = 0\nif r4 > r3 goto out`;

  ruleOf("verifier", "a packet may be read as far as was compared with its end", (c) => {
    expect(loadText(c, `${checked}\nr0 = *(u8 *)(r2 + 13)\nout:\nexit`)).toBe("ok");
    expect(loadText(c, `${checked}\nr0 = *(u8 *)(r2 + 14)\nout:\nexit`)).toBe("EACCES");
    expect(loadText(c, `${bounds}\nr0 = *(u8 *)(r2 + 0)\nexit`)).toBe("EACCES");
  });

  ruleOf("verifier", "a packet may not be written", (c) => {
    expect(loadText(c, `${checked}\n*(u8 *)(r2 + 0) = 1\nout:\nexit`)).toBe("EACCES");
  });
}

function dataFlow({ rule, ruleOf }: Rules): void {
  ruleOf("verifier", "a register that was never written can't be read", (c) => {
    expect(loadText(c, "exit")).toBe("EACCES");
    expect(loadText(c, "r0 = r5\nexit")).toBe("EACCES");
  });

  ruleOf("verifier", "the stack has 512 bytes, and is read where it was written", (c) => {
    expect(loadText(c, "*(u64 *)(r10 - 512) = 1\nr0 = *(u64 *)(r10 - 512)\nexit")).toBe("ok");
    expect(loadText(c, "*(u64 *)(r10 - 520) = 1\nr0 = 0\nexit")).toBe("EACCES");
    expect(loadText(c, "*(u64 *)(r10 + 0) = 1\nr0 = 0\nexit")).toBe("EACCES");
  });

  ruleOf("verifier", "a pointer may be returned by a task with CAP_PERFMON", (c) => {
    expect(loadText(c, "r0 = r1\nexit")).toBe("ok");
  });

  ruleOf("verifier", "a pointer may be stored by a task with CAP_PERFMON", (c) => {
    const text = "r2 = *(u64 *)(r1 + 144)\n*(u64 *)(r2 + 16) = r1\nr0 = 0\nexit";
    expect(loadText(c, text)).toBe("ok");
  });

  rule("a helper that the type may not call is EINVAL", (c) => {
    const redirect = "r1 = 1\nr2 = 0\ncall 23\nr0 = 0\nexit";
    expect(loadText(c, redirect)).toBe("EINVAL");
    const scheduler = { ...SOCKET_FILTER, text: redirect };
    expect(load(c, c.programFields(scheduler))).toBe("EINVAL");
  });

  ruleOf("verifier", "a loop without an end is EINVAL", (c) => {
    expect(loadText(c, "r0 = 0\nagain:\ngoto again\nexit")).toBe("EINVAL");
  });
}
