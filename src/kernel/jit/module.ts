/**
 * A WebAssembly module: types, imports, functions and exports, put into the binary format.
 */

import { Bytes } from "./bytes.ts";
import type { Code } from "./code.ts";

/** Parameters and results of a function, as value types. */
export interface FunctionType {
  readonly parameters: readonly number[];
  readonly results: readonly number[];
}

/** Some locals of one type. */
export interface Locals {
  readonly count: number;
  readonly type: number;
}

interface DefinedFunction {
  readonly type: number;
  readonly locals: readonly Locals[];
  readonly code: Code | null;
}

const SECTION = { type: 1, import: 2, function: 3, export: 7, code: 10 } as const;
const KIND = { function: 0, table: 1, memory: 2 } as const;
const FUNCTION_TYPE = 0x60;
const FUNCREF = 0x70;
const LIMITS_MINIMUM = 0;
const LIMITS_SHARED = 3;
/** As large as a memory can be; shared ones have to say. */
const MAX_PAGES = 65_536;
/** Closes a function. */
const END = 0x0b;
const MAGIC_AND_VERSION = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0] as const;

/** Everything that a module imports comes from here. */
export const IMPORT_MODULE = "kernel";

/** A module's bytes, and where the instructions of its functions begin, by function index. */
export interface BuiltModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly instructions: ReadonlyMap<number, number>;
}

/** A module in the making. Functions are imported first, then defined. */
export class ModuleBuilder {
  readonly #types: FunctionType[] = [];
  readonly #imports: Entries = new Entries();
  readonly #exports: Entries = new Entries();
  readonly #functions: DefinedFunction[] = [];
  #importedFunctions: number = 0;

  /** The index of a type; the same one for the same type. */
  type(parameters: readonly number[], results: readonly number[]): number {
    const same = (a: readonly number[], b: readonly number[]): boolean =>
      a.length === b.length && a.every((type, i) => type === b[i]);
    const known = this.#types.findIndex(
      (type) => same(type.parameters, parameters) && same(type.results, results),
    );
    return known >= 0 ? known : this.#types.push({ parameters, results }) - 1;
  }

  /** @param shared - whether other threads have it as well. */
  importMemory(name: string, shared: boolean = false): void {
    const entry = this.#import(name);
    if (!shared) {
      entry.bytes(KIND.memory, LIMITS_MINIMUM, 1);
      return;
    }
    entry.bytes(KIND.memory, LIMITS_SHARED, 1);
    entry.u32(MAX_PAGES);
  }

  importTable(name: string): void {
    this.#import(name).bytes(KIND.table, FUNCREF, LIMITS_MINIMUM, 1);
  }

  /** @returns the function's index. */
  importFunction(name: string, type: number): number {
    if (this.#functions.length > 0) throw new TypeError("import functions before defining any");
    const entry = this.#import(name);
    entry.byte(KIND.function);
    entry.u32(type);
    return this.#importedFunctions++;
  }

  /** @returns the index of a function whose body follows in {@link ModuleBuilder.define}. */
  declare(type: number): number {
    return this.#importedFunctions + this.#functions.push({ type, locals: [], code: null }) - 1;
  }

  /** Gives a function its locals, after its parameters, and its instructions without the end. */
  define(index: number, locals: readonly Locals[], code: Code): void {
    const place = index - this.#importedFunctions;
    const defined = this.#functions[place];
    if (defined === undefined) throw new RangeError(`index: function ${index} isn't declared`);
    this.#functions[place] = { type: defined.type, locals, code };
  }

  /** {@link ModuleBuilder.declare} and {@link ModuleBuilder.define} in one. */
  add(type: number, locals: readonly Locals[], code: Code): number {
    const index = this.declare(type);
    this.define(index, locals, code);
    return index;
  }

  export(name: string, functionIndex: number): void {
    const entry = this.#exports.next();
    entry.name(name);
    entry.byte(KIND.function);
    entry.u32(functionIndex);
  }

  /** The module's bytes, and where in them the instructions of defined functions begin. */
  build(): BuiltModule {
    const types = new Entries();
    for (const type of this.#types) encodeType(types.next(), type);
    const functions = new Entries();
    for (const { type } of this.#functions) functions.next().u32(type);
    const bodies = new Entries();
    const starts = this.#functions.map(({ locals, code }, i) => {
      if (code === null) throw new TypeError(`function ${i} has no body`);
      const head = new Bytes();
      head.u32(locals.length);
      for (const { count, type } of locals) {
        head.u32(count);
        head.byte(type);
      }
      const body = bodies.next();
      body.u32(head.length + code.length + 1);
      body.append(head);
      const start = body.length;
      body.append(code.bytes);
      body.byte(END);
      return start;
    });
    const out = new Bytes();
    out.bytes(...MAGIC_AND_VERSION);
    types.write(out, SECTION.type);
    this.#imports.write(out, SECTION.import);
    functions.write(out, SECTION.function);
    this.#exports.write(out, SECTION.export);
    const base = bodies.write(out, SECTION.code);
    const instructions = starts.map((start, i): readonly [number, number] => [
      this.#importedFunctions + i,
      base + start,
    ]);
    return { bytes: out.view, instructions: new Map(instructions) };
  }

  #import(name: string): Bytes {
    const entry = this.#imports.next();
    entry.name(IMPORT_MODULE);
    entry.name(name);
    return entry;
  }
}

/** What stands in a section, one entry after the other. */
class Entries {
  readonly #bytes: Bytes = new Bytes();
  #count: number = 0;

  /** Where the next entry is to be written, all of it before the one that follows. */
  next(): Bytes {
    this.#count++;
    return this.#bytes;
  }

  /** Writes the section. @returns where in `out` its first entry begins. */
  write(out: Bytes, id: number): number {
    const count = new Bytes();
    count.u32(this.#count);
    out.byte(id);
    out.u32(count.length + this.#bytes.length);
    out.append(count);
    const start = out.length;
    out.append(this.#bytes);
    return start;
  }
}

function encodeType(entry: Bytes, { parameters, results }: FunctionType): void {
  entry.byte(FUNCTION_TYPE);
  for (const types of [parameters, results]) {
    entry.u32(types.length);
    entry.bytes(...types);
  }
}
