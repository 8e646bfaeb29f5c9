/**
 * Programs on other threads, without the threads: if this fails, a packet of a spread capture meets
 * something else than it would by itself.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH } from "../../../src/abi/bpf.ts";
import { Collection } from "../../../src/collection.ts";
import { loadObject } from "../../../src/elf/index.ts";
import type { BpfMap } from "../../../src/kernel/bpf/map/map.ts";
import type { Prog } from "../../../src/kernel/bpf/prog.ts";
import type { Invocation } from "../../../src/kernel/engine.ts";
import {
  DissectorReplica,
  EmbeddedKernel,
  type HelperCall,
  VERDICT,
} from "../../../src/kernel/index.ts";
import { faultLog } from "../../../src/kernel/interpreter.ts";
import type { Spread } from "../../../src/kernel/jit/spread.ts";
import type { Machine } from "../../../src/kernel/machine.ts";
import { invocationOf } from "../../../src/kernel/net/dissect_batch.ts";
import { PacketBatch } from "../../../src/kernel/net/packet_batch.ts";
import { Link } from "../../../src/link.ts";
import { NetNs } from "../../../src/netns.ts";
import { networkFrame, readCapture } from "../../../src/packet/index.ts";
import { arrayMap, boot, hashMap, program } from "../run/support.ts";

const FLOW_DISSECTOR = 22;
const SHARED = { engine: "jit", sharedMemory: true } as const;

function read(path: string): Buffer {
  return readFileSync(fileURLToPath(new URL(`../../../${path}`, import.meta.url)));
}

/** What a thread would do, here. @returns the helpers that it called. */
function dissectOn(
  spread: Spread | string | number,
  cpu: number,
  batch: PacketBatch,
): HelperCall[] {
  if (typeof spread !== "object") expect.fail(`not spread: ${spread}`);
  const calls: HelperCall[] = [];
  const replica = new DissectorReplica(spread.image, cpu, (call) => {
    calls.push(call);
    return spread.call(batch, call);
  });
  spread.note(cpu, structuredClone(replica.dissect(batch)));
  return calls;
}

test.each(["flow", "flow-v2"])("%s makes the same of the example capture", async (name) => {
  using kernel = EmbeddedKernel.boot({ ...SHARED, possibleCpus: 2 });
  using netns = NetNs.create(kernel, "replica");
  using collection = Collection.load(kernel, loadObject(read(`bpf/${name}.bpf.o`)));
  using _link = Link.attach(collection.program("dissect"), netns);
  using batch = kernel.packetBatch(512, 1 << 18);
  for await (const packet of readCapture([read("examples/traffic.pcap")])) {
    const frame = networkFrame(packet);
    if (frame.data !== null) expect(batch.add(frame, 0)).toBe(true);
  }
  const outcomes = (): unknown[] =>
    Array.from({ length: batch.count }, (_, i) => {
      return [batch.verdict(i), batch.retval(i), Buffer.from(batch.keys(i)).toString("hex")];
    });
  expect(kernel.dissectBatch(netns.fd, batch)).toBe(0);
  const expected = outcomes();
  for (const cpu of [0, 1]) {
    for (let i = 0; i < batch.count; i++) batch.keys(i).fill(0xee);
    dissectOn(kernel.spread(netns.fd, 2), cpu, batch);
    expect(outcomes()).toEqual(expected);
  }
});

/** A batch of empty frames, and a replica of a program that is run on them. */
function scene(
  text: string,
  maps: (machine: Machine) => Record<string, BpfMap> = () => ({}),
): {
  machine: Machine;
  prog: Prog;
  batch: PacketBatch;
  dissect: (cpu: number) => HelperCall[];
} {
  const { machine } = boot(SHARED);
  const prog = program(machine, text, { type: FLOW_DISSECTOR, maps: maps(machine) });
  const batch = PacketBatch.create(machine, 4, 4 * 64);
  if (batch === null) expect.fail("no memory");
  const frame = { networkOffset: 14, protocol: 0x0800 };
  for (let i = 0; i < 4; i++) batch.add({ ...frame, data: new Uint8Array(64).fill(i) }, 0);
  const dissect = (cpu: number): HelperCall[] => {
    return dissectOn(machine.engine.spread(prog, 2), cpu, batch);
  };
  return { machine, prog, batch, dissect };
}

function outcomesOf(batch: PacketBatch): (readonly [verdict: number, retval: number])[] {
  return [0, 1, 2, 3].map((i) => [batch.verdict(i), batch.retval(i)] as const);
}

describe("a run that is stopped", () => {
  const ok = [VERDICT.returned, 7];
  const stopped = [VERDICT.fault, 0];
  const unless = (wrong: string): string =>
    "r6 = *(u32 *)(r1 + 76)\nr0 = 7\nr2 = *(u8 *)(r6 + 0)\nif r2 != 2 goto out\n" +
    `${wrong}\nout:\nexit`;

  test("by a trap is the end of one packet only", () => {
    const { batch, dissect } = scene(unless("r3 = 0xfffffff0 ll\nr0 = *(u64 *)(r3 + 0)"));
    dissect(1);
    expect(outcomesOf(batch)).toEqual([ok, ok, stopped, ok]);
  });

  test.each([
    ["a helper", [0, 3], 10],
    ["a trap", [1, 2], 6],
  ])("is noted in the order of packets, as on the kernel's thread: %s comes last", (...row) => {
    const [, helped, slot] = row;
    const { machine, prog, batch, dissect } = scene(
      `r6 = *(u32 *)(r1 + 76)\nr2 = *(u8 *)(r6 + 0)
      ${helped.map((packet) => `if r2 == ${packet} goto helper`).join("\n")}
      r3 = 0xfffffff0 ll\nr0 = *(u64 *)(r3 + 0)\nexit
      helper:\nr1 = 1\nr2 = 1\ncall bpf_map_lookup_elem\nr0 = 7\nexit`,
    );
    const attached = (): Prog => prog;
    const invocation = (index: number): Invocation => invocationOf(machine, batch, index);
    expect(machine.engine.dissectBatch({ batch, attached, invocation })).toBe(true);
    const { last } = faultLog(machine);
    expect(last?.slot).toBe(slot);
    expect(faultLog(machine).count).toBe(4);
    dissect(1);
    expect(faultLog(machine)).toEqual({ count: 8, last });
  });

  test("by a helper is so, too, and the kernel notes it", () => {
    const { machine, batch, dissect } = scene(
      unless("r1 = 1\nr2 = 1\ncall bpf_map_lookup_elem\nr0 = 7"),
    );
    expect(dissect(1)).toMatchObject([{ cpu: 1, index: 2 }]);
    expect(outcomesOf(batch)).toEqual([ok, ok, stopped, ok]);
    expect(faultLog(machine).count).toBe(1);
  });
});

test("each thread is a CPU, with values of its own", () => {
  const count = (map: string): string =>
    `*(u32 *)(r10 - 4) = 0\nr1 = map_fd[${map}]\nr2 = r10\nr2 += -4\n` +
    `call bpf_map_lookup_elem\nif r0 == 0 goto out_${map}\n` +
    `r1 = *(u64 *)(r0 + 0)\nr1 += 1\n*(u64 *)(r0 + 0) = r1\nout_${map}:\n`;
  const made: { array?: BpfMap; hash?: BpfMap } = {};
  const { machine, batch, dissect } = scene(
    `${count("array")}${count("hash")}call bpf_get_smp_processor_id\nexit`,
    (on) => {
      made.array = arrayMap(on, { type: BPF_MAP_TYPE_PERCPU_ARRAY });
      made.hash = hashMap(on, { type: BPF_MAP_TYPE_PERCPU_HASH });
      const cell = on.memory.alloc(16);
      expect(made.hash.update(cell, cell + 8, 0, 0)).toBe(0);
      return { array: made.array, hash: made.hash };
    },
  );
  for (const cpu of [1, 1, 0]) {
    expect(dissect(cpu)).toEqual([]);
    expect(outcomesOf(batch).map(([, retval]) => retval)).toEqual([cpu, cpu, cpu, cpu]);
  }
  const key = machine.memory.alloc(8);
  for (const map of [made.array, made.hash]) {
    const values = [0, 1].map((cpu) => {
      const address = map?.lookup(key, cpu) ?? 0;
      return machine.memory.view.getBigUint64(address, true);
    });
    expect(values).toEqual([4n, 8n]);
  }
});

describe("programs are not spread", () => {
  test.each([
    ["of an interpreter", { engine: "interpreter", sharedMemory: true }, /interpreter/],
    ["that nobody can reach", { engine: "jit" }, /memory was not made to be shared/],
    ["that are checked", { ...SHARED, hardened: true }, /hardened/],
    ["over more threads than CPUs", { ...SHARED, possibleCpus: 1 }, /has one CPU/],
  ] as const)("%s", (_what, options, reason) => {
    using kernel = EmbeddedKernel.boot({ possibleCpus: 2, ...options });
    using netns = NetNs.create(kernel, "replica");
    expect(kernel.spread(netns.fd, 2)).toMatch(reason);
    expect(kernel.spread(-1, 2)).toBe(-9);
  });
});
