/** From the bytes of an object file to its {@link ObjectSpec}. */

import { type BtfSection, parseBtf } from "./btf.ts";
import { parseBtfExt } from "./btf_ext.ts";
import { completeBtf } from "./btf_fixup.ts";
import { dataMap, fillMaps, isData } from "./contents.ts";
import { DebugInfoLinker } from "./debug_info.ts";
import { type ElfFile, parseElf } from "./elf.ts";
import { ObjectError } from "./error.ts";
import { FunctionTable } from "./functions.ts";
import { MAX_PROGRAMS } from "./limits.ts";
import { Linker } from "./link.ts";
import { type MapDeclaration, parseMaps } from "./maps.ts";
import { readString } from "./reader.ts";
import { ReferenceFinder } from "./references.ts";
import { meaningOfSection } from "./section_names.ts";
import type { MapSpec, ObjectSpec, ProgramSpec } from "./spec.ts";

/**
 * Reads an object file that `clang -target bpf` wrote.
 *
 * Every program is linked with the subprograms that it calls; what is left for a loader is to
 * create the maps and to write their file descriptors into the instructions. Nothing is loaded.
 *
 *     const object = loadObject(readFileSync("flow.bpf.o"));
 *     for (const program of object.programs.values()) console.log(program.name, program.section);
 *
 * @param bytes - the whole file; the result holds no view of it.
 * @throws {ObjectError} whatever is wrong with the file, or needs a kernel's BTF or configuration
 *   (extern variables and functions, CO-RE relocations of structs that aren't part of an
 *   interface).
 */
export function loadObject(bytes: Uint8Array): ObjectSpec {
  // A copy of plain Uint8Array: the slice() of a Buffer of Node's would be a view.
  const elf = parseElf(new Uint8Array(bytes));
  const btf = readBtf(elf);
  const functions = new FunctionTable(elf);
  const declarations = parseMaps(elf, btf);
  const license = readLicense(elf);
  return {
    programs: linkPrograms(elf, btf, functions, declarations, license),
    maps: collectMaps(elf, btf, functions, declarations),
    btf: btf && { raw: btf.raw, types: btf.types },
    license,
    sections: elf.sections.slice(1).map(({ name, size, type, flags }) => {
      return { name, size, type, flags };
    }),
  };
}

function readBtf(elf: ElfFile): BtfSection | null {
  const section = elf.sectionsByName.get(".BTF");
  return section ? completeBtf(parseBtf(section.content), elf) : null;
}

function readLicense(elf: ElfFile): string {
  const section = elf.sectionsByName.get("license");
  return section ? readString(section.content, 0, section.name) : "";
}

function collectMaps(
  elf: ElfFile,
  btf: BtfSection | null,
  functions: FunctionTable,
  declarations: readonly MapDeclaration[],
): Map<string, MapSpec> {
  const maps = new Map<string, MapSpec>();
  const add = (spec: MapSpec, section: string): void => {
    if (maps.has(spec.name)) throw new ObjectError(section, 0, `there are two maps ${spec.name}`);
    maps.set(spec.name, spec);
  };
  for (const spec of fillMaps(elf, declarations, functions)) add(spec, ".maps");
  for (const section of elf.sections.filter(isData)) add(dataMap(elf, section, btf), section.name);
  return maps;
}

function linkPrograms(
  elf: ElfFile,
  btf: BtfSection | null,
  functions: FunctionTable,
  declarations: readonly MapDeclaration[],
  license: string,
): Map<string, ProgramSpec> {
  const extSection = btf && elf.sectionsByName.get(".BTF.ext");
  const ext = extSection ? parseBtfExt(extSection.content, btf) : null;
  const linker = new Linker(new ReferenceFinder(elf, functions, declarations));
  const debugInfo = new DebugInfoLinker(btf, ext);
  const programs = new Map<string, ProgramSpec>();
  for (const main of functions.all) {
    const { name, section, start } = main;
    if (!main.isProgram) continue;
    if (programs.has(name)) throw new ObjectError(section.name, start, `two programs ${name}`);
    if (programs.size === MAX_PROGRAMS) {
      throw new ObjectError(section.name, start, `more than ${MAX_PROGRAMS} programs`);
    }
    const linked = linker.link(main);
    programs.set(name, {
      name,
      section: section.name,
      ...meaningOfSection(section.name),
      license,
      instructions: linked.instructions,
      references: linked.references,
      subprograms: linked.functions.map(({ code, slot }) => ({ name: code.name, slot })),
      ...debugInfo.link(linked.functions),
    });
  }
  return programs;
}
