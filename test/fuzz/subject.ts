/**
 * A kernel under comparison: carries operations out and tells what came of them in terms that are
 * the same on every kernel.
 */

import { GET_FD_BY_ID, GET_NEXT_ID } from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { errnoName } from "../../src/abi/errno.ts";
import { decode, encode } from "../../src/abi/layout.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { CLOSED_FD } from "../contract/case.ts";
import type { World } from "../contract/world.ts";
import type { Arena } from "./arena.ts";
import { type Facts, type ObjectKind, ObjectTable } from "./objects.ts";
import {
  type Block,
  type BpfOperation,
  fdsIn,
  type Label,
  type Operation,
  slotAt,
  type Value,
} from "./operation.ts";
import { translate, translateText, WALKS } from "./translate.ts";

/** What came of an operation. */
export interface Answer {
  /** "fd", a number, or the name of an errno. */
  readonly result: string;
  /** The attr and the blocks after the call, or a text. */
  readonly outputs: readonly (Uint8Array | string)[];
}

/** A block where it was put. */
export interface Placed {
  readonly block: Block;
  readonly bytes: Uint8Array;
  /** By the offset of the slot that points there. */
  readonly blocks: ReadonlyMap<number, Placed>;
}

/** What labels stand for in a call. */
interface Numbers {
  readonly fdOf: (label: Label) => number;
  readonly ids: ObjectKind | undefined;
}

/** No object has it: ids begin at 1, and end just below. */
const NO_ID = 0x7ffffffe;
/** The most objects of others that a walk over ids may step over. */
const MAX_FOREIGN_IDS = 100_000;

/** Commands that give out an fd. */
const OPENS: ReadonlySet<number> = new Set([
  bpf.BPF_MAP_CREATE,
  bpf.BPF_PROG_LOAD,
  bpf.BPF_OBJ_GET,
  bpf.BPF_PROG_GET_FD_BY_ID,
  bpf.BPF_MAP_GET_FD_BY_ID,
  bpf.BPF_LINK_GET_FD_BY_ID,
  bpf.BPF_BTF_GET_FD_BY_ID,
  bpf.BPF_LINK_CREATE,
  bpf.BPF_BTF_LOAD,
]);

/** Of which kind the ids are that a command takes: each kind has numbers of its own. */
const ID_KINDS: ReadonlyMap<number, ObjectKind> = new Map([
  ...WALKS,
  [bpf.BPF_PROG_GET_FD_BY_ID, "prog"],
  [bpf.BPF_MAP_GET_FD_BY_ID, "map"],
  [bpf.BPF_LINK_GET_FD_BY_ID, "link"],
  [bpf.BPF_BTF_GET_FD_BY_ID, "btf"],
]);

const STRANGER = 1000;
const NEXT_ID = 4;

/** A kernel, with the labels of what is on it. */
export class Subject {
  readonly world: World;
  readonly objects: ObjectTable;
  readonly #arena: Arena;
  /** Called after each operation: lets deferred work run where that is ours to say. */
  readonly #settle: () => void;

  constructor(world: World, arena: Arena, settle: () => void) {
    this.world = world;
    this.objects = new ObjectTable(world);
    this.#arena = arena;
    this.#settle = settle;
  }

  /** Carries an operation out. */
  execute(operation: Operation): Answer {
    const answer = this.#execute(operation);
    this.#settle();
    return answer;
  }

  /** What is known of the object that an operation is about. */
  factsOf(operation: Operation): Facts | null {
    return operation.do === "bpf" ? this.#subjectOf(operation) : null;
  }

  /** Whether the map that an operation opens by its id is there: found out without opening it. */
  listsMap(operation: Operation): boolean {
    if (operation.do !== "bpf" || operation.cmd !== bpf.BPF_MAP_GET_FD_BY_ID) return false;
    const named = slotAt(operation.attr, GET_FD_BY_ID.id[0]);
    if (typeof named !== "object" || !("id" in named)) return false;
    const id = this.objects.idOf(named.id, "map");
    if (id === null) return false;
    const request = encode(GET_NEXT_ID, { start_id: id - 1 });
    const result = this.world.kernel.bpf(bpf.BPF_MAP_GET_NEXT_ID, request);
    return result === 0 && decode(GET_NEXT_ID, request).next_id === id;
  }

  /** Takes back what the last operation made, so that it can be tried again. */
  undo(operation: Operation): void {
    if ("label" in operation) this.objects.close(operation.label);
  }

  /** Puts away everything. */
  end(): void {
    this.objects.end();
    this.#clear(this.world.pinDirectory);
    this.#settle();
  }

  #execute(operation: Operation): Answer {
    const { kernel } = this.world;
    const { objects } = this;
    switch (operation.do) {
      case "bpf":
        return this.#bpf(operation);
      case "close":
        return outcome(objects.close(operation.fd));
      case "dup":
        return this.#opened(operation.label, kernel.dup(objects.fd(operation.fd)));
      case "open":
        return this.#opened(
          operation.label,
          kernel.open(this.#path(operation.path), operation.flags),
        );
      case "fdinfo":
        return this.#text(kernel.fdinfo(objects.fd(operation.fd)));
      case "fdname":
        return this.#text(kernel.fdname(objects.fd(operation.fd)));
      case "inode": {
        const inode = kernel.netns.inode(objects.fd(operation.fd));
        return outcome(inode < 0 ? inode : objects.inodeLabel(inode));
      }
      case "netns create":
        return outcome(objects.createNetns(operation.name));
      case "netns remove":
        return outcome(objects.removeNetns(operation.name));
      case "netns open": {
        const fd = kernel.netns.open({ name: objects.netnsName(operation.name) });
        if (fd >= 0) objects.learnInode(kernel.netns.inode(fd), operation.name);
        return this.#opened(operation.label, fd);
      }
      case "readdir": {
        const names = kernel.bpffs.readdir(this.#path(operation.path));
        return typeof names === "number" ? outcome(names) : this.#text(names.join("\n"));
      }
      default:
        return outcome(kernel.bpffs[operation.do](this.#path(operation.path)));
    }
  }

  #bpf(operation: BpfOperation): Answer {
    const { within } = operation;
    if (within === undefined) return this.#asCaller(operation);
    const entered = this.world.kernel.netns.enter(this.objects.fd(within), () =>
      this.#asCaller(operation),
    );
    return "value" in entered ? entered.value : outcome(entered.errno);
  }

  #asCaller(operation: BpfOperation): Answer {
    const { world, objects } = this;
    const { as = "root" } = operation;
    if (as === "root") return this.#call(operation, world.kernel, (label) => objects.fd(label));
    const labels = [...fdsIn(operation.attr)].filter((label) => objects.facts(label) !== null);
    const call = (kernel: Kernel, fds: readonly number[]): Answer =>
      this.#call(operation, kernel, (label) => fds[labels.indexOf(label)] ?? CLOSED_FD);
    const fds = labels.map((label) => objects.fd(label));
    if (as === "full") return world.withFullTable(fds, call);
    return world.unprivileged(fds, call, as === "stranger" ? STRANGER : 0);
  }

  #call(operation: BpfOperation, kernel: Kernel, fdOf: (label: Label) => number): Answer {
    const { cmd } = operation;
    this.#arena.clear();
    const attr =
      operation.attr === null
        ? null
        : this.#place(operation.attr, { fdOf, ids: ID_KINDS.get(cmd) }, true);
    const size = operation.size ?? attr?.bytes.length ?? 0;
    const room = attr === null || size <= attr.bytes.length ? size : attr.bytes.length;
    const before = attr === null ? [] : contents(attr);
    const bytes = attr?.bytes ?? null;
    let result = kernel.bpf(cmd, bytes, attr === null ? size : room);
    const walked = WALKS.get(cmd);
    if (walked !== undefined && bytes !== null && result === 0) {
      result = this.#stepOverOthers(kernel, cmd, walked, bytes, before[0] as Uint8Array);
    }
    const outputs = attr === null ? [] : this.#outputs(operation, attr, before, result);
    if (!OPENS.has(cmd) || result < 0) return { ...outcome(result), outputs };
    // An fd of another task is of no use to the next operation.
    const { kernel: own } = this.world;
    const fd =
      kernel !== own && kernel instanceof EmbeddedKernel && own instanceof EmbeddedKernel
        ? kernel.passFd(result, own)
        : result;
    return { ...this.#opened(operation.label, fd), outputs };
  }

  /** Goes on with a walk until it comes to an object of this fuzzer. */
  #stepOverOthers(
    kernel: Kernel,
    cmd: number,
    kind: ObjectKind,
    attr: Uint8Array,
    given: Uint8Array,
  ): number {
    const view = new DataView(attr.buffer, attr.byteOffset, attr.byteLength);
    for (let i = 0; i < MAX_FOREIGN_IDS; i++) {
      const next = view.getUint32(NEXT_ID, true);
      if (this.objects.labelOf(kind, next) !== null) {
        attr.set(given.subarray(0, NEXT_ID));
        return 0;
      }
      view.setUint32(0, next, true);
      const result = kernel.bpf(cmd, attr);
      if (result < 0) {
        attr.set(given);
        return result;
      }
    }
    throw new RangeError(`more than ${MAX_FOREIGN_IDS} objects of others`);
  }

  #place(block: Block, numbers: Numbers, isAttr: boolean = false): Placed {
    const { fill = 0, slots = [] } = block;
    const blocks = new Map<number, Placed>();
    const values = slots.map(([offset, , value]) => {
      if (typeof value !== "object" || !("to" in value)) return value;
      const placed = this.#place(value.to, numbers);
      blocks.set(offset, placed);
      return value;
    });
    const place = isAttr ? null : this.#arena.place(block.size);
    const bytes = place?.bytes ?? new Uint8Array(block.size);
    if (typeof fill === "number") bytes.fill(fill);
    else {
      bytes.fill(0);
      bytes.set(fill.slice(0, bytes.length));
    }
    const placed: Placed = { block, bytes, blocks };
    if (place !== null) addresses.set(placed, place.address);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const [i, [offset, width]] of slots.entries()) {
      if (offset + width > bytes.length) continue;
      const value = this.#valueOf(values[i] as Value, blocks.get(offset), numbers);
      if (width === 8) view.setBigUint64(offset, BigInt.asUintN(64, BigInt(value)), true);
      else view.setUint32(offset, Number(value), true);
    }
    return placed;
  }

  #valueOf(value: Value, target: Placed | undefined, { fdOf, ids }: Numbers): number | bigint {
    if (typeof value !== "object") return value;
    if ("fd" in value) return fdOf(value.fd);
    if ("id" in value) return this.objects.idOf(value.id, ids) ?? NO_ID;
    if ("text" in value) return this.#placeText(value.text);
    return (target && addresses.get(target)) ?? 0n;
  }

  #placeText(text: string): bigint {
    const encoded = new TextEncoder().encode(`${this.#path(text)}\0`);
    const { bytes, address } = this.#arena.place(encoded.length);
    bytes.set(encoded);
    return address;
  }

  /** The bytes after the call, with what is another number on each kernel put into labels. */
  #outputs(
    operation: BpfOperation,
    attr: Placed,
    before: readonly Uint8Array[],
    result: number,
  ): Uint8Array[] {
    const after = contents(attr);
    const outputs = new Map<Placed, Uint8Array>();
    for (const [i, placed] of [...eachPlaced(attr)].entries()) {
      const bytes = after[i] as Uint8Array;
      outputs.set(placed, bytes);
      for (const [offset, width, value] of placed.block.slots ?? []) {
        if (typeof value !== "object" || offset + width > bytes.length) continue;
        const same = equal(
          bytes.subarray(offset, offset + width),
          (before[i] as Uint8Array).subarray(offset, offset + width),
        );
        // What was passed in and is still there is the same by definition.
        if (same) bytes.fill(0, offset, offset + width);
      }
    }
    translate({
      objects: this.objects,
      operation,
      result,
      cpus: this.world.kernel.possibleCpus,
      subject: this.#subjectOf(operation),
      attr: outputs.get(attr) as Uint8Array,
      blockAt: (offset, of = attr) => {
        const placed = of.blocks.get(offset);
        const bytes = placed && outputs.get(placed);
        return placed === undefined || bytes === undefined ? null : { placed, bytes };
      },
    });
    return [...outputs.values()];
  }

  /** The object that a command is about: its first fd, which Linux's batches keep elsewhere. */
  #subjectOf({ cmd, attr }: BpfOperation): Facts | null {
    const offset = cmd >= bpf.BPF_MAP_LOOKUP_BATCH && cmd <= bpf.BPF_MAP_DELETE_BATCH ? 36 : 0;
    const slot = attr?.slots?.findLast(([at]) => at === offset)?.[2];
    return typeof slot === "object" && "fd" in slot ? this.objects.facts(slot.fd) : null;
  }

  #opened(label: Label, fd: number): Answer {
    if (fd < 0) return outcome(fd);
    return { result: "fd", outputs: [this.objects.add(label, fd)] };
  }

  #text(text: string): Answer {
    return { result: "text", outputs: [translateText(this.objects, text)] };
  }

  #path(text: string): string {
    return text.replace("@", this.world.pinDirectory);
  }

  #clear(directory: string): void {
    const { bpffs } = this.world.kernel;
    const names = bpffs.readdir(directory);
    if (typeof names === "number") return;
    for (const name of names) {
      const path = `${directory}/${name}`;
      if (bpffs.unlink(path) === 0) continue;
      this.#clear(path);
      bpffs.rmdir(path);
    }
  }
}

const addresses: WeakMap<Placed, bigint> = new WeakMap();

function* eachPlaced(placed: Placed): Generator<Placed> {
  yield placed;
  for (const below of placed.blocks.values()) yield* eachPlaced(below);
}

function contents(placed: Placed): Uint8Array[] {
  return Array.from(eachPlaced(placed), ({ bytes }) => bytes.slice());
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function outcome(result: number): Answer {
  return { result: result < 0 ? errnoName(-result) : String(result), outputs: [] };
}
