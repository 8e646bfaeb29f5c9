/**
 * Kernels that run the same programs on the same packets, with the same maps: what a run leaves
 * behind becomes a text, so that two kernels can be compared.
 */

import { TEST_RUN } from "../../src/abi/attr.ts";
import * as BPF from "../../src/abi/bpf.ts";
import { decode, encode } from "../../src/abi/layout.ts";
import type { BpfMap } from "../../src/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import type { TestProgram } from "../verifier/program.ts";
import { type Furniture, furnish, loadProgram, WITHOUT_PERFMON } from "../verifier/world.ts";
import type { TestPacket } from "./packets.ts";
import { DIALECTS, ENGINE_MAPS, progArrayOf, tailPrograms, touchedMaps } from "./programs.ts";

/** What a run of any type of program may give out. */
const OUT_BYTES = 4096;
const CONTEXT_BYTES = 192;
const PER_CPU: ReadonlySet<number> = new Set([
  BPF.BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF.BPF_MAP_TYPE_PERCPU_HASH,
]);

/** What the interpreter says of a run that doesn't end. */
const TOO_LONG = "takes more instructions than a run may";

/** A kernel with all maps, and programs to tail call. */
export class World implements Disposable {
  readonly name: string;
  readonly kernel: Kernel;
  readonly #furniture: Furniture;
  readonly #out: Uint8Array = new Uint8Array(OUT_BYTES);
  readonly #contextOut: Uint8Array = new Uint8Array(CONTEXT_BYTES);
  readonly #tails: number[] = [];

  constructor(name: string, kernel: Kernel) {
    this.name = name;
    this.kernel = kernel;
    this.#furniture = furnish(kernel, ENGINE_MAPS);
    for (const dialect of DIALECTS) {
      const array = this.#furniture.made[progArrayOf(dialect)] as BpfMap;
      for (const [i, program] of tailPrograms(dialect).entries()) {
        const fd = this.load(program);
        if (fd < 0) throw new RangeError(`${name} refuses tail program ${i}: ${fd}`);
        this.#tails.push(fd);
        array.set(words(i), words(fd));
      }
    }
  }

  /** @returns an fd or a negative errno. */
  load(program: TestProgram): number {
    return loadProgram(this.kernel, this.#furniture, { ...program, rights: "all" });
  }

  /** A task that may not load what lets addresses or old stacks show, and what it names. */
  restricted(): (program: TestProgram) => number {
    const { kernel } = this;
    if (!(kernel instanceof EmbeddedKernel)) throw new TypeError("kernel: not an embedded one");
    const task = kernel.task({ capabilities: WITHOUT_PERFMON });
    const pass = (fd: number): number => (fd < 0 ? fd : kernel.passFd(fd, task));
    const fds = { maps: this.#furniture.maps.map(pass), btf: this.#furniture.btf.map(pass) };
    return (program) => {
      const fd = loadProgram(task, fds, program);
      if (fd >= 0) task.close(fd);
      return fd;
    };
  }

  /** All that a loaded program leaves behind on some packets, its maps as new before. */
  run(fd: number, program: TestProgram, packets: readonly TestPacket[]): string {
    const maps = touchedMaps(program).map((index) => this.#furniture.made[index] as BpfMap);
    for (const map of maps) reset(map);
    const lines = packets.map((packet) => this.#runOn(fd, program.type, packet));
    for (const map of maps) lines.push(`map ${map.info.name}: ${dump(map)}`);
    return lines.join("\n");
  }

  /** Whether a run was stopped since it took more instructions than it may. */
  wasTooLong(fd: number): boolean {
    if (!(this.kernel instanceof EmbeddedKernel)) return false;
    const described = this.kernel.describeProgram(fd);
    return typeof described !== "number" && described.lastFault?.includes(TOO_LONG) === true;
  }

  #runOn(fd: number, type: number, { data, context }: TestPacket): string {
    const { kernel } = this;
    const out = this.#out;
    const contextOut = this.#contextOut;
    out.fill(0);
    contextOut.fill(0);
    const hasContext = type === BPF.BPF_PROG_TYPE_SOCKET_FILTER;
    const attr = encode(TEST_RUN, {
      prog_fd: fd,
      data_in: kernel.addressOf(data),
      data_size_in: data.length,
      data_out: kernel.addressOf(out),
      data_size_out: out.length,
      ...(hasContext && {
        ctx_in: kernel.addressOf(context),
        ctx_size_in: context.length,
        ctx_out: kernel.addressOf(contextOut),
        ctx_size_out: contextOut.length,
      }),
    });
    const result = kernel.bpf(BPF.BPF_PROG_TEST_RUN, attr);
    const { retval, data_size_out, ctx_size_out } = decode(TEST_RUN, attr);
    if (result !== 0) return `error ${result}`;
    const shown = hasContext ? ` context ${hex(contextOut.subarray(0, ctx_size_out))}` : "";
    return `retval ${retval} data ${hex(out.subarray(0, data_size_out))}${shown}`;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#tails) this.kernel.close(fd);
    this.#furniture[Symbol.dispose]();
    this.kernel[Symbol.dispose]();
  }
}

/**
 * The engines of this project: the first one is what the others are held to.
 *
 * @param instructionLimit - of the interpreter's runs; by default the engine's own.
 */
export function embeddedWorlds(possibleCpus: number, instructionLimit?: number): World[] {
  const limit = instructionLimit === undefined ? {} : { instructionLimit };
  return [
    new World(
      "interpreter",
      EmbeddedKernel.boot({ engine: "interpreter", possibleCpus, ...limit }),
    ),
    new World("jit", EmbeddedKernel.boot({ engine: "jit", possibleCpus })),
    new World("hardened jit", EmbeddedKernel.boot({ engine: "jit", hardened: true, possibleCpus })),
  ];
}

/** The kernel of this machine, as root. */
export async function linuxWorld(): Promise<World> {
  return new World("linux", await openLinuxKernel());
}

/** Elements that hash maps begin with: these keys, as numbers. */
const FIRST_KEYS = [1, 3] as const;

/** Makes a map as it was in the beginning: each value of bytes of its own. */
function reset(map: BpfMap): void {
  const { type, keySize, maxEntries } = map.info;
  if (type === BPF.BPF_MAP_TYPE_PROG_ARRAY || isFrozen(map)) return;
  const size = valueBytes(map);
  if (type === BPF.BPF_MAP_TYPE_ARRAY || type === BPF.BPF_MAP_TYPE_PERCPU_ARRAY) {
    for (let i = 0; i < maxEntries; i++) map.set(words(i), filled(size, i));
    return;
  }
  for (const key of [...map.keys()]) map.delete(key);
  for (const number of FIRST_KEYS) {
    const key = new Uint8Array(keySize);
    key[0] = number;
    map.set(key, filled(size, number));
  }
}

function filled(size: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, at) => Math.imul(seed + 1, 37) + at);
}

function valueBytes(map: BpfMap): number {
  const { type, valueSize } = map.info;
  return PER_CPU.has(type) ? Math.ceil(valueSize / 8) * 8 * map.kernel.possibleCpus : valueSize;
}

function isFrozen(map: BpfMap): boolean {
  return /^frozen:\t1$/m.test(map.kernel.fdinfo(map.fd));
}

function dump(map: BpfMap): string {
  if (map.info.type === BPF.BPF_MAP_TYPE_PROG_ARRAY) return "";
  return [...map]
    .map(([key, value]) => `${hex(key)}=${hex(value)}`)
    .sort()
    .join(" ");
}

function words(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
