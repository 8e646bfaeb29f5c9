/**
 * The example dissector against what Linux gave: for the example capture, and for the vectors of a
 * reference dissector where they lie beside the project.
 */

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BPF_FLOW_KEYS_SIZE } from "../../src/abi/flow_keys.ts";
import { Collection } from "../../src/collection.ts";
import { loadObject } from "../../src/elf/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { NetNs } from "../../src/netns.ts";
import { readCapture } from "../../src/packet/index.ts";
import type { Program } from "../../src/program.ts";
import { describeOnLinux } from "../contract/linux_available.ts";

/** One packet and what came of it on Linux. */
interface Vector {
  readonly name: string;
  readonly packet: string;
  readonly flags: number;
  readonly retval: number;
  readonly keys: string;
}

/** One object's program, with its input flags, over the example capture. */
interface Recording {
  readonly object: string;
  readonly flags: number;
  /** "retval keys" for each packet, keys as hexadecimal digits. */
  readonly outcomes: readonly string[];
}

function read(path: string): Buffer {
  return readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)));
}

const recordings: readonly Recording[] = JSON.parse(`${read("test/vectors/traffic.json")}`).runs;
const packets: Uint8Array[] = [];
for await (const packet of readCapture([read("examples/traffic.pcap")])) {
  packets.push(packet.data.slice());
}

const SHARED = fileURLToPath(
  new URL("../../../shared/vectors/flow-dissector.json", import.meta.url),
);
const vectors: readonly Vector[] = existsSync(SHARED)
  ? JSON.parse(readFileSync(SHARED, "utf8")).vectors
  : [];
if (vectors.length === 0) {
  console.warn("the reference dissector's vectors do not lie beside the project: not compared");
}

function outcomeOf(program: Program, packet: Uint8Array, flags: number): string {
  const { retval, data } = program.run(packet, { flags });
  return `${retval} ${Buffer.from(data).toString("hex")}`;
}

function suite(open: () => Promise<Kernel> | Kernel): void {
  let kernel: Kernel;
  const collections = new Map<string, Collection>();
  const program = (object: string): Program => {
    const collection = collections.get(object) as Collection;
    return collection.program("dissect");
  };
  beforeAll(async () => {
    kernel = await open();
    for (const object of ["flow", "flow-v2"]) {
      const bytes = read(`bpf/${object}.bpf.o`);
      collections.set(object, Collection.load(kernel, loadObject(bytes)));
    }
  });
  afterAll(() => {
    for (const collection of collections.values()) collection[Symbol.dispose]();
    kernel[Symbol.dispose]();
  });

  test.each(recordings)("$object with flags $flags sees the capture as Linux did", (recording) => {
    const { object, flags, outcomes } = recording;
    expect(packets.length).toBe(outcomes.length);
    const seen = packets.map((packet) => outcomeOf(program(object), packet, flags));
    expect(seen).toEqual(outcomes);
  });

  test.runIf(vectors.length > 0).each(vectors)("vector $name", (vector) => {
    const packet = Buffer.from(vector.packet, "hex");
    const seen = outcomeOf(program("flow"), packet, vector.flags);
    expect(seen).toBe(`${vector.retval} ${vector.keys}`);
  });
}

describe.each([
  { engine: "interpreter" },
  { engine: "jit" },
  { engine: "jit", hardened: true },
] as const)("on the embedded kernel with $engine, hardened: $hardened", (options) => {
  suite(() => EmbeddedKernel.boot(options));

  test("a packet on its way through a namespace gets the keys that a test run gets", () => {
    using kernel = EmbeddedKernel.boot(options);
    using netns = NetNs.create(kernel, "vectors");
    using collection = Collection.load(kernel, loadObject(read("bpf/flow.bpf.o")));
    const dissect = collection.program("dissect");
    netns.enter(() => dissect.attach());
    const outcomes = recordings.find(({ object }) => object === "flow")?.outcomes ?? [];
    const seen = packets.map((packet) => {
      const bytes = new Uint8Array(BPF_FLOW_KEYS_SIZE);
      const { retval, keys } = netns.dissect(packet, 0, bytes);
      return `${retval} ${keys === null ? "" : Buffer.from(bytes).toString("hex")}`;
    });
    expect(seen).toEqual(outcomes);
  });
});

await describeOnLinux("on Linux", () => suite(openLinuxKernel));
