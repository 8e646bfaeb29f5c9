/**
 * Compiled programs of this repository, for mutations: those whose maps the embedded kernel has.
 */

import { readFileSync } from "node:fs";
import * as BPF from "../../src/abi/bpf.ts";
import { BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "../../src/abi/insn.ts";
import { decodeInstructions, type Instruction } from "../../src/asm/index.ts";
import {
  loadObject,
  type MapSpec,
  type ObjectSpec,
  type ProgramSpec,
} from "../../src/elf/index.ts";

// biome-ignore format: a list of names reads best filled
const FILES = [
  "bpf/flow.bpf.o", "bpf/flow-v2.bpf.o", "bench/corpus/csum.bpf.o", "bench/corpus/fd.bpf.o",
  "bench/corpus/fnv.bpf.o", "bench/corpus/maparr.bpf.o", "bench/corpus/maphash.bpf.o",
  "bench/corpus/muldiv.bpf.o", "bench/corpus/xxh.bpf.o", "test/elf/fixtures/core.o",
  "test/elf/fixtures/everything.v1.o", "test/elf/fixtures/everything.v3.o",
  "test/elf/fixtures/everything.v4.o", "test/elf/fixtures/minimal.o",
  "test/elf/fixtures/sections.o",
];

const MAP_TYPES: ReadonlySet<number> = new Set([
  BPF.BPF_MAP_TYPE_HASH,
  BPF.BPF_MAP_TYPE_ARRAY,
  BPF.BPF_MAP_TYPE_PROG_ARRAY,
  BPF.BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF.BPF_MAP_TYPE_PERCPU_HASH,
  BPF.BPF_MAP_TYPE_LRU_HASH,
]);
const PROGRAM_TYPES: ReadonlySet<number> = new Set([
  BPF.BPF_PROG_TYPE_SOCKET_FILTER,
  BPF.BPF_PROG_TYPE_XDP,
  BPF.BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF.BPF_PROG_TYPE_SK_LOOKUP,
]);

/** An object that has a program to mutate. */
interface Source {
  readonly object: ObjectSpec;
  /** Index of its first map among all objects' maps. */
  readonly firstMap: number;
}

let sources: readonly Source[] | null = null;

function load(): readonly Source[] {
  if (sources !== null) return sources;
  let firstMap = 0;
  sources = FILES.map((file) => {
    const object = loadObject(readFileSync(file));
    const source = { object, firstMap };
    firstMap += usableMaps(object).length;
    return source;
  });
  return sources;
}

function usableMaps({ maps }: ObjectSpec): MapSpec[] {
  return [...maps.values()].filter(({ type }) => MAP_TYPES.has(type));
}

/** The maps of all objects. */
export function objectMaps(): MapSpec[] {
  return load().flatMap(({ object }) => usableMaps(object));
}

/** The BTF of each object, as BPF_BTF_LOAD takes it; null without. */
export function objectBtf(): (Uint8Array | null)[] {
  return load().map(({ object }) => object.btf?.raw ?? null);
}

/** A compiled program, its maps by index among {@link objectMaps}. */
export interface CompiledProgram {
  readonly name: string;
  readonly type: number;
  readonly attachType: number;
  readonly instructions: readonly Instruction[];
  /** Index among {@link objectBtf}, and (slot, type id) of each function. */
  readonly object: number;
  readonly functions: readonly (readonly [slot: number, typeId: number])[];
}

/** All programs that both kernels could load as they are. */
export function compiledPrograms(): CompiledProgram[] {
  return load().flatMap(({ object, firstMap }, index) => {
    const maps = usableMaps(object);
    return [...object.programs.values()]
      .filter(({ type, references }) => {
        const known = references.every(({ map }) => maps.some(({ name }) => name === map));
        return known && PROGRAM_TYPES.has(type);
      })
      .map((program) => ({
        name: `${FILES[index]} ${program.name}`,
        type: program.type,
        attachType: program.expectedAttachType,
        instructions: withMaps(program, (name) => {
          return firstMap + maps.findIndex((map) => map.name === name);
        }),
        object: index,
        functions: functionsOf(program),
      }));
  });
}

function withMaps(program: ProgramSpec, indexOf: (map: string) => number): Instruction[] {
  const insns = decodeInstructions(program.instructions);
  for (const { slot, map, kind } of program.references) {
    const src = kind === "fd" ? BPF_PSEUDO_MAP_FD : BPF_PSEUDO_MAP_VALUE;
    insns[slot] = { ...(insns[slot] as Instruction), src, imm: indexOf(map) };
  }
  return insns;
}

function functionsOf({ funcInfo }: ProgramSpec): (readonly [number, number])[] {
  if (funcInfo === null) return [];
  const words = new Uint32Array(funcInfo.slice().buffer);
  return Array.from({ length: words.length / 2 }, (_, i) => [
    words[2 * i] as number,
    words[2 * i + 1] as number,
  ]);
}
