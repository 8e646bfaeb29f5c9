import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as BPF from "../../src/abi/bpf.ts";
import * as INSN from "../../src/abi/insn.ts";
import {
  FUNC_INFO_SIZE,
  formatType,
  LINE_INFO_SIZE,
  loadObject,
  type MapSpec,
  type ObjectSpec,
  type ProgramSpec,
} from "../../src/elf/index.ts";
import { meaningOfSection, nearestSection } from "../../src/elf/section_names.ts";
import { fixture } from "./fixtures.ts";

const CPUS = ["v1", "v2", "v3", "v4"] as const;
const everything = loadObject(fixture("everything.v3.o"));
const sections = loadObject(fixture("sections.o"));

function program(object: ObjectSpec, name: string): ProgramSpec {
  const found = object.programs.get(name);
  if (!found) throw new RangeError(`there is no program ${name}`);
  return found;
}

function map(object: ObjectSpec, name: string): MapSpec {
  const found = object.maps.get(name);
  if (!found) throw new RangeError(`there is no map ${name}`);
  return found;
}

/** The instruction at a slot: opcode, source register and the two halves of the immediate. */
function instruction({ instructions }: ProgramSpec, slot: number) {
  const view = new DataView(instructions.buffer, instructions.byteOffset + slot * 8);
  return {
    opcode: view.getUint8(0),
    source: view.getUint8(1) >> 4,
    immediate: view.getInt32(4, true),
    high: view.byteLength >= 16 ? view.getInt32(12, true) : 0,
  };
}

/** Linux's tag: a hash of the instructions without the immediates that refer to maps. */
function tag({ instructions, references }: ProgramSpec): string {
  const bytes = instructions.slice();
  const view = new DataView(bytes.buffer);
  for (const { slot } of references) {
    view.setUint32(slot * 8 + 4, 0, true);
    view.setUint32(slot * 8 + 12, 0, true);
  }
  return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
}

describe("linking", () => {
  // Breaks if a call, a callback or the order of subprograms differs from what libbpf links.
  const TAGS: Record<string, Record<string, string>> = {
    "everything.v1.o": {
      dissect_ipv4: "65280b614e56c3cc",
      dissect_ipv6: "2bf2976f948b7ea5",
      dissect: "ec0e6f9ba8d20d43",
      filter: "65b9c4713a13a2f7",
      filter_all: "7ebda15a06d5c2ce",
      pass: "79e36552a2c8fb84",
      choose: "239171eeff72bc12",
    },
    "everything.v2.o": {
      dissect_ipv4: "65280b614e56c3cc",
      dissect_ipv6: "2bf2976f948b7ea5",
      dissect: "ec0e6f9ba8d20d43",
      filter: "65b9c4713a13a2f7",
      filter_all: "7ebda15a06d5c2ce",
      pass: "97e5bd0d23b14e6b",
      choose: "239171eeff72bc12",
    },
    "everything.v3.o": {
      dissect_ipv4: "cc785b46d08dc029",
      dissect_ipv6: "2aba0a834f442521",
      dissect: "c78b1cb88b56afc8",
      filter: "15c2b04a28c53490",
      filter_all: "d19d4a64c84bdb7a",
      pass: "cb7533494592052e",
      choose: "ff1bd1c7b72085e5",
    },
    "everything.v4.o": {
      dissect_ipv4: "b416c633e9f87103",
      dissect_ipv6: "2aba0a834f442521",
      dissect: "c78b1cb88b56afc8",
      filter: "a3871fefacf4b40c",
      filter_all: "abac8850691c54ac",
      pass: "cb7533494592052e",
      choose: "ff1bd1c7b72085e5",
    },
    "minimal.o": { pass_long: "668b6c28f4e01045", accept_all: "b30cf65b7e0fa9c7" },
    "core.o": { filter: "3a502ca2d2e31230" },
  };

  it.each(Object.keys(TAGS))("gives the programs of %s the tags they have on Linux", (name) => {
    const { programs } = loadObject(fixture(name));
    const tags = Array.from(programs.values(), (spec) => [spec.name, tag(spec)]);
    expect(Object.fromEntries(tags)).toEqual(TAGS[name]);
  });

  it("puts subprograms behind the program, each once, in the order of the calls", () => {
    expect(program(everything, "filter").subprograms).toEqual([
      { name: "filter", slot: 0 },
      { name: "add_step", slot: 53 },
      { name: "add_flow", slot: 59 },
      { name: "scale", slot: 67 },
      { name: "shrink", slot: 75 },
    ]);
    const { subprograms } = program(everything, "dissect");
    expect(subprograms.map(({ name }) => name)).toEqual(["dissect", "bump_twice", "bump"]);
  });

  it("makes a callback's address relative to the instruction that loads it", () => {
    const spec = program(everything, "filter");
    const slots = Array.from({ length: spec.instructions.length / 8 }, (_, slot) => slot);
    const addresses = slots
      .map((slot) => ({ slot, ...instruction(spec, slot) }))
      .filter(({ opcode, source }) => {
        return opcode === INSN.BPF_LD_IMM64 && source === INSN.BPF_PSEUDO_FUNC;
      });
    expect(addresses.map(({ slot, immediate }) => slot + immediate + 1)).toEqual([53, 59]);
  });

  it("follows calls inside a program's section and across sections", () => {
    const spec = program(sections, "one");
    expect(spec.subprograms).toEqual([
      { name: "one", slot: 0 },
      { name: "local_to_section", slot: 9 },
      { name: "elsewhere", slot: 20 },
    ]);
    expect(instruction(spec, 2)).toMatchObject({ opcode: 0x85, source: 1, immediate: 6 });
    expect(instruction(spec, 7)).toMatchObject({ opcode: 0x85, source: 1, immediate: 12 });
    // A static function in a program's section is no program of its own.
    expect([...sections.programs.keys()]).not.toContain("local_to_section");
  });

  it("comes to an end when a program calls itself", () => {
    const spec = program(sections, "recursive");
    expect(spec.subprograms).toEqual([{ name: "recursive", slot: 0 }]);
    expect(instruction(spec, 5)).toMatchObject({ opcode: 0x85, source: 1, immediate: -6 });
  });
});

describe("programs", () => {
  it("get type, attach type and flags from the name of their section", () => {
    const facts = Array.from(everything.programs.values(), (spec) => {
      const { name, section, type, expectedAttachType, flags, autoload, license } = spec;
      expect(license).toBe("Dual BSD/GPL");
      return [name, section, type, expectedAttachType, flags, autoload];
    });
    const { BPF_PROG_TYPE_FLOW_DISSECTOR: DISSECTOR, BPF_FLOW_DISSECTOR } = BPF;
    expect(facts).toEqual([
      ["dissect_ipv4", "flow_dissector", DISSECTOR, BPF_FLOW_DISSECTOR, 0, true],
      ["dissect_ipv6", "flow_dissector", DISSECTOR, BPF_FLOW_DISSECTOR, 0, true],
      ["dissect", "flow_dissector", DISSECTOR, BPF_FLOW_DISSECTOR, 0, true],
      ["filter", "socket", BPF.BPF_PROG_TYPE_SOCKET_FILTER, 0, 0, true],
      ["filter_all", "socket", BPF.BPF_PROG_TYPE_SOCKET_FILTER, 0, 0, true],
      ["pass", "?xdp.frags", BPF.BPF_PROG_TYPE_XDP, BPF.BPF_XDP, BPF.BPF_F_XDP_HAS_FRAGS, false],
      ["choose", "sk_lookup", BPF.BPF_PROG_TYPE_SK_LOOKUP, BPF.BPF_SK_LOOKUP, 0, true],
    ]);
  });

  it("keep an unknown section as a program without a type, and take suffixes", () => {
    expect(program(sections, "unknown").type).toBe(BPF.BPF_PROG_TYPE_UNSPEC);
    expect(program(sections, "elsewhere").type).toBe(BPF.BPF_PROG_TYPE_XDP);
    expect(program(sections, "recursive").type).toBe(BPF.BPF_PROG_TYPE_SOCKET_FILTER);
  });

  it.each([
    ["socket1", "socket"],
    ["socket_filter", "socket"],
    ["xdp_custom", "xdp"],
    ["?flow_disector", "flow_dissector"],
    ["sk_lookp/name", "sk_lookup"],
    ["kprob/vfs_write", "kprobe"],
    ["2/17", null],
    ["nobody/knows", null],
    ["", null],
  ])("whose section is %s were to be in %s", (section, nearest) => {
    expect(nearestSection(section)).toBe(nearest);
  });

  it.each([
    ["kprobe/vfs_write", BPF.BPF_PROG_TYPE_KPROBE, 0],
    ["cgroup/connect4", BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF.BPF_CGROUP_INET4_CONNECT],
    ["tp/sched/sched_switch", BPF.BPF_PROG_TYPE_TRACEPOINT, 0],
    ["uprobe.multi/x", BPF.BPF_PROG_TYPE_KPROBE, BPF.BPF_TRACE_UPROBE_MULTI],
    ["sk_skb/stream_parser/x", BPF.BPF_PROG_TYPE_SK_SKB, BPF.BPF_SK_SKB_STREAM_PARSER],
  ])("in the section %s have its type", (section, type, expectedAttachType) => {
    expect(meaningOfSection(section)).toMatchObject({ type, expectedAttachType });
  });

  it.each(CPUS)("of %s refer to maps where the relocations say so", (cpu) => {
    const object = loadObject(fixture(`everything.${cpu}.o`));
    for (const spec of object.programs.values()) {
      for (const { slot, map: name, kind, offset } of spec.references) {
        const source = kind === "fd" ? INSN.BPF_PSEUDO_MAP_FD : INSN.BPF_PSEUDO_MAP_VALUE;
        const opcode = INSN.BPF_LD_IMM64;
        const { opcode: found, ...rest } = instruction(spec, slot);
        expect([found, rest]).toEqual([opcode, { source, immediate: 0, high: offset }]);
        expect(object.maps.has(name)).toBe(true);
      }
    }
    const { references } = program(object, "filter");
    expect(references.map(({ map: name, kind, offset }) => [name, kind, offset])).toEqual([
      ["per_cpu", "fd", 0],
      ["flows", "fd", 0],
      ["empty_slots", "fd", 0],
      ["seen", "fd", 0],
      [".bss", "value", 8],
      [".data.tuning", "value", 0],
      [".rodata", "value", 0],
    ]);
    expect(program(object, "dissect_ipv6").references).toMatchObject([
      { map: ".data", offset: 8 },
      { map: ".bss", offset: 0 },
    ]);
  });

  it("without -g have no debug information", () => {
    const object = loadObject(fixture("minimal.o"));
    expect(object.btf).toBeNull();
    const none = { funcInfo: null, lineInfo: null, lines: [] };
    expect(program(object, "pass_long")).toMatchObject({ ...none, license: "GPL" });
    expect(map(object, ".rodata.str1.1").contents).toEqual({
      kind: "bytes",
      bytes: new TextEncoder().encode("short\n\0"),
    });
  });
});

describe("maps", () => {
  const plain = {
    flags: 0,
    numaNode: 0,
    mapExtra: 0n,
    pinning: "none",
    inner: null,
    contents: null,
    freeze: false,
  };

  it("are what .maps declares", () => {
    expect(map(everything, "flows")).toMatchObject({
      ...plain,
      type: BPF.BPF_MAP_TYPE_HASH,
      keySize: 4,
      valueSize: 12,
      maxEntries: 128,
      flags: BPF.BPF_F_NO_PREALLOC,
      pinning: "by-name",
    });
    expect(map(everything, "counters")).toMatchObject({
      ...plain,
      type: BPF.BPF_MAP_TYPE_ARRAY,
      keySize: 4,
      valueSize: 8,
      maxEntries: 2,
      flags: BPF.BPF_F_NUMA_NODE,
      keyTypeId: 0,
      valueTypeId: 0,
    });
    expect(map(everything, "seen")).toMatchObject({
      ...plain,
      type: BPF.BPF_MAP_TYPE_BLOOM_FILTER,
      keySize: 0,
      valueSize: 4,
      mapExtra: 3n,
      keyTypeId: 0,
      valueTypeId: 0,
    });
    expect(map(sections, "second")).toMatchObject({ ...plain, type: BPF.BPF_MAP_TYPE_ARRAY });
  });

  it("name their key and value types", () => {
    const { btf } = everything;
    const { keyTypeId, valueTypeId } = map(everything, "flows");
    expect(btf && formatType(btf, keyTypeId)).toBe("__u32");
    expect(btf && formatType(btf, valueTypeId)).toBe("struct flow");
  });

  it("hold programs and maps by their values", () => {
    expect(map(everything, "dissectors")).toMatchObject({
      type: BPF.BPF_MAP_TYPE_PROG_ARRAY,
      valueSize: 4,
      contents: {
        kind: "programs",
        slots: [
          { key: 0, name: "dissect_ipv4" },
          { key: 2, name: "dissect_ipv6" },
        ],
      },
    });
    expect(map(everything, "by_zone")).toMatchObject({
      type: BPF.BPF_MAP_TYPE_ARRAY_OF_MAPS,
      valueSize: 4,
      inner: { name: "by_zone.inner", type: BPF.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 8 },
      contents: {
        kind: "maps",
        slots: [
          { key: 0, name: "first_inner" },
          { key: 2, name: "second_inner" },
        ],
      },
    });
  });

  it("come from sections of data, with their bytes", () => {
    const u32 = (...words: number[]): Uint8Array => new Uint8Array(new Uint32Array(words).buffer);
    const array = { ...plain, type: BPF.BPF_MAP_TYPE_ARRAY, keySize: 4, maxEntries: 1 };
    const readOnly = { ...array, flags: BPF.BPF_F_RDONLY_PROG, freeze: true };
    expect(map(everything, ".data")).toMatchObject({
      ...array,
      contents: { kind: "bytes", bytes: u32(40, 0, 2) },
    });
    expect(map(everything, ".data.tuning")).toMatchObject({
      ...array,
      contents: { kind: "bytes", bytes: u32(11) },
    });
    expect(map(everything, ".bss")).toMatchObject({ ...array, valueSize: 72, contents: null });
    expect(map(everything, ".rodata.table")).toMatchObject({
      ...readOnly,
      contents: { kind: "bytes", bytes: u32(1, 2, 3) },
    });
    const { contents } = map(everything, ".rodata");
    const text = contents?.kind === "bytes" ? new TextDecoder().decode(contents.bytes) : "";
    expect(text).toBe("\u0007\0\0\0nslink\0a packet on queue %d\0");
  });
});

describe("BTF", () => {
  it("has the sizes and places that Linux wants, which clang leaves out", () => {
    const { btf } = everything;
    const describedBy = (name: string) =>
      btf?.types.find((type) => type.kind === "datasec" && type.name === name);
    const names = (name: string) => {
      const section = describedBy(name);
      if (section?.kind !== "datasec") return [];
      return section.variables.map(({ type, offset }) => [btf?.types[type]?.name, offset]);
    };
    expect(describedBy(".bss")).toMatchObject({ size: 72 });
    expect(names(".bss")).toEqual([
      ["drops", 0],
      ["zeroes", 8],
    ]);
    expect(names(".data")).toEqual([
      ["packets", 0],
      ["quirks", 8],
    ]);
    expect(names(".maps").map(([name]) => name)).toEqual([...everything.maps.keys()].slice(0, 9));
  });

  it("turns hidden functions static, and leaves the others", () => {
    const linkage = (name: string) =>
      everything.btf?.types.find((type) => type.kind === "func" && type.name === name);
    expect(linkage("shrink")).toMatchObject({ linkage: 0 });
    expect(linkage("scale")).toMatchObject({ linkage: 1 });
    expect(linkage("bump")).toMatchObject({ linkage: 0 });
  });

  it("is hashed here to the bytes that libbpf gave Linux for the same object", () => {
    const raw = everything.btf?.raw ?? new Uint8Array(0);
    expect(createHash("sha256").update(raw).digest("hex")).toBe(
      "3e99d1075764503251381925c9d479c30d5fd04c145fb4b3b34060b8b44ba3d9",
    );
  });

  it("formats types as C writes them", () => {
    const { btf } = everything;
    const texts = new Set(btf?.types.map((type) => (btf ? formatType(btf, type.id) : "")));
    for (const text of [
      "struct flow",
      "__u32",
      "const volatile __u32",
      "int (*)[3]",
      "struct __sk_buff *",
      "__u32 zeroes[16]",
      "int filter()",
      "int (*[])()",
    ]) {
      expect(texts).toContain(text);
    }
  });
});

describe("debug information", () => {
  it("has a func_info for each function of a program, at its slot", () => {
    const { funcInfo, subprograms } = program(everything, "filter");
    const view = new DataView(funcInfo?.buffer ?? new ArrayBuffer(0));
    const records = Array.from({ length: view.byteLength / FUNC_INFO_SIZE }, (_, index) => ({
      slot: view.getUint32(index * FUNC_INFO_SIZE, true),
      name: everything.btf?.types[view.getUint32(index * FUNC_INFO_SIZE + 4, true)]?.name,
    }));
    expect(records).toEqual(subprograms);
  });

  it.each(CPUS)("of %s quotes the source it was compiled from", (cpu) => {
    const source = readFileSync(new URL("./fixtures/everything.bpf.c", import.meta.url), "utf8");
    const sourceLines = source.split("\n");
    for (const spec of loadObject(fixture(`everything.${cpu}.o`)).programs.values()) {
      expect(spec.lines.length * LINE_INFO_SIZE).toBe(spec.lineInfo?.length);
      let last = -1;
      for (const { slot, file, line, text } of spec.lines) {
        expect(file).toBe("./everything.bpf.c");
        expect(text).toBe(sourceLines[line - 1]?.trimEnd());
        expect(slot).toBeGreaterThan(last);
        last = slot;
      }
      const starts = new Set(spec.lines.map(({ slot }) => slot));
      for (const { slot } of spec.subprograms) expect(starts.has(slot)).toBe(true);
    }
  });
});

describe("objects", () => {
  it("stay the same when the bytes they were read from change", () => {
    const bytes = fixture("everything.v3.o");
    const object = loadObject(bytes);
    bytes.fill(0);
    expect(object).toEqual(everything);
  });

  it("read the same from a Buffer, whose slice() doesn't copy", () => {
    const bytes = Buffer.from(fixture("everything.v3.o"));
    expect(loadObject(bytes)).toEqual(everything);
    expect(bytes.equals(fixture("everything.v3.o"))).toBe(true);
  });

  it("list their sections", () => {
    expect(everything.sections.find(({ name }) => name === "socket")).toMatchObject({
      size: 640,
      type: 1,
      flags: 6,
    });
    expect(everything.sections.find(({ name }) => name === ".bss")).toMatchObject({
      size: 72,
      type: 8,
    });
  });

  it("take CO-RE relocations that need no kernel BTF", () => {
    const spec = program(loadObject(fixture("core.o")), "filter");
    // skb->mark lies at byte 8 of the struct that the source declares.
    const view = new DataView(spec.instructions.buffer);
    const offsets = spec.lines.filter(({ text }) => text.includes("skb->mark"));
    expect(offsets.some(({ slot }) => view.getInt16(slot * 8 + 2, true) === 8)).toBe(true);
  });
});
