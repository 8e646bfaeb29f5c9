/**
 * Fields of a struct that the kernel itself looks after: locks, timers, pointers to objects, lists
 * and trees, by their names in BTF. Mirrors btf_parse_fields() and btf_parse_struct_metas() in
 * kernel/bpf/btf.c of Linux.
 */

import { E2BIG, EEXIST, EFAULT, EINVAL, ELOOP, ENOENT } from "../../abi/errno.ts";
import * as P from "./btf_parse.ts";
import { skipModifiers } from "./btf_resolve.ts";

type Type = P.BtfType;

/** How a field behaves, and how its type is found. */
interface Kind {
  /** Bytes. */
  readonly size: number;
  readonly alignment: number;
  /** A struct has no more than one among its members. */
  readonly isUnique?: true;
  /** It is one by its struct's name; else by the tag of a pointer. */
  readonly isStruct?: true;
  /** Arrays of it are fields one by one. */
  readonly isRepeatable?: true;
}

/** A kind of field, by the name of its struct or by its pointer's tag. */
export type FieldKind =
  | "bpf_spin_lock"
  | "bpf_res_spin_lock"
  | "bpf_timer"
  | "bpf_wq"
  | "bpf_task_work"
  | "bpf_list_head"
  | "bpf_list_node"
  | "bpf_rb_root"
  | "bpf_rb_node"
  | "bpf_refcount"
  | "kptr_untrusted"
  | "kptr"
  | "percpu_kptr"
  | "uptr";

const KINDS: Readonly<Record<FieldKind, Kind>> = {
  bpf_spin_lock: { size: 4, alignment: 4, isUnique: true, isStruct: true },
  bpf_res_spin_lock: { size: 4, alignment: 4, isUnique: true, isStruct: true },
  bpf_timer: { size: 16, alignment: 8, isUnique: true, isStruct: true },
  bpf_wq: { size: 16, alignment: 8, isUnique: true, isStruct: true },
  bpf_task_work: { size: 8, alignment: 8, isUnique: true, isStruct: true },
  bpf_list_head: { size: 16, alignment: 8, isStruct: true, isRepeatable: true },
  bpf_list_node: { size: 24, alignment: 8, isStruct: true },
  bpf_rb_root: { size: 16, alignment: 8, isStruct: true, isRepeatable: true },
  bpf_rb_node: { size: 32, alignment: 8, isStruct: true },
  bpf_refcount: { size: 4, alignment: 4, isStruct: true },
  kptr_untrusted: { size: 8, alignment: 8, isRepeatable: true },
  kptr: { size: 8, alignment: 8, isRepeatable: true },
  percpu_kptr: { size: 8, alignment: 8, isRepeatable: true },
  uptr: { size: 8, alignment: 8, isRepeatable: true },
};

/** A field of the kernel's own. */
export interface SpecialField {
  readonly kind: FieldKind;
  /** Bytes from the beginning of the value. */
  readonly offset: number;
  readonly size: number;
  /** Where it is, by names of members: "queue.lock". */
  readonly path: string;
  /**
   * Of a list's head or a tree's root: the struct that it holds, and the node among its members.
   */
  readonly holds: { readonly typeId: number; readonly node: string } | null;
}

/** The most fields of one value (BTF_FIELDS_MAX). */
const MAX_FIELDS = 11;
/** How deep structs and arrays are looked through (MAX_RESOLVE_DEPTH). */
const MAX_DEPTH = 32;
/** What a list's head or a tree's root says of what it holds: "contains:STRUCT:MEMBER". */
const CONTAINS = "contains:";
/** The largest struct that a uptr points to: a page. */
const MAX_UPTR = 4096;
const MEMBER_BYTES = 12;
const OFFSET_MASK = 0xffffff;

/** What the values of maps may have. */
const OF_MAPS: ReadonlySet<FieldKind> = new Set<FieldKind>([
  "bpf_spin_lock",
  "bpf_res_spin_lock",
  "bpf_timer",
  "bpf_wq",
  "bpf_task_work",
  "bpf_list_head",
  "bpf_rb_root",
  "bpf_refcount",
  "kptr_untrusted",
  "kptr",
  "percpu_kptr",
  "uptr",
]);
/** What structs that programs allocate may have. */
const OF_OBJECTS: ReadonlySet<FieldKind> = new Set<FieldKind>([
  "bpf_spin_lock",
  "bpf_res_spin_lock",
  "bpf_list_head",
  "bpf_list_node",
  "bpf_rb_root",
  "bpf_rb_node",
  "bpf_refcount",
  "kptr_untrusted",
  "kptr",
  "percpu_kptr",
]);
/** Members that make a struct one that programs may allocate, beside pointers. */
const MAKES_OBJECT: readonly FieldKind[] = [
  "bpf_spin_lock",
  "bpf_list_head",
  "bpf_list_node",
  "bpf_rb_root",
  "bpf_rb_node",
  "bpf_refcount",
];

/** A member of a struct, or a variable of a section. */
interface Member {
  readonly name: string;
  readonly type: number;
  /** Bits. */
  readonly offset: number;
}

function membersOf(btf: P.ParsedBtf, { at, vlen, kindFlag }: Type): Member[] {
  return Array.from({ length: vlen }, (_, i) => {
    const [name, type, offset] = [0, 4, 8].map((byte) =>
      btf.view.getUint32(at + MEMBER_BYTES * i + byte, true),
    ) as [number, number, number];
    return {
      name: P.btfName(btf, name) ?? "",
      type,
      offset: kindFlag ? offset & OFFSET_MASK : offset,
    };
  });
}

const typeOf = (btf: P.ParsedBtf, id: number): Type | null => btf.types[id] ?? null;
const nameOf = (btf: P.ParsedBtf, type: Type): string => P.btfName(btf, type.name) ?? "";
const isStruct = (type: Type | null): boolean => type?.kind === P.BTF_KIND_STRUCT;

/** One search for fields. */
interface Search {
  readonly btf: P.ParsedBtf;
  readonly wanted: ReadonlySet<FieldKind>;
}

/**
 * The fields of a map's value, in order; null when it has none.
 *
 * @returns or the negative errno that Linux finds: it takes such a value for one without fields.
 */
export function mapFields(
  btf: P.ParsedBtf,
  valueTypeId: number,
  valueSize: number,
): readonly SpecialField[] | null | number {
  return parseFields({ btf, wanted: OF_MAPS }, skipModifiers(btf, valueTypeId), valueSize);
}

/** Whether what lists, trees and uptrs hold can be held. 0 or a negative errno. */
export function checkOwned(btf: P.ParsedBtf, fields: readonly SpecialField[]): number {
  const objects = objectTypes(btf);
  const isNode = fields.some(({ kind }) => kind === "bpf_list_node" || kind === "bpf_rb_node");
  for (const { kind, holds } of fields) {
    if (holds === null) continue;
    const held = typeOf(btf, holds.typeId) as Type;
    if (kind === "uptr") {
      if (held.sizeOrType === 0) return -EINVAL;
      if (held.sizeOrType > MAX_UPTR) return -E2BIG;
    } else if (isRoot(kind)) {
      if (!isObject(btf, held, objects)) return -EFAULT;
      if (isNode && hasRoot(btf, held)) return -ELOOP;
    }
  }
  return 0;
}

function isRoot(kind: FieldKind): boolean {
  return kind === "bpf_list_head" || kind === "bpf_rb_root";
}

function hasRoot(btf: P.ParsedBtf, type: Type): boolean {
  const fields = parseFields({ btf, wanted: OF_OBJECTS }, type, type.sizeOrType);
  return Array.isArray(fields) && fields.some(({ kind }) => isRoot(kind));
}

/**
 * Checks the structs that programs could allocate: whichever has such a field among its members.
 *
 * @returns 0 or a negative errno.
 */
export function checkObjects(btf: P.ParsedBtf): number {
  const objects = objectTypes(btf);
  if (objects.size === 0) return 0;
  const found: (readonly SpecialField[])[] = [];
  for (const type of btf.types) {
    if (type === null || !isStruct(type) || !isObject(btf, type, objects)) continue;
    const fields = parseFields({ btf, wanted: OF_OBJECTS }, type, type.sizeOrType);
    if (typeof fields === "number") return fields;
    if (fields === null) return -EFAULT;
    found.push(fields);
  }
  for (const fields of found) {
    const errno = checkOwned(btf, fields);
    if (errno !== 0) return errno;
  }
  return 0;
}

/** Ids of types that make a struct one which programs may allocate. */
function objectTypes(btf: P.ParsedBtf): ReadonlySet<number> {
  const ids = new Set<number>();
  const names = new Set<string>(MAKES_OBJECT);
  for (const [id, type] of btf.types.entries()) {
    if (type === null) continue;
    if (isStruct(type)) {
      // The first of its name.
      if (names.delete(nameOf(btf, type))) ids.add(id);
      continue;
    }
    const pointer = findPointer({ btf, wanted: OF_OBJECTS }, type);
    if (pointer !== null && typeof pointer !== "number") ids.add(id);
  }
  return ids;
}

function isObject(btf: P.ParsedBtf, type: Type, objects: ReadonlySet<number>): boolean {
  return membersOf(btf, type).some((member) => objects.has(member.type));
}

/** Mirrors btf_parse_fields() in Linux. */
function parseFields(
  search: Search,
  type: Type | null,
  size: number,
): readonly SpecialField[] | null | number {
  const found: SpecialField[] = [];
  let errno = -EINVAL;
  if (type?.kind === P.BTF_KIND_STRUCT) errno = findInStruct(search, type, "", found, 0, 0);
  else if (type?.kind === P.BTF_KIND_DATASEC) errno = findInSection(search, type, found);
  if (errno < 0) return errno;
  if (found.length === 0) return null;
  let end = 0;
  for (const field of found) {
    if (field.offset + field.size > size) return -EFAULT;
    if (field.offset < end) return -EEXIST;
    end = field.offset + field.size;
    if (isRoot(field.kind)) {
      const refused = checkNode(search.btf, field);
      if (refused !== 0) return refused;
    }
  }
  return checkTogether(found) ? found : -EINVAL;
}

/** Lists and trees go with a lock, and one of the kinds of locks excludes the other. */
function checkTogether(fields: readonly SpecialField[]): boolean {
  const has = (kind: FieldKind): boolean => fields.some((field) => field.kind === kind);
  const isLocked = has("bpf_spin_lock") || has("bpf_res_spin_lock");
  if (has("bpf_spin_lock") && has("bpf_res_spin_lock")) return false;
  if (fields.some(({ kind }) => isRoot(kind)) && !isLocked) return false;
  return has("bpf_refcount") || !(has("bpf_list_node") && has("bpf_rb_node"));
}

/** What a list or tree holds has a node of that name and kind. */
function checkNode(btf: P.ParsedBtf, { kind, holds }: SpecialField): number {
  if (holds === null) return -EINVAL;
  const node: FieldKind = kind === "bpf_list_head" ? "bpf_list_node" : "bpf_rb_node";
  const held = typeOf(btf, holds.typeId) as Type;
  const named = membersOf(btf, held).filter(({ name }) => name === holds.node);
  if (named.length === 0) return -ENOENT;
  for (const { type: id, offset } of named) {
    const type = typeOf(btf, id);
    if (type === null || !isStruct(type) || nameOf(btf, type) !== node) return -EINVAL;
    if (offset % (8 * KINDS[node].alignment) !== 0) return -EINVAL;
  }
  return named.length === 1 ? 0 : -EINVAL;
}

/** @returns how many fields were found, or a negative errno. */
function findInStruct(
  search: Search,
  owner: Type,
  path: string,
  found: SpecialField[],
  start: number,
  level: number,
): number {
  const seen = new Set<FieldKind>();
  const before = found.length;
  for (const [index, { name, type, offset }] of membersOf(search.btf, owner).entries()) {
    if (offset % 8 !== 0) return -EINVAL;
    const place = {
      owner,
      index,
      path: path === "" ? name : `${path}.${name}`,
      offset: offset / 8,
      start,
      size: 0,
    };
    const errno = findOne(search, typeOf(search.btf, type), place, seen, found, level);
    if (errno < 0) return errno;
  }
  return found.length - before;
}

function findInSection(search: Search, section: Type, found: SpecialField[]): number {
  const seen = new Set<FieldKind>();
  const { view } = search.btf;
  for (let index = 0; index < section.vlen; index++) {
    const at = section.at + MEMBER_BYTES * index;
    const variable = typeOf(search.btf, view.getUint32(at, true));
    if (variable === null) return -EINVAL;
    const place = {
      owner: variable,
      index: -1,
      path: nameOf(search.btf, variable),
      offset: view.getUint32(at + 4, true),
      start: 0,
      size: view.getUint32(at + 8, true),
    };
    const type = typeOf(search.btf, variable.sizeOrType);
    const errno = findOne(search, type, place, seen, found, 0);
    if (errno < 0) return errno;
  }
  return found.length;
}

/** Where something is looked for. */
interface Place {
  /** What has it as a member, for tags of that. */
  readonly owner: Type;
  readonly index: number;
  readonly path: string;
  /** Bytes from the beginning of the owner. */
  readonly offset: number;
  /** Bytes from the beginning of the value to that of the owner. */
  readonly start: number;
  /** What it must take all in all; 0: whatever it takes. */
  readonly size: number;
}

/** Mirrors btf_find_field_one() in Linux. */
function findOne(
  search: Search,
  declared: Type | null,
  place: Place,
  seen: Set<FieldKind>,
  found: SpecialField[],
  level: number,
): number {
  const element = elementOf(search.btf, declared);
  if (typeof element === "number") return element;
  const { type, count } = element;
  if (type === null || count === 0) return 0;
  const first = found.length;
  const kind = structKind(search, type);
  if (kind === null && isStruct(type)) {
    if (place.size !== 0 && place.size !== type.sizeOrType * count) return 0;
    if (level + 1 >= MAX_DEPTH) return -E2BIG;
    const start = place.start + place.offset;
    const errno = findInStruct(search, type, place.path, found, start, level + 1);
    return errno < 0 ? errno : repeat(found, first, count, type.sizeOrType);
  }
  if (kind !== null && KINDS[kind].isUnique === true) {
    if (seen.has(kind)) return -E2BIG;
    seen.add(kind);
  }
  const { size, alignment } = KINDS[kind ?? "kptr"];
  if (place.size !== 0 && place.size !== size * count) return 0;
  if (place.offset % alignment !== 0) return 0;
  const field = kind === null ? findPointer(search, type) : describe(search, kind, type, place);
  if (typeof field === "number") return field;
  if (field === null) return 0;
  if (found.length >= MAX_FIELDS) return -E2BIG;
  found.push({ ...field, size, offset: place.start + place.offset, path: place.path });
  return repeat(found, first, count, size);
}

/** What an array of arrays is made of, and how many of it there are. */
function elementOf(
  btf: P.ParsedBtf,
  declared: Type | null,
): { readonly type: Type | null; readonly count: number } | number {
  let type = declared;
  let count = 1;
  for (let depth = 0; type?.kind === P.BTF_KIND_ARRAY; depth++) {
    if (depth === MAX_DEPTH) return -E2BIG;
    count = Math.imul(count, btf.view.getUint32(type.at + 8, true)) >>> 0;
    type = typeOf(btf, btf.view.getUint32(type.at, true));
  }
  return { type, count };
}

/** Fields of the elements of an array, those of the first being the last that were found. */
function repeat(found: SpecialField[], first: number, count: number, size: number): number {
  const fields = found.slice(first);
  if (fields.length === 0 || count === 1) return 0;
  if (!fields.every(({ kind }) => KINDS[kind].isRepeatable === true)) return -EINVAL;
  if (first + fields.length * count > MAX_FIELDS) return -E2BIG;
  for (let i = 1; i < count; i++) {
    for (const field of fields) found.push({ ...field, offset: field.offset + i * size });
  }
  return 0;
}

/** The kind of field that a struct is by its name. */
function structKind({ btf, wanted }: Search, type: Type): FieldKind | null {
  const name = nameOf(btf, type) as FieldKind;
  const isKind = Object.hasOwn(KINDS, name) && KINDS[name].isStruct === true;
  return isKind && wanted.has(name) ? name : null;
}

type Found = Pick<SpecialField, "kind" | "holds">;

function describe(
  { btf }: Search,
  kind: FieldKind,
  type: Type,
  { owner, index }: Place,
): Found | null | number {
  if (!isStruct(type) || type.sizeOrType !== KINDS[kind].size) return null;
  if (!isRoot(kind)) return { kind, holds: null };
  const [struct = "", ...rest] = containedBy(btf, owner, index)?.split(":") ?? [];
  if (rest.length === 0) return -EINVAL;
  const typeId = btf.types.findIndex(
    (other) => other !== null && isStruct(other) && nameOf(btf, other) === struct,
  );
  if (typeId < 0) return -ENOENT;
  const node = rest.join(":");
  return node === "" ? -EINVAL : { kind, holds: { typeId, node } };
}

/** What stands behind "contains:" in the only such tag of a member; null without one. */
function containedBy(btf: P.ParsedBtf, owner: Type, index: number): string | null {
  const id = btf.types.indexOf(owner);
  const tags = btf.types.filter(
    (type) =>
      type?.kind === P.BTF_KIND_DECL_TAG &&
      type.sizeOrType === id &&
      btf.view.getInt32(type.at, true) === index &&
      nameOf(btf, type).startsWith(CONTAINS),
  );
  const [tag] = tags;
  return tags.length === 1 && tag ? nameOf(btf, tag).slice(CONTAINS.length) : null;
}

/** Tags of pointers that the kernel looks after. */
const POINTER_TAGS: readonly FieldKind[] = ["kptr_untrusted", "kptr", "percpu_kptr", "uptr"];

/**
 * A pointer by its tag: null when it is none of the wanted kinds. Mirrors btf_find_kptr() in
 * Linux; without BTF of the kernel, every struct is one of the program's own.
 */
function findPointer({ btf, wanted }: Search, type: Type): Found | null | number {
  if (type.kind !== P.BTF_KIND_PTR) return null;
  const isTag = (at: Type | null): boolean => at?.kind === P.BTF_KIND_TYPE_TAG;
  const tag = typeOf(btf, type.sizeOrType);
  if (tag === null || !isTag(tag) || tag.kindFlag) return null;
  if (isTag(typeOf(btf, tag.sizeOrType))) return -EINVAL;
  const kind = POINTER_TAGS.find((name) => name === nameOf(btf, tag));
  if (kind === undefined) return -EINVAL;
  if (!wanted.has(kind)) return null;
  const target = skipModifiers(btf, tag.sizeOrType);
  if (target === null || !isStruct(target)) return -EINVAL;
  return { kind, holds: { typeId: btf.types.indexOf(target), node: "" } };
}
