/** Loading, describing and running programs. */

import { expect, test, vi } from "vitest";
import {
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
  BPF_SK_LOOKUP,
  BpfError,
  decodeFlowKeys,
  Program,
  readStatistics,
  VerifierError,
} from "../../src/index.ts";
import { thrownBy } from "../thrown.ts";
import type { Scene } from "./scenes.ts";
import { FLOW, MISTAKES, UDP_PACKET } from "./stage.ts";

/** Takes the packet's first byte for its answer, and marks the packet. */
const XDP_TEXT = `
  r2 = *(u32 *)(r1 + 0)
  r3 = *(u32 *)(r1 + 4)
  r4 = r2
  r4 += 1
  r0 = 0
  if r4 > r3 goto end
  r0 = *(u8 *)(r2 + 0)
  *(u8 *)(r2 + 0) = 99
end:
  exit
`;

export const programs: Scene = (stage) => {
  test("info tells what was loaded", () => {
    const program = stage().program("r0 = 3\nexit", { name: "three", license: "GPL" });
    expect(program.info).toMatchObject({
      type: BPF_PROG_TYPE_FLOW_DISSECTOR,
      name: "three",
      gplCompatible: true,
      mapIds: [],
    });
    expect(program.info.tag).toMatch(/^[0-9a-f]{16}$/);
    expect(program.info.loadTimeNs).toBeGreaterThan(0n);
    const same = stage().program("r0 = 3\nexit", { name: "drei" });
    expect(same.info.tag, "a tag depends on the instructions alone").toBe(program.info.tag);
    expect(same.info.gplCompatible).toBe(false);
    expect(same.info.id).toBeGreaterThan(program.info.id);
  });

  test("info names the maps of a program", () => {
    const all = stage().collection(FLOW);
    const ids = [all.map("next_program").info.id];
    expect(all.program("dissect").info.mapIds).toEqual(ids);
  });

  test("a name that Linux wouldn't take is made one that it does", () => {
    const program = stage().program(0, { name: "ein-Grüß, der zu lang ist" });
    expect(program.info.name).toBe("ein_Gr____der_z");
  });

  test("a flow dissector's run gives its 56 bytes of keys", () => {
    const dissect = stage().collection(FLOW).program("dissect");
    const { retval, data, durationNs } = dissect.run(UDP_PACKET);
    expect(retval).toBe(0);
    expect(data).toHaveLength(56);
    expect(durationNs).toBeGreaterThanOrEqual(0);
    expect(decodeFlowKeys(data)).toMatchObject({
      nhoff: 14,
      thoff: 34,
      ip_proto: 17,
      ipv4_src: "192.0.2.1",
      ipv4_dst: "192.0.2.2",
      sport: 4660,
      dport: 53,
    });
  });

  test("a flow dissector's run hands the flags on", () => {
    const text = "r1 = *(u64 *)(r1 + 144)\nr0 = *(u32 *)(r1 + 48)\nexit";
    const program = stage().program(text);
    expect(program.run(UDP_PACKET).retval).toBe(0);
    expect(program.run(UDP_PACKET, { flags: 5, repeat: 3 }).retval).toBe(5);
    expect(stage().program(-1).run(UDP_PACKET).retval, "a u32").toBe(0xffff_ffff);
  });

  test("an XDP program's run gives the packet as the program left it", () => {
    const program = stage().program(XDP_TEXT, { type: BPF_PROG_TYPE_XDP });
    const packet = UDP_PACKET.slice();
    const { retval, data } = program.run(packet);
    expect(retval).toBe(2);
    expect([...data]).toEqual([99, ...UDP_PACKET.slice(1)]);
    expect(packet, "the caller's is left alone").toEqual(UDP_PACKET);
  });

  test("a socket filter's run gives the packet back, at its full length", () => {
    const type = BPF_PROG_TYPE_SOCKET_FILTER;
    const { retval, data } = stage()
      .program("r0 = *(u32 *)(r1 + 0)\nexit", { type })
      .run(UDP_PACKET);
    expect(retval, "a socket filter's packet begins with its network header").toBe(
      UDP_PACKET.length - 14,
    );
    expect(data).toHaveLength(UDP_PACKET.length);
    expect(data.subarray(14)).toEqual(UDP_PACKET.subarray(14));
  });

  test("a rejected program is a VerifierError with the log and its verdict", () => {
    const error = thrownBy(() => stage().program("r0 = r9\ngoto +5\nexit", { name: "stray" }));
    expect(error).toBeInstanceOf(VerifierError);
    const { log, message, code } = error as VerifierError;
    expect(code).toBe("EINVAL");
    expect(log).not.toBe("");
    const [, verdict = ""] = /^BPF_PROG_LOAD: EINVAL: program stray was rejected: ([^;]+)/.exec(
      message,
    ) ?? [""];
    expect(log).toContain(verdict);
    expect(verdict).toMatch(/jump out of range|out of range/);
  });

  test("a log is that of its own program, although a buffer serves for all", () => {
    const { kernel } = stage();
    const buffers = new Set<Uint8Array>();
    const addressOf = vi.spyOn(kernel, "addressOf");
    for (const text of ["r0 = r9\nexit", "r0 = r8\nexit", "r0 = 0\nexit"]) {
      const load = (): Program => stage().program(text, { name: "log", logLevel: 2 });
      const log = text.includes("= 0") ? load().log : (thrownBy(load) as VerifierError).log;
      expect(log).toContain(text.split("\n")[0]);
      for (const [bytes] of addressOf.mock.calls) if (bytes.length >= 1 << 18) buffers.add(bytes);
    }
    // Refused before there is anything to say.
    const error = thrownBy(() => stage().program("r0 = r7\nexit", { flags: 1 << 30 }));
    expect(error).toBeInstanceOf(BpfError);
    expect(error).not.toBeInstanceOf(VerifierError);
    addressOf.mockRestore();
    expect(buffers.size).toBe(1);
  });

  test("a VerifierError says why in terms of the source, whichever kernel refused", () => {
    const options = { programs: ["off_by_one"] };
    const error = thrownBy(() => stage().collection(MISTAKES, options)) as VerifierError;
    expect(error).toBeInstanceOf(VerifierError);
    const { cause, instruction, line, registers, words, message } = error;
    expect(cause).toEqual({
      id: "unchecked-packet-access",
      sentence: "the packet may end before this access does",
      mend: "compare data + 14 with data_end before this access",
    });
    expect(instruction).toEqual({ slot: 5, text: "r1 = *(u8 *)(r2 + 0)" });
    expect(line).toMatchObject({
      file: "./examples/mistakes.bpf.c",
      text: "return data[sizeof(struct ethhdr) - 1] == 0 ? XDP_DROP : XDP_PASS;",
    });
    expect(registers).toMatchObject({ R2: "pkt(off=13,r=13)" });
    expect(words).toMatch(/^invalid access to packet, off=13 size=1, R2/);
    expect(message).toContain(`${line?.file}:${line?.line}: the packet may end before`);
  });

  test("a program has the verifier's log when that was asked for", () => {
    const options = { programs: ["mended"] };
    const program = (logLevel?: number): Program =>
      stage()
        .collection(MISTAKES, { ...options, ...(logLevel !== undefined && { logLevel }) })
        .program("mended");
    expect(program().log).toBe("");
    expect(readStatistics(program(4).log)).toMatchObject({
      processed: program().info.verifiedInstructions,
      timeUs: expect.any(Number),
    });
    expect(program(2).log).toMatch(/^; .*data_end.* @ mistakes\.bpf\.c:\d+$/m);
  });

  test("a rejected program leaves no fd open", () => {
    const before = stage().program();
    const { fd } = before;
    before[Symbol.dispose]();
    expect(() => stage().program("goto +5\nexit")).toThrow(VerifierError);
    expect(stage().program().fd).toBe(fd);
  });

  test("half an instruction is the caller's mistake", () => {
    const options = { type: BPF_PROG_TYPE_FLOW_DISSECTOR, instructions: new Uint8Array(12) };
    expect(() => Program.load(stage().kernel, options)).toThrow(
      new RangeError("instructions: 12 bytes are no whole number of 8-byte slots"),
    );
  });

  test("an sk_lookup program can be loaded", () => {
    const options = { type: BPF_PROG_TYPE_SK_LOOKUP, expectedAttachType: BPF_SK_LOOKUP };
    expect(stage().program(1, options).info.type).toBe(BPF_PROG_TYPE_SK_LOOKUP);
  });
};
