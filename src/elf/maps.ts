/** Maps declared in `.maps`: a struct whose member types say what map to create. */

import {
  BPF_MAP_TYPE_ARENA,
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_CGROUP_ARRAY,
  BPF_MAP_TYPE_CPUMAP,
  BPF_MAP_TYPE_DEVMAP,
  BPF_MAP_TYPE_DEVMAP_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_PROG_ARRAY,
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_SOCKHASH,
  BPF_MAP_TYPE_SOCKMAP,
  BPF_MAP_TYPE_STACK,
  BPF_MAP_TYPE_STACK_TRACE,
  BPF_MAP_TYPE_XSKMAP,
} from "../abi/bpf.ts";
import type { BtfComposite, BtfMember, BtfSection } from "./btf.ts";
import { resolveType, sizeOfType, typeById } from "./btf_types.ts";
import type { ElfFile } from "./elf.ts";
import { ObjectError } from "./error.ts";
import { MAX_MAPS, MAX_VALUE_BYTES } from "./limits.ts";
import type { MapSpec } from "./spec.ts";

/** Name of the section, and of its description in BTF. */
export const MAPS_SECTION = ".maps";

/** A map as declared, and where its variable lies in `.maps`. */
export interface MapDeclaration {
  readonly spec: MapSpec;
  readonly start: number;
  readonly end: number;
  /** Byte offset in `.maps` of the first of the variable's `values`; null without the member. */
  readonly values: number | null;
}

/** Map types that Linux doesn't create with BTF ids; nor does it with one id of the two. */
const TYPES_WITHOUT_BTF: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE_ARENA,
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_CGROUP_ARRAY,
  BPF_MAP_TYPE_CPUMAP,
  BPF_MAP_TYPE_DEVMAP,
  BPF_MAP_TYPE_DEVMAP_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_SOCKHASH,
  BPF_MAP_TYPE_SOCKMAP,
  BPF_MAP_TYPE_STACK,
  BPF_MAP_TYPE_STACK_TRACE,
  BPF_MAP_TYPE_XSKMAP,
]);

/** True for the types whose values are maps. */
export function holdsMaps(type: number): boolean {
  return type === BPF_MAP_TYPE_ARRAY_OF_MAPS || type === BPF_MAP_TYPE_HASH_OF_MAPS;
}

/** The maps of `.maps`, in the order of their variables, still without contents. */
export function parseMaps(elf: ElfFile, btf: BtfSection | null): MapDeclaration[] {
  const legacy = elf.sectionsByName.get("maps");
  if (legacy) {
    throw new ObjectError("maps", 0, "maps of the form before BTF; declare them in .maps instead");
  }
  const section = elf.sectionsByName.get(MAPS_SECTION);
  if (!section) return [];
  const description = btf?.sections.get(MAPS_SECTION);
  if (!btf || !description) {
    throw new ObjectError(MAPS_SECTION, 0, "no BTF describes the maps; compile with -g");
  }
  if (description.variables.length > MAX_MAPS) {
    throw new ObjectError(MAPS_SECTION, 0, `more than ${MAX_MAPS} maps`);
  }
  return description.variables.map((variable) => {
    const end = variable.offset + variable.size;
    const declaration = typeById(btf, variable.type);
    if (declaration.kind !== "var" || declaration.name === "") {
      const problem = `BTF type ${variable.type} is no variable`;
      throw new ObjectError(MAPS_SECTION, variable.offset, problem);
    }
    const { name } = declaration;
    if (end > section.size) {
      throw new ObjectError(MAPS_SECTION, variable.offset, `map ${name} ends outside, at ${end}`);
    }
    const definition = resolveType(btf, declaration.type);
    if (definition.kind !== "struct") {
      throw new ObjectError(MAPS_SECTION, variable.offset, `map ${name} is no struct`);
    }
    const reader = new DeclarationReader(btf, name, variable.offset);
    const { spec, values } = reader.read(definition, null);
    const firstValue = values === null ? null : variable.offset + values;
    return { spec, start: variable.offset, end, values: firstValue };
  });
}

/** A {@link MapSpec} in the making. */
type Draft = { -readonly [K in keyof MapSpec]: MapSpec[K] };

class DeclarationReader {
  readonly #btf: BtfSection;
  readonly #name: string;
  /** Where errors point: the variable's offset in `.maps`. */
  readonly #offset: number;

  constructor(btf: BtfSection, name: string, offset: number) {
    this.#btf = btf;
    this.#name = name;
    this.#offset = offset;
  }

  /** `outer` is the type of the map that the described one would be in, or null. */
  read(definition: BtfComposite, outer: number | null): { spec: MapSpec; values: number | null } {
    const draft: Draft = {
      name: outer === null ? this.#name : `${this.#name}.inner`,
      type: 0,
      keySize: 0,
      valueSize: 0,
      maxEntries: 0,
      flags: 0,
      numaNode: 0,
      mapExtra: 0n,
      pinning: "none",
      inner: null,
      contents: null,
      freeze: false,
      keyTypeId: 0,
      valueTypeId: 0,
    };
    let values: number | null = null;
    for (const member of definition.members) {
      if (values !== null) this.#fail(`${member.name} comes after values, which has to be last`);
      if (member.name === "values") {
        if (outer !== null) this.#fail("an inner map can't have values");
        values = member.bitOffset / 8;
        draft.inner = this.#readValues(member, draft.type);
        draft.valueSize = this.#agree(member, draft.valueSize, 4);
      } else {
        this.#readField(draft, member, outer);
      }
    }
    if (draft.type === 0) this.#fail("the map has no type");
    if (holdsMaps(draft.type) && draft.valueSize === 0) draft.valueSize = 4;
    const hasBothTypes = draft.keyTypeId !== 0 && draft.valueTypeId !== 0;
    if (!hasBothTypes || TYPES_WITHOUT_BTF.has(draft.type)) draft.keyTypeId = draft.valueTypeId = 0;
    return { spec: draft, values };
  }

  #readField(draft: Draft, member: BtfMember, outer: number | null): void {
    switch (member.name) {
      case "type":
        draft.type = this.#number(member);
        break;
      case "max_entries":
        draft.maxEntries = this.#number(member);
        break;
      case "map_flags":
        draft.flags = this.#number(member);
        break;
      case "numa_node":
        draft.numaNode = this.#number(member);
        break;
      case "map_extra":
        draft.mapExtra = this.#longNumber(member);
        break;
      case "key_size":
        draft.keySize = this.#agree(member, draft.keySize, this.#number(member));
        break;
      case "value_size":
        draft.valueSize = this.#agree(member, draft.valueSize, this.#number(member));
        break;
      case "key":
        draft.keyTypeId = this.#typeOf(member);
        draft.keySize = this.#agree(member, draft.keySize, this.#sizeOf(member));
        break;
      case "value":
        draft.valueTypeId = this.#typeOf(member);
        draft.valueSize = this.#agree(member, draft.valueSize, this.#sizeOf(member));
        break;
      case "pinning": {
        const pinning = this.#number(member);
        if (outer !== null) this.#fail("an inner map can't be pinned");
        if (pinning > 1) this.#fail(`pinning ${pinning}; 0 is none and 1 is by name`);
        draft.pinning = pinning === 1 ? "by-name" : "none";
        break;
      }
      default:
        this.#fail(`${member.name || "a member without a name"} means nothing in a map`);
    }
  }

  /** `__array(values, X)` is `X *values[]`: what a slot holds. Gives the maps inside, if any. */
  #readValues(member: BtfMember, type: number): MapSpec | null {
    const array = typeById(this.#btf, member.type);
    const pointer = array.kind === "array" && resolveType(this.#btf, array.elementType);
    if (!pointer || array.length !== 0 || pointer.kind !== "ptr") {
      return this.#fail("values has to be an array of pointers without a length");
    }
    const element = resolveType(this.#btf, pointer.type);
    if (holdsMaps(type)) {
      if (element.kind !== "struct") return this.#fail("values of a map of maps have to be maps");
      const inner = this.read(element, type).spec;
      return holdsMaps(inner.type) ? this.#fail("maps of maps of maps don't exist") : inner;
    }
    if (type !== BPF_MAP_TYPE_PROG_ARRAY) {
      return this.#fail("only prog arrays and maps of maps have values (and type comes first)");
    }
    if (element.kind === "func_proto") return null;
    return this.#fail("values of a prog array have to be functions");
  }

  /** `__uint(name, N)` is `int (*name)[N]`. */
  #number(member: BtfMember): number {
    const array = typeById(this.#btf, this.#typeOf(member));
    if (array.kind === "array") return array.length;
    return this.#fail(`${member.name} is not declared with __uint()`);
  }

  /** `__ulong(name, N)` is an enum of one value; `__uint()` will do as well. */
  #longNumber(member: BtfMember): bigint {
    const type = resolveType(this.#btf, member.type);
    if (type.kind !== "enum" && type.kind !== "enum64") return BigInt(this.#number(member));
    const [only, ...others] = type.values;
    if (only && others.length === 0) return BigInt.asUintN(64, only.value);
    return this.#fail(`${member.name} is not declared with __ulong()`);
  }

  /** `__type(name, T)` is `T *name`. */
  #typeOf(member: BtfMember): number {
    const pointer = resolveType(this.#btf, member.type);
    if (pointer.kind === "ptr") return pointer.type;
    return this.#fail(`${member.name} is no pointer: not declared with __uint() or __type()`);
  }

  #sizeOf(member: BtfMember): number {
    const size = sizeOfType(this.#btf, this.#typeOf(member));
    if (size !== undefined && size <= MAX_VALUE_BYTES) return size;
    return this.#fail(`the type of ${member.name} has no size that a map could have`);
  }

  #agree(member: BtfMember, before: number, now: number): number {
    if (before === 0 || before === now) return now;
    return this.#fail(`${member.name} means ${now} bytes, but ${before} are said already`);
  }

  #fail(problem: string): never {
    throw new ObjectError(MAPS_SECTION, this.#offset, `map ${this.#name}: ${problem}`);
  }
}
