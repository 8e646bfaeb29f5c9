/** What an object file says: plain values, the same whenever and wherever the file is read. */

import type { Btf } from "./btf.ts";

/** All that an object file holds for a loader. */
export interface ObjectSpec {
  /** By name of the C function, in the order of the file. */
  readonly programs: ReadonlyMap<string, ProgramSpec>;
  /** By name; those of `.maps` first, then one for each section of data, named after it. */
  readonly maps: ReadonlyMap<string, MapSpec>;
  /** Types, complete as Linux wants them for BPF_BTF_LOAD; null without `-g`. */
  readonly btf: Btf | null;
  /** What the `license` section says; empty without one. */
  readonly license: string;
  /** Every section of the file, for a reader's eyes. */
  readonly sections: readonly SectionSpec[];
}

/** A section of the file. */
export interface SectionSpec {
  readonly name: string;
  /** Bytes in memory; a section without bits has none in the file. */
  readonly size: number;
  /** SHT_… of elf.h: 1 is bits of the program, 8 is zeros that the file doesn't hold. */
  readonly type: number;
  /** SHF_… of elf.h: 1 writable, 2 in memory at run time, 4 executable. */
  readonly flags: number;
}

/** A program with the subprograms that it calls, ready for BPF_PROG_LOAD but for its map fds. */
export interface ProgramSpec {
  /** Name of the C function; Linux takes the first 15 bytes of it. */
  readonly name: string;
  /** Name of its section as the file has it. */
  readonly section: string;
  /** BPF_PROG_TYPE_…, from the section's name; BPF_PROG_TYPE_UNSPEC if that says nothing. */
  readonly type: number;
  /** BPF_… attach type to load it with; 0 if none is asked for. */
  readonly expectedAttachType: number;
  /** BPF_F_… of BPF_PROG_LOAD. */
  readonly flags: number;
  /** False if the section's name starts with `?`: load it only when asked to. */
  readonly autoload: boolean;
  readonly license: string;
  /** Instructions of the main function and its subprograms, 8 bytes a slot. */
  readonly instructions: Uint8Array;
  /** Where the file descriptors of maps go. */
  readonly references: readonly MapReference[];
  /** The functions of `instructions`; the main one comes first, at slot 0. */
  readonly subprograms: readonly SubprogramSpec[];
  /**
   * For `func_info` of BPF_PROG_LOAD: records of {@link FUNC_INFO_SIZE} bytes (slot, type id in
   * the object's BTF); null unless each function has one, as Linux wants it.
   */
  readonly funcInfo: Uint8Array | null;
  /**
   * For `line_info` of BPF_PROG_LOAD: records of {@link LINE_INFO_SIZE} bytes (slot, file name and
   * text as string offsets in the object's BTF, line << 10 | column); null unless each function
   * starts with one, as Linux wants it.
   */
  readonly lineInfo: Uint8Array | null;
  /** The source lines of `lineInfo`, decoded, ordered by slot. */
  readonly lines: readonly SourceLine[];
}

/** Bytes of one record of {@link ProgramSpec.funcInfo}: sizeof(struct bpf_func_info). */
export const FUNC_INFO_SIZE = 8;

/** Bytes of one record of {@link ProgramSpec.lineInfo}: sizeof(struct bpf_line_info). */
export const LINE_INFO_SIZE = 16;

/** An ld_imm64 whose lower immediate has to become the file descriptor of a map. */
export interface MapReference {
  /** Slot of the ld_imm64's first half; its immediate is 0 until a loader writes the fd. */
  readonly slot: number;
  /** Key in {@link ObjectSpec.maps}. */
  readonly map: string;
  /**
   * `"fd"`: the map itself (BPF_PSEUDO_MAP_FD). `"value"`: an address in its first value
   * (BPF_PSEUDO_MAP_VALUE); the offset is in the instruction already.
   */
  readonly kind: "fd" | "value";
  /** For `"value"`: bytes from the start of the value; else 0. */
  readonly offset: number;
}

/** One function of a linked program. */
export interface SubprogramSpec {
  readonly name: string;
  readonly slot: number;
}

/** Where the instructions from `slot` on come from. */
export interface SourceLine {
  readonly slot: number;
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** Counted from 1; 0 if unknown. */
  readonly column: number;
  /** The line itself; empty if the compiler couldn't see it. */
  readonly text: string;
}

/** A map to create, and what to put in. */
export interface MapSpec {
  /** Name of the C variable, or of the section of data; Linux takes the first 15 bytes of it. */
  readonly name: string;
  /** BPF_MAP_TYPE_… */
  readonly type: number;
  /** Bytes. */
  readonly keySize: number;
  /** Bytes. */
  readonly valueSize: number;
  /** 0 where the object leaves it to the loader. */
  readonly maxEntries: number;
  /** BPF_F_… of BPF_MAP_CREATE. */
  readonly flags: number;
  /** Node to allocate on; only with BPF_F_NUMA_NODE in `flags`. */
  readonly numaNode: number;
  readonly mapExtra: bigint;
  /** `"by-name"` is LIBBPF_PIN_BY_NAME: share the map pinned under its name, or pin it there. */
  readonly pinning: "none" | "by-name";
  /** For an array or hash of maps: what the maps inside look like. */
  readonly inner: MapSpec | null;
  /** What the map starts with; null leaves it as it is created. */
  readonly contents: MapContents | null;
  /** Freeze the map once its contents are in (`.rodata`). */
  readonly freeze: boolean;
  /** Ids in the object's BTF for BPF_MAP_CREATE; 0 where there are none or Linux takes none. */
  readonly keyTypeId: number;
  readonly valueTypeId: number;
}

/** What a map starts with. */
export type MapContents =
  /** The value at key 0. */
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** Programs of a prog array; `name` is a key of {@link ObjectSpec.programs}. */
  | { readonly kind: "programs"; readonly slots: readonly InitialSlot[] }
  /** Maps of an array or hash of maps; `name` is a key of {@link ObjectSpec.maps}. */
  | { readonly kind: "maps"; readonly slots: readonly InitialSlot[] };

/** What to put at a key (a u32). */
export interface InitialSlot {
  readonly key: number;
  readonly name: string;
}
