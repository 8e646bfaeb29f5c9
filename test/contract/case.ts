/**
 * One case of the contract: bpf(2) by field name, and everything it opened closed at its end.
 */

import * as attr from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { errnoName } from "../../src/abi/errno.ts";
import * as info from "../../src/abi/info.ts";
import { decode, encode, type Layout, type Values } from "../../src/abi/layout.ts";
import { assemble } from "../../src/asm/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { until, type World } from "./world.ts";

/** What each command's attr looks like. */
export const LAYOUTS = {
  [bpf.BPF_MAP_CREATE]: attr.MAP_CREATE,
  [bpf.BPF_MAP_LOOKUP_ELEM]: attr.MAP_ELEM,
  [bpf.BPF_MAP_UPDATE_ELEM]: attr.MAP_ELEM,
  [bpf.BPF_MAP_DELETE_ELEM]: attr.MAP_DELETE_ELEM,
  [bpf.BPF_MAP_LOOKUP_AND_DELETE_ELEM]: attr.MAP_ELEM,
  [bpf.BPF_MAP_GET_NEXT_KEY]: attr.MAP_GET_NEXT_KEY,
  [bpf.BPF_MAP_FREEZE]: attr.MAP_FREEZE,
  [bpf.BPF_MAP_LOOKUP_BATCH]: attr.MAP_BATCH,
  [bpf.BPF_MAP_LOOKUP_AND_DELETE_BATCH]: attr.MAP_BATCH,
  [bpf.BPF_MAP_UPDATE_BATCH]: attr.MAP_BATCH,
  [bpf.BPF_MAP_DELETE_BATCH]: attr.MAP_BATCH,
  [bpf.BPF_PROG_LOAD]: attr.PROG_LOAD,
  [bpf.BPF_OBJ_PIN]: attr.OBJ,
  [bpf.BPF_OBJ_GET]: attr.OBJ,
  [bpf.BPF_PROG_ATTACH]: attr.PROG_ATTACH,
  [bpf.BPF_PROG_DETACH]: attr.PROG_ATTACH,
  [bpf.BPF_PROG_TEST_RUN]: attr.TEST_RUN,
  [bpf.BPF_PROG_GET_NEXT_ID]: attr.GET_NEXT_ID,
  [bpf.BPF_MAP_GET_NEXT_ID]: attr.GET_NEXT_ID,
  [bpf.BPF_LINK_GET_NEXT_ID]: attr.GET_NEXT_ID,
  [bpf.BPF_PROG_GET_FD_BY_ID]: attr.GET_FD_BY_ID,
  [bpf.BPF_LINK_GET_FD_BY_ID]: attr.GET_FD_BY_ID,
  [bpf.BPF_MAP_GET_FD_BY_ID]: attr.MAP_GET_FD_BY_ID,
  [bpf.BPF_OBJ_GET_INFO_BY_FD]: attr.OBJ_GET_INFO,
  [bpf.BPF_PROG_QUERY]: attr.PROG_QUERY,
  [bpf.BPF_LINK_CREATE]: attr.LINK_CREATE,
  [bpf.BPF_LINK_UPDATE]: attr.LINK_UPDATE,
  [bpf.BPF_LINK_DETACH]: attr.LINK_DETACH,
} as const;

/** A command whose attr this suite can write by field name. */
export type Command = keyof typeof LAYOUTS;
/** Fields of a command's attr; those left out are zero. */
export type Fields<C extends Command> = Partial<Values<(typeof LAYOUTS)[C]>>;

/** Commands that give out an fd. */
const OPENS: ReadonlySet<number> = new Set([
  bpf.BPF_MAP_CREATE,
  bpf.BPF_PROG_LOAD,
  bpf.BPF_OBJ_GET,
  bpf.BPF_PROG_GET_FD_BY_ID,
  bpf.BPF_MAP_GET_FD_BY_ID,
  bpf.BPF_LINK_CREATE,
  bpf.BPF_LINK_GET_FD_BY_ID,
]);

/** No fd of any process. */
export const CLOSED_FD = 999_999;
/** Nothing is ever mapped there: the first page stays free so that null pointers fault. */
export const BAD_POINTER = 8n;
/** Every program and map of this suite bears it, so that one left behind is found. */
export const OBJECT_NAME: string = `contract${process.pid}`.slice(0, bpf.BPF_OBJ_NAME_LEN - 1);

/** How to load a program; by default a flow dissector that returns BPF_OK. */
export interface ProgramOptions {
  readonly type?: number;
  readonly expectedAttachType?: number;
  /** Assembly text. */
  readonly text?: string;
  readonly constants?: Readonly<Record<string, number | bigint>>;
  readonly license?: string;
}

/** An sk_lookup program that passes everything on. */
export const SK_LOOKUP_PROGRAM: ProgramOptions = {
  type: bpf.BPF_PROG_TYPE_SK_LOOKUP,
  expectedAttachType: bpf.BPF_SK_LOOKUP,
  text: "r0 = 1\nexit",
};

/** A program of a type that can't be attached to a network namespace. */
export const SOCKET_FILTER: ProgramOptions = { type: bpf.BPF_PROG_TYPE_SOCKET_FILTER };

/** What BPF_PROG_QUERY answered. */
export interface QueryAnswer {
  readonly outcome: string;
  readonly count: number;
  readonly attachFlags: number;
  /** The whole array that was passed in, as long as there was room for. */
  readonly ids: readonly number[];
}

/** "ok" for 0 and more, else the errno's name. */
export function outcomeOf(result: number): string {
  return result >= 0 ? "ok" : errnoName(-result);
}

/** The little-endian bytes of u32s, as keys and values are made of. */
export function u32s(...numbers: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(numbers).buffer);
}

/** A case: its world, and what has to be put away. */
export class Case {
  readonly world: World;
  readonly kernel: Kernel;
  readonly #fds: Set<number> = new Set();
  readonly #pins: Set<string> = new Set();
  readonly #names: Set<string> = new Set();
  /** Whatever a pointer was made to, alive as long as the case is. */
  readonly #buffers: Uint8Array[] = [];
  static #serial: number = 0;
  static readonly #programIds: Set<number> = new Set();
  static readonly #mapIds: Set<number> = new Set();

  /** Ids of all programs that cases of this process have loaded. */
  static get programIds(): ReadonlySet<number> {
    return Case.#programIds;
  }

  /** Ids of all maps that cases of this process have made. */
  static get mapIds(): ReadonlySet<number> {
    return Case.#mapIds;
  }

  constructor(world: World) {
    this.world = world;
    this.kernel = world.kernel;
  }

  /** A pointer field's value for a buffer. */
  at(buffer: Uint8Array): bigint {
    this.#buffers.push(buffer);
    return this.kernel.addressOf(buffer);
  }

  /** A pointer to a NUL-terminated string. */
  string(text: string): bigint {
    return this.at(new TextEncoder().encode(`${text}\0`));
  }

  /** An attr as bytes, to be spoilt before it is passed to {@link raw}. */
  attr<C extends Command>(command: C, fields: Fields<C>, size?: number): Uint8Array {
    return encode(LAYOUTS[command] as Layout, fields as Partial<Values<Layout>>, size);
  }

  /** Makes the addresses that {@link Case.at} gave good for another call. */
  remap(): void {
    for (const buffer of this.#buffers) this.kernel.addressOf(buffer);
  }

  /** bpf(2) with bytes; an fd that comes back is closed with the case. */
  raw(command: number, bytes: Uint8Array | null, size?: number): number {
    this.remap();
    const result = this.kernel.bpf(command, bytes, size);
    if (result >= 0 && OPENS.has(command)) this.#fds.add(result);
    if (result >= 0 && command === bpf.BPF_PROG_LOAD) this.#note(Case.#programIds, result);
    if (result >= 0 && command === bpf.BPF_MAP_CREATE) this.#note(Case.#mapIds, result);
    return result;
  }

  /** Remembers the id of an object that has just been made. */
  #note(ids: Set<number>, fd: number): void {
    const id = /^(?:prog|map)_id:\t(\d+)$/m.exec(this.kernel.fdinfo(fd))?.[1];
    if (id !== undefined) ids.add(Number(id));
  }

  /** bpf(2) by field name: the result, or a negative errno. */
  call<C extends Command>(command: C, fields: Fields<C>): number {
    return this.raw(command, this.attr(command, fields));
  }

  /** bpf(2) by field name: "ok" or an errno's name. */
  outcome<C extends Command>(command: C, fields: Fields<C>): string {
    return outcomeOf(this.call(command, fields));
  }

  /** bpf(2) by field name, with what the kernel made of the attr. */
  answer<C extends Command>(
    command: C,
    fields: Fields<C>,
  ): { readonly outcome: string; readonly attr: Values<(typeof LAYOUTS)[C]> } {
    const bytes = this.attr(command, fields);
    const outcome = outcomeOf(this.raw(command, bytes));
    return { outcome, attr: decode(LAYOUTS[command], bytes) as Values<(typeof LAYOUTS)[C]> };
  }

  /** A call that the case can't go on without. */
  must<C extends Command>(command: C, fields: Fields<C>): number {
    return this.#required(this.call(command, fields), bpf.COMMAND_NAMES[command] ?? "bpf");
  }

  /** open(2). */
  open(path: string, flags: number = 0): number {
    return this.track(this.#required(this.kernel.open(path, flags), `open ${path}`));
  }

  /** Closes an fd with the case. */
  track(fd: number): number {
    if (fd >= 0) this.#fds.add(fd);
    return fd;
  }

  close(fd: number): number {
    this.#fds.delete(fd);
    return this.kernel.close(fd);
  }

  dup(fd: number): number {
    return this.track(this.#required(this.kernel.dup(fd), "dup"));
  }

  /** A name for a network namespace, taken away with the case if it is still there. */
  name(): string {
    const name = `${this.world.namePrefix}${Case.#serial++}`;
    this.#names.add(name);
    return name;
  }

  /** A new network namespace that only the fd holds. */
  netns(): number {
    const name = this.name();
    this.#required(this.kernel.netns.create(name), "netns.create");
    const fd = this.#required(this.kernel.netns.open({ name }), "netns.open");
    this.#required(this.kernel.netns.remove(name), "netns.remove");
    this.#names.delete(name);
    return this.track(fd);
  }

  /** A path on bpffs, unlinked with the case if something was pinned there. */
  pinPath(): string {
    const path = `${this.world.pinDirectory}/pin${Case.#serial++}`;
    this.#pins.add(path);
    return path;
  }

  /** Pins an object and returns where. */
  pin(fd: number): string {
    const path = this.pinPath();
    this.must(bpf.BPF_OBJ_PIN, { pathname: this.string(path), bpf_fd: fd });
    return path;
  }

  unpin(path: string): number {
    this.#pins.delete(path);
    return this.kernel.bpffs.unlink(path);
  }

  /** The attr fields that load a program. */
  programFields(options: ProgramOptions = {}): Fields<typeof bpf.BPF_PROG_LOAD> {
    const insns = assemble(
      options.text ?? "r0 = 0\nexit",
      options.constants === undefined ? {} : { constants: options.constants },
    );
    return {
      prog_type: options.type ?? bpf.BPF_PROG_TYPE_FLOW_DISSECTOR,
      expected_attach_type: options.expectedAttachType ?? 0,
      insns: this.at(insns),
      insn_cnt: insns.length / 8,
      license: this.string(options.license ?? "GPL"),
      prog_name: new TextEncoder().encode(OBJECT_NAME),
    };
  }

  program(options: ProgramOptions = {}): number {
    return this.must(bpf.BPF_PROG_LOAD, this.programFields(options));
  }

  /** A map; by default an array of four 8-byte values. */
  map(fields: Fields<typeof bpf.BPF_MAP_CREATE> = {}): number {
    return this.must(bpf.BPF_MAP_CREATE, this.mapFields(fields));
  }

  mapFields(fields: Fields<typeof bpf.BPF_MAP_CREATE> = {}): Fields<typeof bpf.BPF_MAP_CREATE> {
    return {
      map_type: bpf.BPF_MAP_TYPE_ARRAY,
      key_size: 4,
      value_size: 8,
      max_entries: 4,
      map_name: new TextEncoder().encode(OBJECT_NAME),
      ...fields,
    };
  }

  /** A link; by default of a flow dissector. */
  link(program: number, netns: number, attachType: number = bpf.BPF_FLOW_DISSECTOR): number {
    const fields = { prog_fd: program, target_fd: netns, attach_type: attachType };
    return this.must(bpf.BPF_LINK_CREATE, fields);
  }

  /** Creates a link, or says why not. */
  linking(program: number, netns: number, attachType: number = bpf.BPF_FLOW_DISSECTOR): string {
    const fields = { prog_fd: program, target_fd: netns, attach_type: attachType };
    return this.outcome(bpf.BPF_LINK_CREATE, fields);
  }

  /** PROG_ATTACH or PROG_DETACH of a flow dissector inside a namespace. */
  directly(
    command: typeof bpf.BPF_PROG_ATTACH | typeof bpf.BPF_PROG_DETACH,
    netns: number,
    fields: Fields<typeof bpf.BPF_PROG_ATTACH>,
  ): string {
    const call = (): string =>
      this.outcome(command, { attach_type: bpf.BPF_FLOW_DISSECTOR, ...fields });
    return this.inside(netns, call);
  }

  attach(program: number, netns: number): string {
    return this.directly(bpf.BPF_PROG_ATTACH, netns, { attach_bpf_fd: program });
  }

  detach(program: number, netns: number): string {
    return this.directly(bpf.BPF_PROG_DETACH, netns, { attach_bpf_fd: program });
  }

  /** Runs something in another network namespace. */
  inside<T>(netns: number, call: () => T): T {
    const entered = this.kernel.netns.enter(netns, call);
    if ("value" in entered) return entered.value;
    throw new RangeError(`netns.enter: ${outcomeOf(entered.errno)}`);
  }

  /**
   * BPF_PROG_QUERY.
   *
   * @param room - how many ids fit; the array is full of 0xeeeeeeee before.
   */
  query(netns: number, attachType: number = bpf.BPF_FLOW_DISSECTOR, room: number = 4): QueryAnswer {
    const ids = new Uint32Array(room).fill(0xeeeeeeee);
    const { outcome, attr: out } = this.answer(bpf.BPF_PROG_QUERY, {
      target_fd: netns,
      attach_type: attachType,
      attach_flags: 0xffffffff,
      prog_ids: this.at(new Uint8Array(ids.buffer)),
      prog_cnt: room,
    });
    return { outcome, count: out.prog_cnt, attachFlags: out.attach_flags, ids: [...ids] };
  }

  /** Ids of the programs attached to a namespace, in order. */
  attached(netns: number, attachType: number = bpf.BPF_FLOW_DISSECTOR): readonly number[] {
    const { count, ids } = this.query(netns, attachType, 64);
    return ids.slice(0, count);
  }

  linkInfo(fd: number): Values<typeof info.LINK_INFO> {
    return decode(info.LINK_INFO, this.info(fd, info.BPF_LINK_INFO_SIZE));
  }

  progInfo(fd: number): Values<typeof info.PROG_INFO> {
    return decode(info.PROG_INFO, this.info(fd, info.BPF_PROG_INFO_SIZE));
  }

  mapInfo(fd: number): Values<typeof info.MAP_INFO> {
    return decode(info.MAP_INFO, this.info(fd, info.BPF_MAP_INFO_SIZE));
  }

  /** OBJ_GET_INFO_BY_FD into a zeroed buffer. */
  info(fd: number, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    const fields = { bpf_fd: fd, info_len: size, info: this.at(bytes) };
    this.must(bpf.BPF_OBJ_GET_INFO_BY_FD, fields);
    return bytes;
  }

  linkId(fd: number): number {
    return this.linkInfo(fd).id;
  }

  progId(fd: number): number {
    return this.progInfo(fd).id;
  }

  /** Whether an id leads to an object. */
  exists(
    command:
      | typeof bpf.BPF_PROG_GET_FD_BY_ID
      | typeof bpf.BPF_LINK_GET_FD_BY_ID
      | typeof bpf.BPF_MAP_GET_FD_BY_ID,
    id: number,
  ): boolean {
    const fd = this.call(command, { id });
    if (fd >= 0) this.close(fd);
    return fd >= 0;
  }

  /** Waits, with a bound, for something that happens in its own time. */
  until(what: string, condition: () => boolean): Promise<void> {
    return until(this.world, what, condition);
  }

  /** Waits until every namespace that has died so far is cleaned up: they go in order. */
  async cleanedUp(): Promise<void> {
    const netns = this.netns();
    const program = this.program();
    const id = this.progId(program);
    if (this.attach(program, netns) !== "ok") throw new RangeError("PROG_ATTACH is refused");
    this.close(program);
    this.close(netns);
    await this.until(
      "cleanup of a dead namespace",
      () => !this.exists(bpf.BPF_PROG_GET_FD_BY_ID, id),
    );
  }

  /** Puts everything away. */
  end(): void {
    for (const fd of this.#fds) this.kernel.close(fd);
    for (const path of this.#pins) this.kernel.bpffs.unlink(path);
    for (const name of this.#names) this.kernel.netns.remove(name);
  }

  #required(result: number, what: string): number {
    if (result < 0) throw new RangeError(`${what}: ${outcomeOf(result)}`);
    return result;
  }
}
