/**
 * What the fuzzer has made on one kernel: which fd, id and inode a label stands for there.
 */

import * as attr from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { EBADF } from "../../src/abi/errno.ts";
import { BPF_BTF_INFO_SIZE, BTF_INFO, LINK_INFO, MAP_INFO } from "../../src/abi/info.ts";
import { encode } from "../../src/abi/layout.ts";
import { CLOSED_FD } from "../contract/case.ts";
import type { World } from "../contract/world.ts";
import type { Label } from "./operation.ts";

/** Objects that have ids. */
export type ObjectKind = "prog" | "map" | "link" | "btf";

/** What is known of an fd, the same on every kernel. */
export interface Facts {
  readonly kind: ObjectKind | "netns" | "other";
  /** Label of the operation that made the object. */
  readonly object: Label;
  /** BPF_PROG_TYPE_… or BPF_MAP_TYPE_…. */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

/** Maps whose keys are in no order that could be foretold. */
export const HASHES: ReadonlySet<number> = new Set([
  bpf.BPF_MAP_TYPE_HASH,
  bpf.BPF_MAP_TYPE_PERCPU_HASH,
  bpf.BPF_MAP_TYPE_LRU_HASH,
  bpf.BPF_MAP_TYPE_LRU_PERCPU_HASH,
]);

/** What /proc/self/fd shows of objects. */
const KINDS: Readonly<Record<string, ObjectKind>> = {
  "anon_inode:bpf-prog": "prog",
  "anon_inode:bpf-map": "map",
  "anon_inode:bpf-link": "link",
  "anon_inode:bpf_link": "link",
  "anon_inode:btf": "btf",
};

/** Enough of any struct bpf_…_info to find the id. */
const INFO_SIZE = BPF_BTF_INFO_SIZE;

/** Labels, and what they stand for. */
export class ObjectTable {
  readonly #world: World;
  readonly #fds: Map<Label, { readonly fd: number; readonly facts: Facts }> = new Map();
  readonly #ids: Map<Label, number> = new Map();
  readonly #labels: Readonly<Record<ObjectKind, Map<number, Label>>> = {
    prog: new Map(),
    map: new Map(),
    link: new Map(),
    btf: new Map(),
  };
  readonly #names: Set<Label> = new Set();
  readonly #inodes: Map<number, Label> = new Map();

  constructor(world: World) {
    this.#world = world;
  }

  get pinDirectory(): string {
    return this.#world.pinDirectory;
  }

  get namePrefix(): string {
    return this.#world.namePrefix;
  }

  /** Everything that is open. */
  get open(): ReadonlyMap<Label, { readonly facts: Facts }> {
    return this.#fds;
  }

  /** Namespaces that have a name. */
  get names(): ReadonlySet<Label> {
    return this.#names;
  }

  /** Objects that have been there, whether they still are or not. */
  get known(): readonly Label[] {
    return [...this.#ids.keys()];
  }

  fd(label: Label): number {
    return this.#fds.get(label)?.fd ?? CLOSED_FD;
  }

  facts(label: Label): Facts | null {
    return this.#fds.get(label)?.facts ?? null;
  }

  /** The id of an object of a kind. */
  idOf(label: Label, kind: ObjectKind | undefined): number | null {
    const id = this.#ids.get(label);
    return id !== undefined && kind !== undefined && this.labelOf(kind, id) === label ? id : null;
  }

  labelOf(kind: ObjectKind, id: number): Label | null {
    return this.#labels[kind].get(id) ?? null;
  }

  /** Takes an fd in and finds out what it is. @returns that, as text. */
  add(label: Label, fd: number): string {
    const name = this.#world.kernel.fdname(fd);
    const kind = KINDS[name];
    const facts =
      kind === undefined
        ? { ...NOTHING, kind: this.#isNetns(fd) ? ("netns" as const) : ("other" as const) }
        : this.#ask(label, fd, kind);
    this.#fds.set(label, { fd, facts });
    return kind === undefined ? facts.kind : `${name} ${facts.object} ${facts.type}`;
  }

  close(label: Label): number {
    const entry = this.#fds.get(label);
    this.#fds.delete(label);
    return entry === undefined ? -EBADF : this.#world.kernel.close(entry.fd);
  }

  netnsName(label: Label): string {
    return `${this.#world.namePrefix}fuzz${label}`;
  }

  createNetns(label: Label): number {
    const result = this.#world.kernel.netns.create(this.netnsName(label));
    if (result === 0) this.#names.add(label);
    return result;
  }

  removeNetns(label: Label): number {
    this.#names.delete(label);
    return this.#world.kernel.netns.remove(this.netnsName(label));
  }

  learnInode(inode: number, label: Label): void {
    this.#inodes.set(inode, label);
  }

  /** The label of the namespace that has an inode, or the inode when it is none of ours. */
  inodeLabel(inode: number): number {
    return this.#inodes.get(inode) ?? inode;
  }

  end(): void {
    for (const label of [...this.#fds.keys()]) this.close(label);
    for (const label of [...this.#names]) this.removeNetns(label);
  }

  #isNetns(fd: number): boolean {
    return this.#world.kernel.netns.inode(fd) >= 0;
  }

  #ask(label: Label, fd: number, kind: ObjectKind): Facts {
    const { kernel } = this.#world;
    const bytes = new Uint8Array(INFO_SIZE);
    const call = encode(attr.OBJ_GET_INFO, {
      bpf_fd: fd,
      info_len: INFO_SIZE,
      info: kernel.addressOf(bytes),
    });
    if (kernel.bpf(bpf.BPF_OBJ_GET_INFO_BY_FD, call) < 0) return { ...NOTHING, kind: "other" };
    const view = new DataView(bytes.buffer);
    const u32 = (offset: number): number => view.getUint32(offset, true);
    const id = u32(kind === "btf" ? BTF_INFO.id[0] : LINK_INFO.id[0]);
    const object = this.#labels[kind].get(id) ?? label;
    this.#labels[kind].set(id, object);
    this.#ids.set(object, id);
    if (kind !== "map") return { ...NOTHING, kind, object, type: kind === "btf" ? 0 : u32(0) };
    return {
      kind,
      object,
      type: u32(MAP_INFO.type[0]),
      keySize: u32(MAP_INFO.key_size[0]),
      valueSize: u32(MAP_INFO.value_size[0]),
      maxEntries: u32(MAP_INFO.max_entries[0]),
      flags: u32(MAP_INFO.map_flags[0]),
    };
  }
}

const NOTHING = { object: -1, type: 0, keySize: 0, valueSize: 0, maxEntries: 0, flags: 0 };
