/**
 * Where the tests of the nouns play: a kernel, names that are free, and a check of what is left.
 */

import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { GET_NEXT_ID } from "../../src/abi/attr.ts";
import { assemble } from "../../src/asm/index.ts";
import { tryBpf } from "../../src/call.ts";
import {
  BPF_LINK_GET_NEXT_ID,
  BPF_MAP_GET_NEXT_ID,
  BPF_PROG_GET_NEXT_ID,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BpfError,
  BpfMap,
  Collection,
  type CollectionOptions,
  type Kernel,
  Link,
  loadObject,
  type MapOptions,
  NetNs,
  type ObjectSpec,
  Program,
  type ProgramOptions,
} from "../../src/index.ts";
import { until, type World } from "../contract/world.ts";

/** The example object and its second version. */
export const FLOW: ObjectSpec = object("bpf/flow.bpf.o");
export const FLOW_V2: ObjectSpec = object("bpf/flow-v2.bpf.o");
/** An object with a bit of everything: optional programs, maps in maps, a map to be shared. */
export const EVERYTHING: ObjectSpec = object("test/elf/fixtures/everything.v3.o");
/** Programs that verifiers refuse, each for one mistake, and one that is right. */
export const MISTAKES: ObjectSpec = object("examples/mistakes.bpf.o");

function object(path: string): ObjectSpec {
  return loadObject(readFileSync(new URL(`../../${path}`, import.meta.url)));
}

/** An Ethernet frame with IPv4 and UDP, 192.0.2.1:4660 to 192.0.2.2:53. */
export const UDP_PACKET: Uint8Array = Uint8Array.from(
  Buffer.from(
    "02000000000202000000000108004500001c000040004011b6cfc0000201c00002021234003500080000",
    "hex",
  ),
);

/** One kernel's stage. What is made through it is disposed of with {@link Stage.clear}. */
export class Stage {
  readonly world: World;
  readonly #made: Disposable[] = [];
  readonly #gone: { readonly what: string; readonly isGone: () => boolean }[] = [];
  readonly #names: Set<string> = new Set();
  #count: number = 0;

  constructor(world: World) {
    this.world = world;
  }

  get kernel(): Kernel {
    return this.world.kernel;
  }

  /** A name of a network namespace, or of a pin, that nobody has. */
  name(): string {
    return `${this.world.namePrefix}nouns-${this.#count++}`;
  }

  /** A path for a pin. */
  path(): string {
    return `${this.world.pinDirectory}/${this.name()}`;
  }

  netns(name: string = this.name()): NetNs {
    this.#names.add(name);
    return this.keep(NetNs.create(this.kernel, name));
  }

  /** A flow dissector, by default one that returns a number. */
  program(text: string | number = 0, options: Partial<ProgramOptions> = {}): Program {
    const code = typeof text === "number" ? `r0 = ${text}\nexit` : text;
    return this.keep(
      Program.load(this.kernel, {
        type: BPF_PROG_TYPE_FLOW_DISSECTOR,
        instructions: assemble(code),
        name: "nouns",
        ...options,
      }),
    );
  }

  map(options: MapOptions): BpfMap {
    return this.keep(BpfMap.create(this.kernel, { name: "nouns", ...options }));
  }

  collection(spec: ObjectSpec, options: CollectionOptions = {}): Collection {
    const collection = this.keep(Collection.load(this.kernel, spec, options));
    for (const each of [...collection.programs.values(), ...collection.maps.values()]) {
      this.#watch(each);
    }
    return collection;
  }

  /** A link; see {@link Stage.patiently}. */
  link(program: Program, netns: NetNs): Promise<Link> {
    return this.patiently(() => this.keep(Link.attach(program, netns)));
  }

  /**
   * Does something again for as long as the root rule bars it: on a real Linux somebody else, such
   * as another test file, may have a dissector in the root namespace for an instant.
   */
  async patiently<T>(call: () => T): Promise<T> {
    let result: { readonly value: T } | undefined;
    await until(this.world, "the root rule lets us", () => {
      try {
        result = { value: call() };
      } catch (error) {
        if (!(error instanceof BpfError) || !error.message.includes("the root rule")) throw error;
      }
      return result !== undefined;
    });
    if (result === undefined) throw new RangeError("the root rule never let us");
    return result.value;
  }

  /** Disposes of something at the end, and sees to it that it is gone then. */
  keep<T extends Disposable>(object: T): T {
    this.#made.push(object);
    this.#watch(object);
    return object;
  }

  /** Disposes of everything, and waits until the kernel has no trace of it. */
  async clear(): Promise<void> {
    for (const object of this.#made.splice(0).toReversed()) object[Symbol.dispose]();
    for (const name of this.#names) this.kernel.netns.remove(name);
    this.#names.clear();
    for (const { what, isGone } of this.#gone.splice(0)) await until(this.world, what, isGone);
    expect(this.pins()).toEqual([]);
  }

  /** Names of the pins that there are; Linux has files of its own there, with a dot in the name. */
  pins(): readonly string[] {
    const names = this.kernel.bpffs.readdir(this.world.pinDirectory);
    return typeof names === "number" ? [] : names.filter((name) => !name.includes("."));
  }

  #watch(object: Disposable): void {
    if (object instanceof Program) this.#expectGone("program", object.info.id);
    else if (object instanceof BpfMap) this.#expectGone("map", object.info.id);
    else if (object instanceof Link) this.#expectGone("link", object.info.id);
  }

  /**
   * Asks for the id that follows the one before. Opening it would do harm: when the last fd of a
   * prog array is closed a second time before Linux has emptied it, Linux never frees it (6.18).
   */
  #expectGone(kind: keyof typeof NEXT_ID, id: number): void {
    const start = { start_id: id - 1 };
    this.#gone.push({
      what: `${kind} ${id} goes`,
      isGone: () => {
        const { result, attr } = tryBpf(this.kernel, NEXT_ID[kind], GET_NEXT_ID, start);
        return result < 0 || attr.next_id !== id;
      },
    });
  }
}

const NEXT_ID = {
  program: BPF_PROG_GET_NEXT_ID,
  map: BPF_MAP_GET_NEXT_ID,
  link: BPF_LINK_GET_NEXT_ID,
} as const;

/** Asserts that a call is refused, with this code and a message that says why and what to do. */
export function refusal(call: () => unknown, code: string, message: RegExp): BpfError {
  let thrown: unknown;
  try {
    call();
  } catch (error) {
    thrown = error;
  }
  expect(thrown, "refused").toBeInstanceOf(BpfError);
  const error = thrown as BpfError;
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
  expect(error.message, "begins with call and code").toMatch(
    new RegExp(`^${error.command}: ${code}: `),
  );
  return error;
}
