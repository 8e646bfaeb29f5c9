/** Users are sent to the wrong line, or told the wrong contents of a register, if this breaks. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { assemble } from "../../src/asm/index.ts";
import { explainVerdict, listVerdictCauses, readStatistics } from "../../src/index.ts";

/** What Linux 6.18 writes at level 1. */
const PACKET_LOG = `0: R1=ctx() R10=fp0
; void *data = (void *)(long)ctx->data; @ parse.bpf.c:12
0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=pkt(r=0)
1: (61) r3 = *(u32 *)(r1 +4)          ; R1=ctx() R3=pkt_end()
2: (bf) r4 = r2                       ; R2=pkt(r=0) R4=pkt(r=0)
3: (07) r4 += 14                      ; R4=pkt(off=14,r=0)
4: (2d) if r4 > r3 goto pc+2          ; R3=pkt_end() R4=pkt(off=14,r=14)
; return data[14]; @ parse.bpf.c:15
5: (71) r0 = *(u8 *)(r2 +14)
invalid access to packet, off=14 size=1, R2(id=0,off=14,r=14)
R2 offset is outside of the packet
processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
`;

const LOOKUP_LOG = `0: R1=ctx() R10=fp0
0: (b7) r6 = 0                        ; R6=0
1: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,ks=8,vs=48)
2: (bf) r7 = r0                       ; R7=map_value_or_null(id=1,ks=8,vs=48)
3: (15) if r0 == 0x0 goto pc+2        ; R0=map_value(ks=8,vs=48)
4: (79) r1 = *(u64 *)(r7 +48)
invalid access to map value, value_size=48 off=48 size=8
R7 min value is outside of the allowed memory range
processed 5 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
`;

const LOOP_LOG = `0: R1=ctx() R10=fp0
0: (85) call bpf_ktime_get_ns#5       ; R0=scalar()
1: (55) if r0 != 0x0 goto pc-2 infinite loop detected at insn 0
cur state: R0=scalar(umin=1) R10=fp0
old state: R0=scalar(umin=1) R10=fp0
processed 13 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
`;

const CALL_LOG = `0: R1=ctx() R10=fp0
0: (bf) r6 = r1                       ; R1=ctx() R6=ctx()
1: (85) call pc+2
caller:
 R6=ctx() R10=fp0
callee:
 frame1: R1=ctx() R10=fp0
4: frame1: R1=ctx() R10=fp0
4: (71) r0 = *(u8 *)(r1 +0)
invalid bpf_context access off=0 size=1
processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
`;

describe("explainVerdict", () => {
  test("finds instruction, line, registers and cause in Linux's log alone", () => {
    const { cause, ...rest } = explainVerdict(PACKET_LOG);
    expect(rest).toEqual({
      message:
        "invalid access to packet, off=14 size=1, R2(id=0,off=14,r=14)\n" +
        "R2 offset is outside of the packet",
      instruction: { slot: 5, text: "r0 = *(u8 *)(r2 +14)" },
      line: { file: "parse.bpf.c", line: 15, text: "return data[14];" },
      registers: { R2: "pkt(r=14)" },
    });
    expect(cause).toEqual({
      id: "unchecked-packet-access",
      sentence: "the packet may end before this access does",
      mend: "compare data + 15 with data_end before this access",
    });
  });

  test("the program's own instructions and lines win over the log's words", () => {
    const text = `${"r0 = 1\n".repeat(5)}r0 = *(u8 *)(r2 + 14)\nexit`;
    const lines = [
      { slot: 0, file: "src/parse.bpf.c", line: 12, text: "" },
      { slot: 4, file: "src/parse.bpf.c", line: 14, text: "\treturn data[14];" },
      { slot: 6, file: "src/parse.bpf.c", line: 16, text: "}" },
    ];
    const program = { instructions: assemble(text), lines };
    const { instruction, line } = explainVerdict(PACKET_LOG, program);
    expect(instruction).toEqual({ slot: 5, text: "r0 = *(u8 *)(r2 + 14)" });
    expect(line).toEqual({ file: "src/parse.bpf.c", line: 14, text: "return data[14];" });
  });

  test("what a comparison with NULL told holds for copies, which Linux doesn't write", () => {
    const { cause, registers } = explainVerdict(LOOKUP_LOG);
    expect(registers).toEqual({ R7: "map_value(ks=8,vs=48)" });
    expect(cause?.mend).toBe(
      "keep the offset between 0 and 40: the value has 48 bytes, and 8 are accessed",
    );
  });

  test("how large a value is, and how much is accessed, stands in other places, too", () => {
    const message = "R7 unbounded memory access, make sure to bounds check any such access";
    const log = LOOKUP_LOG.replace(/invalid access(.*\n){2}/, `${message}\n`);
    expect(explainVerdict(log).cause?.mend).toMatch(/^keep the offset between 0 and 40: /);
  });

  test("a message behind an instruction is about the one that it names", () => {
    const { cause, instruction, message } = explainVerdict(LOOP_LOG, {
      instructions: assemble("call bpf_ktime_get_ns\nif r0 != 0 goto -2\nr0 = 0\nexit"),
    });
    expect(message).toBe("infinite loop detected at insn 0");
    expect(cause?.id).toBe("endless-loop");
    expect(instruction).toEqual({ slot: 0, text: "call bpf_ktime_get_ns" });
  });

  test("a function has registers of its own", () => {
    const { registers, instruction } = explainVerdict(CALL_LOG);
    expect(instruction?.slot).toBe(4);
    expect(registers).toEqual({ R1: "ctx()" });
  });

  test("words that nobody knows have no cause, and figures alone are no message", () => {
    const figures = PACKET_LOG.slice(PACKET_LOG.indexOf("processed"));
    expect(explainVerdict(figures)).toMatchObject({ message: "", cause: null, instruction: null });
    expect(explainVerdict(`the moon is wrong\n${figures}`)).toMatchObject({
      message: "the moon is wrong",
      cause: null,
    });
    expect(explainVerdict("")).toMatchObject({ message: "", registers: {} });
  });
});

describe("logs that were cut or garbled", () => {
  const logs = fc.constantFrom(PACKET_LOG, LOOKUP_LOG, LOOP_LOG, CALL_LOG);

  test("are read as far as they go, and nothing is thrown", () => {
    fc.assert(
      fc.property(logs, fc.nat(), fc.nat(), fc.string(), (log, start, length, noise) => {
        const at = start % log.length;
        const garbled = log.slice(0, at) + noise + log.slice(at + (length % log.length));
        for (const text of [garbled, log.slice(at)]) {
          const { message, instruction, registers } = explainVerdict(text);
          expect(typeof message).toBe("string");
          expect(instruction === null || instruction.slot >= 0).toBe(true);
          for (const contents of Object.values(registers)) expect(contents).not.toBe("");
        }
      }),
    );
  });

  test("a source line is no verdict, whatever stands in it", () => {
    const log = PACKET_LOG.replace("return data[14];", "R1 !read_ok; // invalid func");
    expect(explainVerdict(log).cause?.id).toBe("unchecked-packet-access");
  });
});

describe("readStatistics", () => {
  test("reads the last line, and the time where there is one", () => {
    const states = { maxStatesPerInstruction: 0, totalStates: 0, peakStates: 0 };
    expect(readStatistics(PACKET_LOG)).toEqual({
      ...{ processed: 6, limit: 1_000_000, timeUs: null },
      ...states,
    });
    const timed = PACKET_LOG.replace("processed", "verification time 84 usec\nprocessed");
    expect(readStatistics(timed)?.timeUs).toBe(84);
  });

  test("a log that was cut has none", () => {
    expect(readStatistics(PACKET_LOG.slice(0, 200))).toBeNull();
  });
});

test("causes have ids of their own, a sentence each and something that mends", () => {
  const causes = listVerdictCauses();
  expect(new Set(causes.map(({ id }) => id)).size).toBe(causes.length);
  for (const { id, sentence, mend } of causes) {
    expect(id).toMatch(/^[a-z]+(-[a-z]+)*$/);
    for (const text of [sentence, mend]) expect(text, id).toMatch(/^\S.{10,}[^.\s]$/);
    expect(mend, id).not.toContain("NaN");
  }
});
