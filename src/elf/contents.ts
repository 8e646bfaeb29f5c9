/** What maps start with: sections of data, and `.values = { [0] = &program }` in `.maps`. */

import { BPF_F_RDONLY_PROG, BPF_MAP_TYPE_ARRAY } from "../abi/bpf.ts";
import type { BtfSection } from "./btf.ts";
import {
  type ElfFile,
  type ElfRelocation,
  type ElfSection,
  R_BPF_64_64,
  R_BPF_64_ABS64,
  SHF_ALLOC,
  SHT_NOBITS,
  SHT_PROGBITS,
  sectionOf,
} from "./elf.ts";
import { ObjectError } from "./error.ts";
import type { FunctionTable } from "./functions.ts";
import { MAX_INITIAL_SLOTS, MAX_VALUE_BYTES } from "./limits.ts";
import { holdsMaps, MAPS_SECTION, type MapDeclaration } from "./maps.ts";
import { Cursor } from "./reader.ts";
import type { InitialSlot, MapSpec } from "./spec.ts";

const POINTER_BYTES = 8;

/** True for sections that become a map of one value: .data, .rodata, .bss, and .data.NAME etc. */
export function isData(section: ElfSection): boolean {
  const hasBytes = section.type === SHT_PROGBITS || section.type === SHT_NOBITS;
  return (
    hasBytes &&
    section.size > 0 &&
    (section.flags & SHF_ALLOC) !== 0 &&
    /^\.(data|rodata|bss)($|\.)/.test(section.name)
  );
}

/** The map of a section of data: an array of one value. */
export function dataMap(elf: ElfFile, section: ElfSection, btf: BtfSection | null): MapSpec {
  const [pointer] = elf.relocations.get(section.index) ?? [];
  if (pointer) {
    const problem =
      `a pointer (to ${pointer.symbol.name || "a section"}) in data has no value before the maps ` +
      "exist; store an index instead";
    throw new ObjectError(section.name, pointer.offset, problem);
  }
  if (section.size > MAX_VALUE_BYTES) {
    const problem = `${section.size} bytes; a map's value has at most ${MAX_VALUE_BYTES}`;
    throw new ObjectError(section.name, 0, problem);
  }
  const isReadOnly = section.name.startsWith(".rodata");
  return {
    name: section.name,
    type: BPF_MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: section.size,
    maxEntries: 1,
    flags: isReadOnly ? BPF_F_RDONLY_PROG : 0,
    numaNode: 0,
    mapExtra: 0n,
    pinning: "none",
    inner: null,
    contents: section.type === SHT_NOBITS ? null : { kind: "bytes", bytes: section.content },
    freeze: isReadOnly,
    keyTypeId: 0,
    valueTypeId: btf?.sections.get(section.name)?.id ?? 0,
  };
}

/** The declared maps with what their `.values` name. */
export function fillMaps(
  elf: ElfFile,
  declarations: readonly MapDeclaration[],
  functions: FunctionTable,
): MapSpec[] {
  const section = elf.sectionsByName.get(MAPS_SECTION);
  const relocations = section ? (elf.relocations.get(section.index) ?? []) : [];
  if (!section || relocations.length === 0) return declarations.map(({ spec }) => spec);
  if (relocations.length > MAX_INITIAL_SLOTS) {
    throw new ObjectError(MAPS_SECTION, 0, `more than ${MAX_INITIAL_SLOTS} initial values`);
  }
  const slots = new Map<MapDeclaration, InitialSlot[]>();
  for (const relocation of relocations) {
    const { offset } = relocation;
    const owner = declarations.find(({ start, end }) => start <= offset && offset < end);
    if (!owner || owner.values === null || offset < owner.values) {
      throw new ObjectError(MAPS_SECTION, offset, "a pointer that isn't in the values of a map");
    }
    const key = (offset - owner.values) / POINTER_BYTES;
    if (!Number.isInteger(key) || key >= owner.spec.maxEntries) {
      const problem = `map ${owner.spec.name} has ${owner.spec.maxEntries} entries, none at ${key}`;
      throw new ObjectError(MAPS_SECTION, offset, problem);
    }
    const name = holdsMaps(owner.spec.type)
      ? targetMap(elf, section, relocation, declarations)
      : targetProgram(elf, section, relocation, functions);
    const initial = slots.get(owner) ?? [];
    slots.set(owner, initial);
    initial.push({ key, name });
  }
  return declarations.map((declaration) => {
    const initial = slots.get(declaration);
    if (!initial) return declaration.spec;
    const kind = holdsMaps(declaration.spec.type) ? "maps" : "programs";
    return { ...declaration.spec, contents: { kind, slots: initial } };
  });
}

function targetMap(
  elf: ElfFile,
  section: ElfSection,
  relocation: ElfRelocation,
  declarations: readonly MapDeclaration[],
): string {
  const place = placeOf(section, relocation);
  const target = declarations.find(({ start }) => start === place);
  if (target && sectionOf(elf, relocation.symbol) === section) return target.spec.name;
  const problem = `${relocation.symbol.name || "the initial value"} is no map`;
  throw new ObjectError(MAPS_SECTION, relocation.offset, problem);
}

function targetProgram(
  elf: ElfFile,
  section: ElfSection,
  relocation: ElfRelocation,
  functions: FunctionTable,
): string {
  const home = sectionOf(elf, relocation.symbol);
  const target = home && functions.startingAt(home, placeOf(section, relocation));
  if (target?.isProgram) return target.name;
  const problem = `${relocation.symbol.name || "the initial value"} is no program`;
  throw new ObjectError(MAPS_SECTION, relocation.offset, problem);
}

/** Offset in the symbol's section that a 64-bit pointer in `section` leads to. */
function placeOf(section: ElfSection, { offset, type, symbol }: ElfRelocation): number {
  if (type !== R_BPF_64_ABS64 && type !== R_BPF_64_64) {
    throw new ObjectError(section.name, offset, `relocation type ${type} of a pointer in data`);
  }
  return symbol.value + new Cursor(section.content, section.name, offset).size64();
}
