/** Whole objects: what is made of them, what is shared, and that a failure leaves nothing. */

import { expect, test } from "vitest";
import { assemble } from "../../src/asm/index.ts";
import {
  BPF_MAP_TYPE_HASH,
  BpfError,
  BpfMap,
  type Kernel,
  loadObject,
  type MapSpec,
  type ObjectSpec,
  type ProgramSpec,
  u32,
  VerifierError,
} from "../../src/index.ts";
import { fixture } from "../elf/fixtures.ts";
import type { Scene } from "./scenes.ts";
import { EVERYTHING, FLOW, FLOW_V2 } from "./stage.ts";

/** The map of the second example object that counts packets. */
const COUNTERS = "proto_packets";

export const collections: Scene = (stage) => {
  test("an object's programs and maps are there by name, its prog array filled", () => {
    const all = stage().collection(FLOW);
    expect([...all.programs.keys()]).toEqual([...FLOW.programs.keys()]);
    expect([...all.maps.keys()]).toEqual([...FLOW.maps.keys()]);
    const slots = [...all.map("next_program").as(u32, u32)];
    const contents = FLOW.maps.get("next_program")?.contents;
    const wanted = contents?.kind === "programs" ? contents.slots : [];
    expect(wanted.length).toBeGreaterThan(3);
    expect(slots).toEqual(wanted.map(({ key, name }) => [key, all.program(name).info.id]));
  });

  test("names that aren't there are answered with those that are", () => {
    const all = stage().collection(FLOW, { programs: ["dissect", "parse_ipv4"] });
    expect(() => all.program("parse_mpls")).toThrow(
      new RangeError("there is no program parse_mpls; there are: dissect, parse_ipv4"),
    );
    expect(() => all.map("flows")).toThrow(/^there is no map flows; there are: next_program$/);
    expect(() => stage().collection(FLOW, { programs: ["nobody"] })).toThrow(
      /^there is no program nobody; there are: dissect, /,
    );
    const maps = { nobody: all.map("next_program") };
    expect(() => stage().collection(FLOW, { maps })).toThrow(/^there is no map nobody; /);
  });

  test("a list of programs loads these, with the maps that they use", () => {
    const all = stage().collection(EVERYTHING, {
      programs: ["dissect", "dissect", "dissect_ipv4"],
    });
    expect([...all.programs.keys()]).toEqual(["dissect", "dissect_ipv4"]);
    expect([...all.maps.keys()]).toEqual(["dissectors", "counters", ".data"]);
    const contents = EVERYTHING.maps.get("dissectors")?.contents;
    const slots = contents?.kind === "programs" ? contents.slots : [];
    const loaded = slots.filter(({ name }) => name === "dissect_ipv4");
    expect(loaded).toHaveLength(1);
    expect([...all.map("dissectors").as(u32, u32)], "the others' slots stay empty").toEqual(
      loaded.map(({ key }) => [key, all.program("dissect_ipv4").info.id]),
    );
  });

  test("data starts as the object has it, and constants are frozen", () => {
    const all = stage().collection(EVERYTHING, { programs: ["dissect_ipv6", "pass"] });
    for (const name of [".data", ".rodata"]) {
      const contents = EVERYTHING.maps.get(name)?.contents;
      expect(contents).toMatchObject({ kind: "bytes" });
      expect(all.map(name).get(u32.encode(0))).toEqual(
        contents?.kind === "bytes" ? contents.bytes : null,
      );
    }
    const constants = all.map(".rodata");
    expect(() => constants.set(u32.encode(0), new Uint8Array(constants.info.valueSize))).toThrow(
      /frozen/,
    );
  });

  test("maps that the caller gives are used, and stay the caller's", () => {
    const first = stage().collection(FLOW);
    const shared = first.map("next_program");
    const second = stage().collection(FLOW, { maps: { next_program: shared } });
    expect(second.map("next_program")).toBe(shared);
    expect(second.program("dissect").info.mapIds).toEqual([shared.info.id]);
    second[Symbol.dispose]();
    expect(shared.fd).toBeGreaterThanOrEqual(0);
  });

  test("a map of another shape is refused, whoever gives it", () => {
    const wrong = stage().map({
      type: BPF_MAP_TYPE_HASH,
      keySize: 4,
      valueSize: 4,
      maxEntries: 2,
    });
    expect(() => stage().collection(FLOW, { maps: { next_program: wrong } })).toThrow(
      /^map next_program can't be shared: it has type 1 instead of 3, maxEntries 2 instead of /,
    );
  });

  test("a map that asks for it is pinned by its name, and shared by the next who loads it", () => {
    const { kernel, world } = stage();
    const options = { pinDirectory: world.pinDirectory };
    const path = `${world.pinDirectory}/${COUNTERS}`;
    const first = stage().collection(SHARING, options);
    expect(stage().pins()).toEqual([COUNTERS]);
    const second = stage().collection(SHARING, options);
    expect(second.map(COUNTERS).info.id).toBe(first.map(COUNTERS).info.id);
    expect(second.map(COUNTERS).fd).not.toBe(first.map(COUNTERS).fd);
    expect(second.map("next_program").info.id).not.toBe(first.map("next_program").info.id);
    kernel.bpffs.unlink(path);

    const other = stage().map({ type: BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 8, maxEntries: 1 });
    other.pin(path);
    expect(() => stage().collection(SHARING, options)).toThrow(
      /^map proto_packets can't be shared: it has type 1 instead of 6, maxEntries 1 instead/,
    );
    expect(kernel.bpffs.unlink(path)).toBe(0);
  });

  test("a failure in the middle leaves nothing behind: no fd, no map, no pin", () => {
    const { kernel, world } = stage();
    const free = lowestFreeFd(kernel);
    const options = { pinDirectory: world.pinDirectory };
    expect(() => stage().collection(BROKEN, options)).toThrow(VerifierError);
    expect(lowestFreeFd(kernel)).toBe(free);
    expect(stage().pins()).toEqual([]);
  });

  test("a failure leaves a pin alone that was there before", () => {
    const { kernel, world } = stage();
    const options = { pinDirectory: world.pinDirectory };
    stage().collection(SHARING, options)[Symbol.dispose]();
    expect(() => stage().collection(BROKEN, options)).toThrow(VerifierError);
    expect(stage().pins()).toEqual([COUNTERS]);
    kernel.bpffs.unlink(`${world.pinDirectory}/${COUNTERS}`);
  });

  test("a pin directory that isn't there is said by name", () => {
    const pinDirectory = `${stage().world.pinDirectory}/nowhere`;
    const load = (): unknown => stage().collection(SHARING, { pinDirectory });
    expect(load).toThrow(BpfError);
    const path = `${pinDirectory}/${COUNTERS}`;
    expect(load).toThrow(`the directory of ${path} doesn't exist; make it first`);
  });

  test("disposing twice is harmless", () => {
    const all = stage().collection(FLOW);
    all[Symbol.dispose]();
    all[Symbol.dispose]();
    expect(() => all.program("dissect").fd).toThrow(TypeError);
  });

  test("an object without types and an object of the smallest kind load as well", () => {
    const { info } = stage()
      .collection({ ...FLOW, btf: null })
      .program("dissect");
    expect(info.tag).toBe(stage().collection(FLOW).program("dissect").info.tag);
    const minimal = loadObject(fixture("minimal.o"));
    expect([...stage().collection(minimal).programs.keys()]).toEqual([...minimal.programs.keys()]);
  });
};

/** The second example object, asking that its counters be shared. */
const SHARING: ObjectSpec = {
  ...FLOW_V2,
  maps: new Map(
    [...FLOW_V2.maps].map(([name, spec]): [string, MapSpec] => [
      name,
      name === COUNTERS ? { ...spec, pinning: "by-name" } : spec,
    ]),
  ),
};

/** The same, but its last program jumps out of itself. */
const BROKEN: ObjectSpec = {
  ...SHARING,
  programs: new Map(
    [...SHARING.programs].map(([name, spec], i): [string, ProgramSpec] => [
      name,
      i < SHARING.programs.size - 1
        ? spec
        : {
            ...spec,
            instructions: assemble("goto +5\nexit"),
            references: [],
            funcInfo: null,
            lineInfo: null,
          },
    ]),
  ),
};

function lowestFreeFd(kernel: Kernel): number {
  using map = BpfMap.create(kernel, {
    type: BPF_MAP_TYPE_HASH,
    keySize: 4,
    valueSize: 4,
    maxEntries: 1,
  });
  return map.fd;
}
