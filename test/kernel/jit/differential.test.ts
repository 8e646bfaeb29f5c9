/**
 * The same random programs on the interpreter and as compiled code: a program that they don't agree
 * on computes something else than Linux does on one of them.
 *
 * NSLINK_JIT_PROGRAMS says how many there are, NSLINK_JIT_SEED where to begin (elsewhere
 * in each run, by default).
 * More, through the whole kernel and on Linux, run in test/engines/.
 */
import { describe, expect, test } from "vitest";
import { BPF_PROG_TYPE_XDP } from "../../../src/abi/bpf.ts";
import { contextOf } from "../../../src/kernel/bpf/context.ts";
import type { BpfMap } from "../../../src/kernel/bpf/map/map.ts";
import { type Prog, ProgFile } from "../../../src/kernel/bpf/prog.ts";
import { Random } from "../../random.ts";
import { numberSetting, seedSetting } from "../../settings.ts";
import {
  arrayMap,
  type BootOptions,
  boot,
  ENGINES,
  hashMap,
  progArray,
  program,
} from "../run/support.ts";
import { PACKET_BYTES, randomProgram, TAIL_PROGRAMS } from "./generator.ts";

const PROGRAMS = numberSetting("NSLINK_JIT_PROGRAMS", 1000);
const FIRST_SEED = seedSetting("NSLINK_JIT_SEED");
const PERCPU_ARRAY = 6;
const LRU_HASH = 9;
const CONTEXT_BYTES = 24;
const VALUE_BYTES = 16;
const MAX_ELEMENTS = 5;

/** A machine with maps, a packet, and programs to tail call. */
class Rig {
  readonly #bench: ReturnType<typeof boot>;
  readonly #maps: Readonly<Record<string, BpfMap>>;
  readonly #context: number;
  readonly #packet: number;
  readonly #cell: number;
  readonly #layout = contextOf(BPF_PROG_TYPE_XDP) ?? null;

  constructor(options: BootOptions) {
    this.#bench = boot(options);
    const { machine } = this.#bench;
    const hash = { keySize: 12, valueSize: VALUE_BYTES, maxEntries: MAX_ELEMENTS };
    this.#maps = {
      array: arrayMap(machine, { valueSize: VALUE_BYTES, maxEntries: 6 }),
      percpu: arrayMap(machine, { type: PERCPU_ARRAY, valueSize: VALUE_BYTES, maxEntries: 7 }),
      hash: hashMap(machine, hash),
      lru: hashMap(machine, { ...hash, type: LRU_HASH }),
      bytes: hashMap(machine, { ...hash, keySize: 7, maxEntries: 7 }),
      progs: progArray(machine, TAIL_PROGRAMS),
    };
    this.#context = machine.memory.alloc(CONTEXT_BYTES);
    this.#packet = machine.memory.alloc(PACKET_BYTES);
    this.#cell = machine.memory.alloc(VALUE_BYTES);
  }

  /** Puts a program in the prog array. */
  store(index: number, text: string): void {
    const { machine, task } = this.#bench;
    const prog = this.#load(text);
    const fd = task.files.add(new ProgFile(prog));
    machine.memory.view.setUint32(this.#cell, index, true);
    machine.memory.view.setUint32(this.#cell + 4, fd, true);
    expect(this.#maps.progs?.userUpdate(task, this.#cell, this.#cell + 4, 0)).toBe(0);
    task.files.close(fd);
  }

  /** All that a run leaves behind, with maps and packet as new before. */
  run(text: string, seed: number): string {
    const { machine } = this.#bench;
    const { memory } = machine;
    this.#bench.now = 1_000_000n;
    this.#bench.tick = 7n;
    const random = new Random(seed);
    for (let i = 0; i < PACKET_BYTES; i++)
      memory.view.setUint8(this.#packet + i, random.below(256));
    const end = this.#packet + PACKET_BYTES;
    memory.view.setUint32(this.#context, this.#packet, true);
    memory.view.setUint32(this.#context + 4, end, true);
    memory.view.setUint32(this.#context + 8, this.#packet, true);
    for (const map of Object.values(this.#maps)) this.#reset(map);
    const prog = this.#load(text);
    const outcome = machine.engine.run(prog, {
      context: this.#context,
      layout: this.#layout,
      regions: [{ start: this.#packet, end, writable: true }],
      skb: null,
    });
    prog.put();
    if (outcome === null) throw new RangeError("no memory");
    if (outcome.fault !== null) return `fault: ${outcome.fault.message}`;
    const contents = Object.entries(this.#maps).map(([name, map]) => `${name} ${this.#dump(map)}`);
    return [
      `r0 ${outcome.r0}`,
      `packet ${this.#hex(this.#packet, PACKET_BYTES)}`,
      ...contents,
    ].join("\n");
  }

  #load(text: string): Prog {
    return program(this.#bench.machine, text, { type: BPF_PROG_TYPE_XDP, maps: this.#maps });
  }

  #reset(map: BpfMap): void {
    if (map === this.#maps.progs) return;
    const { bytes } = this.#bench.machine.memory;
    for (let key = this.#next(map); key !== null; key = this.#next(map)) {
      if (map.delete(this.#cell) === 0) continue;
      for (let i = 0; i < map.facts.maxEntries; i++) {
        this.#bench.machine.memory.view.setUint32(this.#cell, i, true);
        const value = map.userLookup(this.#cell);
        bytes.fill(i + 1, value, value + map.userValueSize);
      }
      return;
    }
  }

  /** The first key, left in the cell. */
  #next(map: BpfMap): number | null {
    return map.nextKey(0, this.#cell) === 0 ? this.#cell : null;
  }

  #dump(map: BpfMap): string {
    const found: string[] = [];
    for (let from = 0; map.nextKey(from, this.#cell) === 0; from = this.#cell) {
      const value = map.userLookup(this.#cell);
      if (value === 0) continue;
      const key = this.#hex(this.#cell, map.facts.keySize);
      found.push(`${key}=${this.#hex(value, map.userValueSize)}`);
    }
    return found.sort().join(" ");
  }

  #hex(address: number, size: number): string {
    const { bytes } = this.#bench.machine.memory;
    return Buffer.from(bytes.subarray(address, address + size)).toString("hex");
  }
}

const compiled = Object.entries(ENGINES).filter(([, { engine }]) => engine === "jit");

describe.each(compiled)("interpreter and %s", (_name, options) => {
  test("agree on all that random programs leave behind", () => {
    const oracle = new Rig({ engine: "interpreter" });
    const other = new Rig(options);
    for (let i = 0; i < TAIL_PROGRAMS; i++) {
      const text = randomProgram(0x7a11 + i);
      oracle.store(i, text);
      other.store(i, text);
    }
    let faults = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + PROGRAMS; seed++) {
      const text = randomProgram(seed);
      const expected = oracle.run(text, seed);
      if (expected.startsWith("fault")) {
        faults++;
        if (faults < 5) console.log(expected);
        continue;
      }
      const seen = other.run(text, seed);
      if (seen !== expected) expect(`seed ${seed}\n${seen}\n${text}`).toBe(expected);
    }
    // Programs that the interpreter stops say nothing about the other.
    expect(faults).toBeLessThan(PROGRAMS / 100);
  });
});
