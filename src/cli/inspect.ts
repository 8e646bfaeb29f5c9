/**
 * `nslink inspect`: what an object holds, and what would run its programs.
 */

import { ATTACH_TYPE_NAMES, MAP_TYPE_NAMES, PROG_TYPE_NAMES } from "../abi/bpf.ts";
import type { MapSpec, ObjectSpec, ProgramSpec, SectionSpec } from "../elf/index.ts";
import { type Runner, runnerNote, runnersOf, runnerText } from "./engines.ts";
import { readObject } from "./files.ts";
import type { Session } from "./session.ts";
import { type Column, grouped, jsonText, printable, table } from "./text.ts";

const SLOT_BYTES = 8;
const SHF_ALLOC = 2;

/** Prints an object's programs, maps and sections. */
export async function inspect(
  { output }: Session,
  path: string,
  options: { readonly json?: boolean },
): Promise<void> {
  const object = await readObject(path);
  const runners = runnersOf(object);
  const text =
    options.json === true
      ? `${jsonText(asJson(object, runners))}\n`
      : printable(asText(object, runners));
  await output.write(text);
}

type Runners = ReadonlyMap<string, Runner>;

function asJson(object: ObjectSpec, runners: Runners): object {
  return {
    license: object.license,
    btf_bytes: object.btf?.raw.length ?? 0,
    programs: [...object.programs.values()].map((program) => ({
      name: program.name,
      section: program.section,
      type: typeName(program),
      expected_attach_type: attachTypeName(program),
      instructions: program.instructions.length / SLOT_BYTES,
      subprograms: program.subprograms.map(({ name, slot }) => ({ name, slot })),
      maps: mapNames(program),
      source_lines: program.lines.length,
      runs_on: runners.get(program.name) ?? null,
    })),
    maps: [...object.maps.values()].map((map) => ({
      name: map.name,
      type: MAP_TYPE_NAMES[map.type] ?? map.type,
      key_size: map.keySize,
      value_size: map.valueSize,
      max_entries: map.maxEntries,
      flags: map.flags,
      pinning: map.pinning,
      frozen: map.freeze,
      contents: contentsOf(map),
    })),
    sections: object.sections.map(({ name, size, type, flags }) => ({ name, size, type, flags })),
  };
}

function asText(object: ObjectSpec, runners: Runners): string {
  const number = (title: string): Column => ({ title, align: "right" });
  const programs = table(
    [
      { title: "program" },
      { title: "type" },
      { title: "section" },
      number("insns"),
      { title: "calls" },
      { title: "maps" },
      { title: "runs on" },
    ],
    [...object.programs.values()].map((program) => [
      program.name,
      typeName(program).replace("BPF_PROG_TYPE_", "").toLowerCase(),
      program.section,
      `${program.instructions.length / SLOT_BYTES}`,
      program.subprograms
        .slice(1)
        .map(({ name }) => name)
        .join(", ") || "-",
      mapNames(program).join(", ") || "-",
      runnerText(runners.get(program.name)),
    ]),
  );
  const maps = table(
    [
      { title: "map" },
      { title: "type" },
      number("key"),
      number("value"),
      number("entries"),
      { title: "contents" },
    ],
    [...object.maps.values()].map((map) => [
      map.name,
      (MAP_TYPE_NAMES[map.type] ?? `${map.type}`).replace("BPF_MAP_TYPE_", "").toLowerCase(),
      `${map.keySize}`,
      grouped(map.valueSize),
      grouped(map.maxEntries),
      contentsOf(map),
    ]),
  );
  const sections = table(
    [{ title: "section" }, number("bytes"), { title: "loaded" }],
    object.sections
      .filter(({ size }) => size > 0)
      .map((section) => [section.name, grouped(section.size), isLoaded(section) ? "yes" : "no"]),
  );
  const license = object.license === "" ? "none" : object.license;
  const btf = object.btf === null ? "none" : `${grouped(object.btf.raw.length)} bytes`;
  const notes = [...runners].map(([name, runner]) => runnerNote(name, runner));
  const noted = notes.flatMap((note) => (note === null ? [] : [`${note}\n`])).join("");
  return [
    object.programs.size === 0 ? "no programs\n" : programs + noted,
    object.maps.size === 0 ? "no maps\n" : maps,
    sections,
    `license ${license}; BTF ${btf}\n`,
  ].join("\n");
}

function typeName(program: ProgramSpec): string {
  return PROG_TYPE_NAMES[program.type] ?? `${program.type}`;
}

function attachTypeName(program: ProgramSpec): string | null {
  const { expectedAttachType } = program;
  return expectedAttachType === 0 ? null : (ATTACH_TYPE_NAMES[expectedAttachType] ?? null);
}

function mapNames(program: ProgramSpec): string[] {
  return [...new Set(program.references.map(({ map }) => map))];
}

/** What a map starts with: "112 bytes, frozen", "6 programs", "pinned by name". */
function contentsOf(map: MapSpec): string {
  const { contents } = map;
  const parts = [
    contents?.kind === "bytes" ? [`${grouped(contents.bytes.length)} bytes`] : [],
    contents !== null && contents.kind !== "bytes"
      ? [`${contents.slots.length} ${contents.kind}`]
      : [],
    map.freeze ? ["frozen"] : [],
    map.pinning === "by-name" ? ["pinned by name"] : [],
  ].flat();
  return parts.length === 0 ? "-" : parts.join(", ");
}

function isLoaded({ flags }: SectionSpec): boolean {
  return (flags & SHF_ALLOC) !== 0;
}
