/**
 * Whether the types of BTF go together: ids that exist, sizes that fit, no type inside itself.
 * Mirrors the resolve functions and btf_check_type_tags() in kernel/bpf/btf.c of Linux.
 */

import { E2BIG, EEXIST, EINVAL, ELOOP } from "../../abi/errno.ts";
import * as P from "./btf_parse.ts";
import type { VerifierLog } from "./log.ts";

/** How deep types may be built of each other by value, or by pointers, before any is known. */
const MAX_RESOLVE_DEPTH = 32;
/** How many modifiers may follow each other. */
const MAX_MODIFIERS = 32;
const POINTER_BYTES = 8;
const REGULAR_INT_BITS: readonly number[] = [8, 16, 32, 64, 128];
/** What an enum takes in a struct whose members have widths, whatever its size. */
const ENUM_BITS = 32;
const U32_MAX = 0xffffffff;

type Type = P.BtfType;

function isModifier(kind: number): boolean {
  return (
    kind === P.BTF_KIND_TYPEDEF ||
    kind === P.BTF_KIND_VOLATILE ||
    kind === P.BTF_KIND_CONST ||
    kind === P.BTF_KIND_RESTRICT ||
    kind === P.BTF_KIND_TYPE_TAG
  );
}

function isStruct(kind: number): boolean {
  return kind === P.BTF_KIND_STRUCT || kind === P.BTF_KIND_UNION;
}

/** Kinds that nothing may be made of. */
function isSourceOnly(kind: number): boolean {
  return kind === P.BTF_KIND_VAR || kind === P.BTF_KIND_DATASEC || kind === P.BTF_KIND_DECL_TAG;
}

/** Kinds that a declaration's tag may be on. */
function isTaggable(kind: number): boolean {
  return (
    isStruct(kind) ||
    kind === P.BTF_KIND_FUNC ||
    kind === P.BTF_KIND_VAR ||
    kind === P.BTF_KIND_TYPEDEF
  );
}

/** Kinds of which there are no values. */
function isWithoutSize(kind: number): boolean {
  return kind === P.BTF_KIND_FWD || kind === P.BTF_KIND_FUNC || kind === P.BTF_KIND_FUNC_PROTO;
}

/**
 * The type behind typedefs and qualifiers; null for void, for what does not exist, and behind more
 * of them than BTF may have.
 */
export function skipModifiers(btf: P.ParsedBtf, id: number): Type | null {
  return btf.types[idBehindModifiers(btf, id)] ?? null;
}

function idBehindModifiers({ types }: P.ParsedBtf, start: number): number {
  let id = start;
  for (let count = 0; count <= MAX_MODIFIERS + 1; count++) {
    const type = types[id] ?? null;
    if (type === null || !isModifier(type.kind)) return id;
    id = type.sizeOrType;
  }
  return 0;
}

/** Bytes that a value takes; null for types without values. */
export function sizeOf(btf: P.ParsedBtf, id: number, depth: number = 0): number | null {
  const type = skipModifiers(btf, id);
  if (type === null || depth > MAX_RESOLVE_DEPTH) return null;
  switch (type.kind) {
    case P.BTF_KIND_PTR:
      return POINTER_BYTES;
    case P.BTF_KIND_ARRAY: {
      const element = sizeOf(btf, btf.view.getUint32(type.at, true), depth + 1);
      return element === null ? null : element * btf.view.getUint32(type.at + 8, true);
    }
    case P.BTF_KIND_INT:
    case P.BTF_KIND_STRUCT:
    case P.BTF_KIND_UNION:
    case P.BTF_KIND_ENUM:
    case P.BTF_KIND_ENUM64:
    case P.BTF_KIND_FLOAT:
    case P.BTF_KIND_DATASEC:
      return type.sizeOrType;
    default:
      return null;
  }
}

/** 0 or a negative errno. */
export function resolveBtf(btf: P.ParsedBtf, log: VerifierLog): number {
  const resolver = new Resolver(btf, log);
  for (let id = 1; id < btf.types.length; id++) {
    const errno = resolver.check(id);
    if (errno !== 0) return errno;
  }
  return checkTypeTags(btf, log);
}

/** What one walk follows: pointers, or what lies inside by value. Linux keeps them apart, too. */
type Mode = "pointers" | "values";

class Resolver {
  readonly #btf: P.ParsedBtf;
  readonly #log: VerifierLog;
  readonly #done: Set<number> = new Set();
  readonly #visiting: Set<number> = new Set();

  constructor(btf: P.ParsedBtf, log: VerifierLog) {
    this.#btf = btf;
    this.#log = log;
  }

  check(id: number): number {
    const type = this.#btf.types[id];
    if (type?.kind === P.BTF_KIND_FUNC_PROTO) return this.#checkPrototype(type, id);
    return this.#resolve(id, null, 1);
  }

  /** Resolves a type and, before it, what it is made of. The depth bounds the recursion. */
  #resolve(id: number, mode: Mode | null, depth: number): number {
    const type = this.#btf.types[id];
    if (type === null || type === undefined || this.#done.has(id)) return 0;
    if (this.#visiting.has(id)) return this.#log.refuse(EEXIST, `[${id}] Loop detected`);
    if (depth > MAX_RESOLVE_DEPTH) {
      const text = `[${id}] Exceeded max resolving depth:${MAX_RESOLVE_DEPTH}`;
      return this.#log.refuse(E2BIG, text);
    }
    this.#visiting.add(id);
    const refuse = (text: string): number => this.#log.refuse(EINVAL, `[${id}] ${text}`);
    const within = mode ?? ownMode(type.kind);
    // A part is seen through to its end before the next one is looked at.
    for (const [i, part] of this.#parts(type).entries()) {
      const unfit = this.#unfitPart(type, i, part);
      if (unfit !== null) return refuse(unfit);
      const wasKnown = this.#done.has(part);
      for (const next of this.#partsBehind(type, part)) {
        if (!isFollowed(this.#btf.types[next]?.kind ?? 0, within)) continue;
        const errno = this.#resolve(next, within, depth + 1);
        if (errno !== 0) return errno;
      }
      // Linux goes on with the next variable, whatever the size of one that it meets here is.
      if (type.kind === P.BTF_KIND_DATASEC && !wasKnown) continue;
      const fault = this.#partFault(type, i, part);
      if (fault !== null) return refuse(fault);
    }
    this.#visiting.delete(id);
    this.#done.add(id);
    const fault = this.#fault(type);
    return fault === null ? 0 : refuse(fault);
  }

  /** Ids of the types that a type is made of. */
  #parts({ kind, sizeOrType, vlen, at }: Type): number[] {
    const { view } = this.#btf;
    if (kind === P.BTF_KIND_ARRAY) return [view.getUint32(at + 4, true), view.getUint32(at, true)];
    if (isStruct(kind)) {
      return Array.from({ length: vlen }, (_, i) => view.getUint32(at + 12 * i + 4, true));
    }
    if (kind === P.BTF_KIND_DATASEC) {
      return Array.from({ length: vlen }, (_, i) => view.getUint32(at + 12 * i, true));
    }
    const isOfOne =
      isModifier(kind) ||
      kind === P.BTF_KIND_PTR ||
      kind === P.BTF_KIND_VAR ||
      kind === P.BTF_KIND_DECL_TAG;
    return isOfOne ? [sizeOrType] : [];
  }

  /**
   * A part, and the pointer behind its modifiers: they may be known from a walk over values, which
   * ends before pointers.
   */
  #partsBehind({ kind }: Type, part: number): number[] {
    if (kind !== P.BTF_KIND_PTR && kind !== P.BTF_KIND_VAR) return [part];
    const end = idBehindModifiers(this.#btf, part);
    return this.#btf.types[end]?.kind === P.BTF_KIND_PTR ? [part, end] : [part];
  }

  /** What is wrong with the i-th part already before it is known. */
  #unfitPart({ kind }: Type, i: number, part: number): string | null {
    const type = this.#btf.types[part];
    if (kind === P.BTF_KIND_DATASEC) {
      return type?.kind === P.BTF_KIND_VAR ? null : "Not a VAR kind member";
    }
    if (kind === P.BTF_KIND_DECL_TAG) return isTaggable(type?.kind ?? 0) ? null : "Invalid type_id";
    const isThere = type !== undefined && !isSourceOnly(type?.kind ?? 0);
    if (kind !== P.BTF_KIND_ARRAY && !isStruct(kind)) return isThere ? null : "Invalid type_id";
    if (isThere && type !== null && !isWithoutSize(type.kind)) return null;
    if (isStruct(kind)) return "Invalid member";
    return i === 0 ? "Invalid index" : "Invalid elem";
  }

  /** What is wrong with the i-th part once it is known. */
  #partFault(type: Type, i: number, part: number): string | null {
    switch (type.kind) {
      case P.BTF_KIND_ARRAY:
        return i === 0 ? this.#indexFault(part) : this.#elementFault(type, part);
      case P.BTF_KIND_STRUCT:
      case P.BTF_KIND_UNION:
        return this.#memberFault(type, i, part);
      case P.BTF_KIND_DATASEC:
        return this.#variableFault(type, i, part);
      default:
        return null;
    }
  }

  #fault(type: Type): string | null {
    const { kind, sizeOrType } = type;
    const target = this.#btf.types[sizeOrType];
    if (isModifier(kind) || kind === P.BTF_KIND_PTR) {
      // A function that is known already counts as void.
      const isFunction = target?.kind === P.BTF_KIND_FUNC && !this.#done.has(sizeOrType);
      return isFunction ? "Invalid type_id" : null;
    }
    switch (kind) {
      case P.BTF_KIND_FUNC:
        return this.#functionFault(target);
      case P.BTF_KIND_VAR:
        return this.#isValue(sizeOrType) ? null : "Invalid type_id";
      case P.BTF_KIND_DECL_TAG:
        return this.#declarationFault(type, target);
      default:
        return null;
    }
  }

  /** Whether values of the type may lie in others. */
  #isValue(id: number): boolean {
    const kind = this.#btf.types[id]?.kind;
    return kind !== undefined && !isSourceOnly(kind) && sizeOf(this.#btf, id) !== null;
  }

  /** An integer without bits to spare: the others are how compilers once wrote bitfields. */
  #isRegularInt(type: Type | null): boolean {
    if (type?.kind !== P.BTF_KIND_INT) return false;
    const { bits, offset } = this.#intBits(type);
    return offset === 0 && REGULAR_INT_BITS.includes(bits);
  }

  #intBits({ at }: Type): { readonly bits: number; readonly offset: number } {
    const data = this.#btf.view.getUint32(at, true);
    return { bits: data & 0xff, offset: (data >>> 16) & 0xff };
  }

  #indexFault(id: number): string | null {
    return this.#isRegularInt(skipModifiers(this.#btf, id)) ? null : "Invalid index";
  }

  #elementFault({ at }: Type, id: number): string | null {
    if (!this.#isValue(id)) return "Invalid elem";
    const element = skipModifiers(this.#btf, id);
    if (element?.kind === P.BTF_KIND_INT && !this.#isRegularInt(element)) {
      return "Invalid array of int";
    }
    const count = this.#btf.view.getUint32(at + 8, true);
    const size = sizeOf(this.#btf, id) ?? 0;
    return size * count > U32_MAX ? "Array size overflows U32_MAX" : null;
  }

  #memberFault({ at, kindFlag, sizeOrType }: Type, i: number, id: number): string | null {
    const type = skipModifiers(this.#btf, id);
    if (type === null || !this.#isValue(id)) return "Invalid member";
    const raw = this.#btf.view.getUint32(at + 12 * i + 8, true);
    const end = kindFlag
      ? this.#bitfieldEnd(id, type, raw & 0xffffff, raw >>> 24)
      : this.#memberEnd(id, type, raw);
    if (typeof end === "string") return end;
    return end > sizeOrType ? "Member exceeds struct_size" : null;
  }

  /** The byte after a member, or what is wrong with it. @param offset - in bits. */
  #memberEnd(id: number, type: Type, offset: number): number | string {
    if (type.kind === P.BTF_KIND_INT) {
      const int = this.#intBits(type);
      return Math.ceil((offset + int.offset + int.bits) / 8);
    }
    const size = sizeOf(this.#btf, id) ?? 0;
    if (offset % 8 !== 0) return "Member is not byte aligned";
    if (type.kind === P.BTF_KIND_FLOAT && offset % (8 * Math.min(size, POINTER_BYTES)) !== 0) {
      return "Member is not properly aligned";
    }
    return offset / 8 + size;
  }

  /** The same in a struct whose members have widths. @param bits - 0: not a bitfield. */
  #bitfieldEnd(id: number, type: Type, offset: number, bits: number): number | string {
    const isInt = type.kind === P.BTF_KIND_INT;
    if (isInt && !this.#isRegularInt(type)) return "Invalid member base type";
    if (!isInt && type.kind !== P.BTF_KIND_ENUM && type.kind !== P.BTF_KIND_ENUM64) {
      return bits === 0 ? this.#memberEnd(id, type, offset) : "Invalid member bitfield_size";
    }
    const most = isInt ? this.#intBits(type).bits : ENUM_BITS;
    if (bits > most) return "Invalid member bitfield_size";
    if (bits === 0 && offset % 8 !== 0) return "Member is not byte aligned";
    return Math.ceil((offset + (bits || most)) / 8);
  }

  /** What a function returns and takes is seen through when nothing else is under way. */
  #checkPrototype({ sizeOrType, vlen, at }: Type, id: number): number {
    const checkPart = (part: number, isNamed: boolean, what: string): number => {
      const kind = this.#btf.types[part]?.kind;
      const isFit = isNamed && kind !== undefined && !isSourceOnly(kind);
      const errno = isFit ? this.#resolve(part, null, 1) : 0;
      if (errno !== 0 || (isFit && this.#isValue(part))) return errno;
      return this.#log.refuse(EINVAL, `[${id}] Invalid ${what}`);
    };
    const errno = sizeOrType === 0 ? 0 : checkPart(sizeOrType, true, "return type");
    if (errno !== 0) return errno;
    const argument = (i: number): { readonly name: number; readonly part: number } => ({
      name: this.#btf.view.getUint32(at + 8 * i, true),
      part: this.#btf.view.getUint32(at + 8 * i + 4, true),
    });
    // The last one without a type, and without a name, stands for `...`.
    const isOpen = vlen > 0 && argument(vlen - 1).part === 0;
    if (isOpen && argument(vlen - 1).name !== 0) return checkPart(0, false, `arg#${vlen}`);
    for (let i = 0; i < (isOpen ? vlen - 1 : vlen); i++) {
      const { name, part } = argument(i);
      const isNamed = name === 0 || P.isIdentifier(P.btfName(this.#btf, name));
      const errno = checkPart(part, isNamed, `arg#${i + 1}`);
      if (errno !== 0) return errno;
    }
    return 0;
  }

  #functionFault(prototype: Type | null | undefined): string | null {
    if (prototype?.kind !== P.BTF_KIND_FUNC_PROTO) return "Invalid type_id";
    for (let i = 0; i < prototype.vlen; i++) {
      const name = this.#btf.view.getUint32(prototype.at + 8 * i, true);
      const id = this.#btf.view.getUint32(prototype.at + 8 * i + 4, true);
      if (name === 0 && id !== 0) return `Invalid arg#${i + 1}`;
    }
    return null;
  }

  #variableFault({ at }: Type, i: number, id: number): string | null {
    const size = sizeOf(this.#btf, this.#btf.types[id]?.sizeOrType ?? 0);
    if (size === null) return "Invalid type";
    return this.#btf.view.getUint32(at + 12 * i + 8, true) < size ? "Invalid size" : null;
  }

  #declarationFault({ at }: Type, target: Type | null | undefined): string | null {
    const index = this.#btf.view.getInt32(at, true);
    switch (target?.kind) {
      case P.BTF_KIND_STRUCT:
      case P.BTF_KIND_UNION:
        return index < target.vlen ? null : "Invalid component_idx";
      case P.BTF_KIND_FUNC: {
        const prototype = this.#btf.types[target.sizeOrType];
        if (prototype?.kind !== P.BTF_KIND_FUNC_PROTO) return "Invalid type_id";
        return index < prototype.vlen ? null : "Invalid component_idx";
      }
      case P.BTF_KIND_VAR:
      case P.BTF_KIND_TYPEDEF:
        return index === -1 ? null : "Invalid component_idx";
      default:
        return "Invalid type_id";
    }
  }
}

function ownMode(kind: number): Mode | null {
  if (kind === P.BTF_KIND_PTR) return "pointers";
  return kind === P.BTF_KIND_ARRAY || isStruct(kind) ? "values" : null;
}

/** Whether a walk goes on into a type: analogous to env_type_is_resolve_sink() in Linux. */
function isFollowed(kind: number, mode: Mode | null): boolean {
  if (isModifier(kind)) return true;
  if (mode === "pointers") return kind === P.BTF_KIND_PTR;
  if (mode === "values") return kind === P.BTF_KIND_ARRAY || isStruct(kind);
  return ownMode(kind) !== null || kind === P.BTF_KIND_FUNC || isSourceOnly(kind);
}

/** `const` and its like come before type tags, seen from the type itself. */
function checkTypeTags({ types }: P.ParsedBtf, log: VerifierLog): number {
  for (const start of types) {
    let type = start ?? null;
    let inTags = type?.kind === P.BTF_KIND_TYPE_TAG;
    for (let count = 0; type !== null && isModifier(type.kind); count++) {
      if (count === MAX_MODIFIERS) {
        return log.refuse(ELOOP, "Max chain length or cycle detected");
      }
      const isTag = type.kind === P.BTF_KIND_TYPE_TAG;
      if (isTag && !inTags) return log.refuse(EINVAL, "Type tags don't precede modifiers");
      inTags = isTag;
      type = types[type.sizeOrType] ?? null;
    }
  }
  return 0;
}
