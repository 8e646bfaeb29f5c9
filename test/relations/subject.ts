/**
 * The embedded kernel that programs are tried on: everything in its memory that a run may not
 * touch is looked at after it, and a program can be run up to some slot without being verified.
 */

import { BPF_PROG_TYPE_XDP } from "../../src/abi/bpf.ts";
import { contextOf } from "../../src/kernel/bpf/context.ts";
import { ArrayMap } from "../../src/kernel/bpf/map/array.ts";
import { MapFile } from "../../src/kernel/bpf/map/map.ts";
import { Prog, ProgFile } from "../../src/kernel/bpf/prog.ts";
import type { EngineName, Invocation, Outcome } from "../../src/kernel/engine.ts";
import { interpret } from "../../src/kernel/interpreter.ts";
import { Machine } from "../../src/kernel/machine.ts";
import { bpf } from "../../src/kernel/syscall.ts";
import { ALL_CAPABILITIES, type Task } from "../../src/kernel/task.ts";
import { BufferMemory } from "../../src/kernel/user_memory.ts";
import { ManualScheduler } from "../../src/kernel/workqueue.ts";
import { exit, type Linked, link, mapsOf, move, type Source } from "./code.ts";
import { type Input, packetOf } from "./inputs.ts";
import { type Furniture, furnish, loadProgram, relocated } from "./loader.ts";
import { IN, OUT, OUT_BYTES, WRITABLE } from "./maps.ts";

/** Runs that aren't verified end after so many instructions. */
const PROBE_LIMIT = 5000;
/** Accepted runs take less: helpers' rounds are few. */
const RUN_LIMIT = 2_000_000;
const CONTEXT_BYTES = 192;
const PACKET_ROOM = 256;
const MEMORY_BYTES = 1 << 22;
const LOG_BYTES = 1 << 20;
const REGISTERS = 11;
const LINK_HEADER_BYTES = 14;

/** What runs of a program on some inputs left behind. */
export interface Left {
  /** Return values, and the contents of all maps that it may write. */
  readonly results: string;
  /** What it did that it must not, in words; null when nothing. */
  readonly harm: string | null;
}

/** Bytes of linear memory. */
type Range = readonly [start: number, end: number];

/** One kernel, with maps and a packet. */
export class Subject {
  readonly name: string;
  readonly machine: Machine;
  readonly #task: Task;
  readonly #memory: BufferMemory = new BufferMemory();
  readonly #furniture: Furniture;
  readonly #maps: readonly ArrayMap[];
  readonly #context: number;
  readonly #packet: number;
  readonly #givenContext: Buffer = Buffer.alloc(CONTEXT_BYTES);
  readonly #snapshot: Buffer;
  /** What no run may change, but for values of maps that the program names. */
  readonly #kept: readonly Range[];
  /** Start and end of the values of {@link WRITABLE}. */
  readonly #values: readonly Range[];

  constructor(engine: EngineName, hardened: boolean) {
    this.name = hardened ? "hardened jit" : engine;
    this.machine = new Machine({
      clock: { monotonicNs: () => 0n },
      random: () => 4,
      scheduler: new ManualScheduler(),
      possibleCpus: 1,
      memoryLimitBytes: MEMORY_BYTES,
      preempt: () => {},
      trace: () => {},
      engine,
      hardened,
    });
    const { machine } = this;
    this.#task = machine.spawn({
      netns: machine.namespaces.init,
      capabilities: ALL_CAPABILITIES,
      uid: 0,
      openFilesLimit: 64,
      memory: this.#memory,
    });
    this.#furniture = furnish(this);
    this.#maps = this.#furniture.maps.map((fd) => this.#map(fd));
    this.#values = WRITABLE.map((index) => this.#valueRange(index));
    this.#context = machine.memory.alloc(CONTEXT_BYTES);
    this.#packet = machine.memory.alloc(PACKET_ROOM);
    const scratch = this.#warmUp();
    this.#snapshot = Buffer.from(machine.memory.bytes);
    const written: Range[] = [
      ...scratch,
      [this.#context, this.#context + CONTEXT_BYTES],
      [this.#packet, this.#packet + PACKET_ROOM],
    ];
    this.#kept = gaps(written, this.#snapshot.length);
  }

  bpf(cmd: number, attr: Uint8Array): number {
    return bpf(this.#task, cmd, attr, attr.length);
  }

  addressOf(buffer: Uint8Array): bigint {
    return this.#memory.addressOf(buffer);
  }

  #map(fd: number): ArrayMap {
    const file = this.#task.file(fd, MapFile);
    if (typeof file === "number" || !(file.map instanceof ArrayMap)) {
      throw new TypeError(`fd ${fd} is no array`);
    }
    return file.map;
  }

  #valueRange(index: number): Range {
    const map = this.#maps[index] as ArrayMap;
    const { maxEntries, valueSize } = map.facts;
    return [map.base, map.base + (maxEntries - 1) * map.stride + valueSize];
  }

  /** Lets every part of the kernel take the memory it runs in; tells where that lies. */
  #warmUp(): Range[] {
    const { memory } = this.machine;
    const before = memory.usedBytes;
    // What lies above all that was allocated, up to what is allocated by the first runs.
    const probe = memory.alloc(8);
    const start = probe + 8;
    const scratch = memory.alloc(8);
    memory.free(scratch);
    const input: Input = { numbers: [1n, 2n, 3n, 4n], packetBytes: 64 };
    const source: Source = {
      type: BPF_PROG_TYPE_XDP,
      main: [move(64, 0, 0), exit()],
      subprograms: [],
    };
    const prog = this.#unverified(link(source));
    this.#prepare(BPF_PROG_TYPE_XDP, input);
    interpret(this.machine, prog, this.#invocation(BPF_PROG_TYPE_XDP, input));
    this.machine.engine.run(prog, this.#invocation(BPF_PROG_TYPE_XDP, input));
    prog.put();
    // Keys of bpf_for_each_map_elem.
    const key = memory.alloc(4);
    memory.free(key);
    const end = start + (memory.usedBytes - before);
    return [[start - 8, Math.max(end, key + 16)]];
  }

  /** A program that nobody has verified. */
  #unverified(program: Linked): Prog {
    const instructions = relocated(program, (index, isValue) => {
      const map = this.#maps[index] as ArrayMap;
      return isValue ? map.base : map.address;
    });
    return new Prog(this.machine, {
      type: program.type,
      expectedAttachType: 0,
      name: "",
      tag: new Uint8Array(8),
      gplCompatible: true,
      instructions,
      xlated: new Uint8Array(8 * instructions.length),
      maps: this.#maps,
      loadTimeNs: 0n,
      uid: 0,
      verifiedInsns: 0,
      subprograms: program.functions.map(([slot]) => slot),
    });
  }

  #invocation(type: number, { packetBytes }: Input): Invocation {
    const packet = this.#packet;
    const end = packet + packetBytes;
    const isXdp = type === BPF_PROG_TYPE_XDP;
    const network = packet + LINK_HEADER_BYTES;
    return {
      context: this.#context,
      layout: contextOf(type, 0) ?? null,
      regions: isXdp ? [{ start: packet, end, writable: true }] : [],
      skb: isXdp ? null : { head: packet, network, data: network, tail: end },
    };
  }

  #prepare(type: number, input: Input): void {
    const { view, bytes } = this.machine.memory;
    const [at] = this.#valueRange(IN);
    for (const [i, number] of input.numbers.entries()) view.setBigUint64(at + 8 * i, number, true);
    const packet = packetOf(input);
    bytes.fill(0, this.#packet, this.#packet + PACKET_ROOM);
    bytes.set(packet, this.#packet);
    const context = this.#givenContext.fill(0);
    if (type !== BPF_PROG_TYPE_XDP) context.writeUInt32LE(packet.length - LINK_HEADER_BYTES, 0);
    else {
      context.writeUInt32LE(this.#packet, 0);
      context.writeUInt32LE(this.#packet + packet.length, 4);
      context.writeUInt32LE(this.#packet, 8);
    }
    bytes.set(context, this.#context);
  }

  /**
   * Runs lines, unverified and with each step checked, up to a slot: the registers there, or null
   * where the run doesn't come so far.
   */
  probe(program: Linked, slot: number, inputs: readonly Input[]): (readonly bigint[] | null)[] {
    const prog = this.#unverified(program);
    const found = inputs.map((input) => {
      let seen: readonly bigint[] | null = null;
      this.#prepare(program.type, input);
      interpret(this.machine, prog, this.#invocation(program.type, input), {
        instructionLimit: PROBE_LIMIT,
        onInstruction: (at, registers) => {
          if (at === slot) seen = Array.from({ length: REGISTERS }, (_, i) => registers.get(i));
        },
      });
      return seen as readonly bigint[] | null;
    });
    prog.put();
    this.#restore(this.#values);
    return found;
  }

  /** @returns an fd or a negative errno. */
  load(program: Linked): number {
    return loadProgram(this, this.#furniture, program);
  }

  close(fd: number): void {
    this.#task.files.close(fd);
  }

  /** The verifier's log of a load, for people. */
  log(program: Linked): string {
    const log = new Uint8Array(LOG_BYTES);
    const fd = loadProgram(this, this.#furniture, program, log);
    if (fd >= 0) this.close(fd);
    return new TextDecoder().decode(log.subarray(0, log.indexOf(0)));
  }

  /**
   * Runs a loaded program.
   *
   * @param program - what was loaded.
   * @param interpreted - whether on the interpreter instead of the kernel's own engine.
   * @param keepsStack - whether what the program keeps on its stack has to be there at its end.
   */
  run(
    fd: number,
    program: Linked,
    inputs: readonly Input[],
    { keepsStack, interpreted }: Readonly<Record<"keepsStack" | "interpreted", boolean>>,
  ): Left {
    const file = this.#task.file(fd, ProgFile);
    if (typeof file === "number") throw new TypeError(`fd ${fd} is no program`);
    return this.#runAll(file.prog, program, inputs, { keepsStack, interpreted });
  }

  /** The same for a program that nobody has verified: what it does wrong has to be noticed. */
  runUnverified(program: Linked, inputs: readonly Input[], interpreted: boolean): Left {
    const prog = this.#unverified(program);
    try {
      return this.#runAll(prog, program, inputs, { keepsStack: true, interpreted });
    } finally {
      prog.put();
    }
  }

  #runAll(
    prog: Prog,
    program: Linked,
    inputs: readonly Input[],
    { keepsStack, interpreted }: Readonly<Record<"keepsStack" | "interpreted", boolean>>,
  ): Left {
    const { machine } = this;
    const lines: string[] = [];
    let harm: string | null = null;
    for (const [i, input] of inputs.entries()) {
      this.#prepare(prog.type, input);
      const invocation = this.#invocation(prog.type, input);
      const outcome = interpreted
        ? interpret(machine, prog, invocation, { instructionLimit: RUN_LIMIT })
        : machine.engine.run(prog, invocation);
      if (outcome === null) throw new RangeError("no memory for a run");
      lines.push(`${outcome.retval} ${this.#digestPacket(prog.type, input)}`);
      const wrong =
        faultOf(outcome) ?? this.#tokensOf(input, keepsStack) ?? this.#contextOf(prog.type, input);
      if (wrong !== null) harm ??= `input ${i}: ${wrong}`;
    }
    const named = mapsOf(program);
    const values = this.#values.filter((_, i) => named.has(WRITABLE[i] ?? -1));
    for (const [start, end] of values) lines.push(this.#hex(start, end));
    const changed = this.#restore([...values, this.#valueRange(IN)]);
    return { results: lines.join("\n"), harm: harm ?? changed };
  }

  /** What a program keeps in r9 and on its stack, when it has come to its end. */
  #tokensOf({ numbers }: Input, keepsStack: boolean): string | null {
    const { view } = this.machine.memory;
    const [out] = this.#valueRange(OUT);
    const [token] = numbers;
    if (view.getBigUint64(out + OUT_BYTES.register, true) !== token) return null;
    if (!keepsStack) return null;
    for (const [name, at] of Object.entries(OUT_BYTES)) {
      if (name === "used" || view.getBigUint64(out + at, true) === token) continue;
      return `${name}: what the program kept has changed`;
    }
    return null;
  }

  /** The context, which none of these programs may write, and what follows the packet. */
  #contextOf(type: number, { packetBytes }: Input): string | null {
    const { bytes } = this.machine.memory;
    const given = this.#givenContext;
    const now = bytes.subarray(this.#context, this.#context + CONTEXT_BYTES);
    if (given.compare(now) !== 0) return "the context has changed";
    const from = type === BPF_PROG_TYPE_XDP ? packetBytes : 0;
    const packet = packetOf({ packetBytes });
    for (let at = from; at < PACKET_ROOM; at++) {
      if (bytes[this.#packet + at] !== (packet[at] ?? 0)) return `packet byte ${at} has changed`;
    }
    return null;
  }

  #digestPacket(type: number, input: Input): string {
    if (type !== BPF_PROG_TYPE_XDP) return "";
    const { bytes } = this.machine.memory;
    const packet = packetOf(input);
    const at = this.#packet;
    const isSame = packet.every((byte, i) => bytes[at + i] === byte);
    return isSame ? "" : this.#hex(at, at + packet.length);
  }

  #hex(start: number, end: number): string {
    return Buffer.from(this.machine.memory.bytes.buffer, start, end - start).toString("hex");
  }

  /** Puts values back, and says what else has changed. */
  #restore(values: readonly Range[]): string | null {
    const { bytes } = this.machine.memory;
    const now = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    for (const [start, end] of values) this.#snapshot.copy(now, start, start, end);
    for (const [start, end] of this.#kept) {
      if (now.compare(this.#snapshot, start, end, start, end) === 0) continue;
      let at = start;
      while (now[at] === this.#snapshot[at]) at++;
      this.#snapshot.copy(now, start, start, end);
      return `memory at ${at} has changed, which is not the program's`;
    }
    return null;
  }
}

function faultOf({ fault }: Outcome): string | null {
  return fault === null ? null : `fault: ${fault.message}`;
}

/** What lies between ranges. */
function gaps(ranges: readonly Range[], size: number): Range[] {
  const sorted = [...ranges].sort(([a], [b]) => a - b);
  const found: Range[] = [];
  let from = 0;
  for (const [start, end] of sorted) {
    if (start > from) found.push([from, start]);
    from = Math.max(from, end);
  }
  if (size > from) found.push([from, size]);
  return found;
}
