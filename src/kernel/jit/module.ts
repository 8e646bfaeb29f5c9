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
  body: Bytes | null;
  /** Bytes of locals before its instructions. */
  localsSize: number;
}

const SECTION = { type: 1, import: 2, function: 3, export: 7, code: 10 } as const;
const KIND = { function: 0, table: 1, memory: 2 } as const;
const FUNCTION_TYPE = 0x60;
const FUNCREF = 0x70;
const LIMITS_MINIMUM = 0;
const LIMITS_SHARED = 3;
/** As large as a memory can be; shared ones have to say. */
const MAX_PAGES = 65_536;
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
  readonly #imports: Bytes[] = [];
  readonly #exports: Bytes[] = [];
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
    return this.#importedFunctions + this.#functions.push({ type, body: null, localsSize: 0 }) - 1;
  }

  /** Gives a function its locals, after its parameters, and its instructions without the end. */
  define(index: number, locals: readonly Locals[], code: Code): void {
    const defined = this.#functions[index - this.#importedFunctions];
    if (defined === undefined) throw new RangeError(`index: function ${index} isn't declared`);
    const body = new Bytes();
    body.u32(locals.length);
    for (const { count, type } of locals) {
      body.u32(count);
      body.byte(type);
    }
    defined.localsSize = body.length;
    body.append(code.bytes);
    body.byte(0x0b);
    defined.body = body;
  }

  /** {@link ModuleBuilder.declare} and {@link ModuleBuilder.define} in one. */
  add(type: number, locals: readonly Locals[], code: Code): number {
    const index = this.declare(type);
    this.define(index, locals, code);
    return index;
  }

  export(name: string, functionIndex: number): void {
    const entry = new Bytes();
    entry.name(name);
    entry.byte(KIND.function);
    entry.u32(functionIndex);
    this.#exports.push(entry);
  }

  /** The module's bytes, and where in them the instructions of defined functions begin. */
  build(): BuiltModule {
    const out = new Bytes();
    out.bytes(...MAGIC_AND_VERSION);
    section(out, SECTION.type, this.#types.map(encodeType));
    section(out, SECTION.import, this.#imports);
    section(
      out,
      SECTION.function,
      this.#functions.map(({ type }) => {
        const entry = new Bytes();
        entry.u32(type);
        return entry;
      }),
    );
    section(out, SECTION.export, this.#exports);
    const contents = new Bytes();
    contents.u32(this.#functions.length);
    const starts = this.#functions.map(({ body, localsSize }, i) => {
      if (body === null) throw new TypeError(`function ${i} has no body`);
      contents.u32(body.length);
      const start = contents.length + localsSize;
      contents.append(body);
      return start;
    });
    out.byte(SECTION.code);
    out.u32(contents.length);
    const base = out.length;
    out.append(contents);
    const instructions = starts.map((start, i): readonly [number, number] => [
      this.#importedFunctions + i,
      base + start,
    ]);
    return { bytes: out.view, instructions: new Map(instructions) };
  }

  #import(name: string): Bytes {
    const entry = new Bytes();
    entry.name(IMPORT_MODULE);
    entry.name(name);
    this.#imports.push(entry);
    return entry;
  }
}

function encodeType({ parameters, results }: FunctionType): Bytes {
  const entry = new Bytes();
  entry.byte(FUNCTION_TYPE);
  for (const types of [parameters, results]) {
    entry.u32(types.length);
    entry.bytes(...types);
  }
  return entry;
}

function section(out: Bytes, id: number, entries: readonly Bytes[]): void {
  const contents = new Bytes();
  contents.u32(entries.length);
  for (const entry of entries) contents.append(entry);
  out.byte(id);
  out.u32(contents.length);
  out.append(contents);
}
