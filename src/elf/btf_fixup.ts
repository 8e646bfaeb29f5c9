/**
 * Completes BTF as clang leaves it so that Linux takes it: sizes of data sections, places of
 * variables, linkage of hidden functions. libbpf does the same before BPF_BTF_LOAD.
 */

import {
  BTF_STATIC,
  type BtfDataSection,
  type BtfFunction,
  type BtfSection,
  type BtfType,
  type BtfVariable,
  describeBtf,
} from "./btf.ts";
import { typeById } from "./btf_types.ts";
import { type ElfFile, type ElfSymbol, STB_LOCAL, STV_HIDDEN, STV_INTERNAL } from "./elf.ts";

const INFO_OFFSET = 4;
const SIZE_OFFSET = 8;
const RECORDS_OFFSET = 12;
const VARIABLE_RECORD_BYTES = 12;
const VARIABLE_LINKAGE_OFFSET = 12;

/** The same BTF, completed by what the object's sections and symbols say. */
export function completeBtf(btf: BtfSection, elf: ElfFile): BtfSection {
  const raw = new Uint8Array(btf.raw);
  const view = new DataView(raw.buffer);
  const symbols = globalSymbols(elf);
  const types = btf.types.map((type): BtfType => {
    switch (type.kind) {
      case "datasec":
        return completeDataSection(view, type, btf, elf, symbols);
      case "func":
      case "var":
        return completeLinkage(view, type, symbols.get(type.name));
      default:
        return type;
    }
  });
  return describeBtf(raw, types, btf.strings);
}

/** Hidden means: verify it together with its callers, which Linux does for static functions. */
function completeLinkage(
  view: DataView,
  type: BtfFunction | BtfVariable,
  symbol: ElfSymbol | undefined,
): BtfType {
  const isHidden = symbol?.visibility === STV_HIDDEN || symbol?.visibility === STV_INTERNAL;
  if (!isHidden || type.linkage === BTF_STATIC) return type;
  if (type.kind === "var") {
    view.setUint32(type.offset + VARIABLE_LINKAGE_OFFSET, BTF_STATIC, true);
  } else {
    const info = view.getUint32(type.offset + INFO_OFFSET, true);
    view.setUint32(type.offset + INFO_OFFSET, (info & ~0xffff) | BTF_STATIC, true);
  }
  return { ...type, linkage: BTF_STATIC };
}

function globalSymbols(elf: ElfFile): Map<string, ElfSymbol> {
  const symbols = new Map<string, ElfSymbol>();
  for (const symbol of elf.symbols) {
    if (symbol.binding !== STB_LOCAL) symbols.set(symbol.name, symbol);
  }
  return symbols;
}

function completeDataSection(
  view: DataView,
  type: BtfDataSection,
  btf: BtfSection,
  elf: ElfFile,
  symbols: ReadonlyMap<string, ElfSymbol>,
): BtfDataSection {
  const section = elf.sectionsByName.get(type.name);
  // An object that went through a linker has it all already.
  if (type.size !== 0 || !section) return type;
  view.setUint32(type.offset + SIZE_OFFSET, section.size, true);
  const variables = type.variables.map((variable) => {
    const declaration = typeById(btf, variable.type);
    // Static variables have their offset in place: their relocation is against the section.
    const isStatic = declaration.kind === "var" && declaration.linkage === BTF_STATIC;
    const symbol = isStatic ? undefined : symbols.get(declaration.name);
    return { ...variable, offset: symbol?.value ?? variable.offset };
  });
  variables.sort((left, right) => left.offset - right.offset);
  for (const [index, { type: id, offset, size }] of variables.entries()) {
    const at = type.offset + RECORDS_OFFSET + index * VARIABLE_RECORD_BYTES;
    view.setUint32(at, id, true);
    view.setUint32(at + 4, offset, true);
    view.setUint32(at + 8, size, true);
  }
  return { ...type, size: section.size, variables };
}
