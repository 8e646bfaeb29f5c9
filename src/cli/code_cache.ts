/**
 * The command's shipped files, run from the compiled code that V8 made of them in an earlier start:
 * `nslink run` starts a fifth sooner with it (`bench startup`: 361 ms, 443 ms without).
 *
 * The first start keeps it beside the files, if its user may write there. It isn't shipped: it
 * would be half of the package, and only the V8 that made it takes it.
 */

import {
  accessSync,
  chmodSync,
  constants,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";

/** What Node gives to a module of CommonJS. */
type Wrapper = (
  exports: object,
  require: (specifier: string) => unknown,
  module: { readonly exports: object },
  filename: string,
  folder: string,
) => void;

const [BEFORE, BEHIND] = ["(function (exports, require, module, __filename, __dirname) {", "\n})"];

/** Modules of CommonJS in a folder, each with a file beside it that holds its compiled code. */
export class CachedModules {
  readonly #folder: string;
  readonly #require: NodeJS.Require;
  readonly #loaded: Map<string, { readonly script: Script; readonly exports: object }> = new Map();
  /** Names of modules that V8 had to compile, as nothing was kept, or not for such a V8. */
  readonly compiled: string[] = [];

  constructor(folder: string) {
    this.#folder = folder;
    this.#require = createRequire(join(folder, "any.js"));
  }

  /**
   * Runs a module, unless it has been run, with all that it asks for.
   *
   * @param name - of its file.
   * @returns its exports.
   */
  load(name: string): object {
    const known = this.#loaded.get(name);
    if (known !== undefined) return known.exports;
    const filename = join(this.#folder, name);
    const source = `${BEFORE}${readFileSync(filename, "utf8")}${BEHIND}`;
    const cachedData = readCache(filename);
    // V8 rejects what another one made, or one with other flags.
    const script = new Script(source, { filename, ...(cachedData && { cachedData }) });
    if (script.cachedDataRejected !== false) this.compiled.push(name);
    const exports = {};
    this.#loaded.set(name, { script, exports });
    const run: Wrapper = script.runInThisContext();
    run(exports, (specifier) => this.#ask(specifier), { exports }, filename, this.#folder);
    return exports;
  }

  /**
   * Keeps the compiled code of all modules that V8 had to compile, with the functions that were
   * called. Where files can't be written, nothing is kept.
   */
  keep(): void {
    if (this.compiled.length === 0 || !isWritable(this.#folder)) return;
    for (const name of this.compiled) {
      const script = this.#loaded.get(name)?.script;
      if (script !== undefined) writeCache(join(this.#folder, name), script.createCachedData());
    }
  }

  #ask(specifier: string): unknown {
    return specifier.startsWith("./") ? this.load(specifier.slice(2)) : this.#require(specifier);
  }
}

function cacheOf(filename: string): string {
  return `${filename}.cache`;
}

/**
 * Reads the compiled code of a file, if it was kept after the file was written. V8 compares only
 * the lengths of sources. Change times are compared, as packages come with old times of writing.
 */
function readCache(filename: string): Buffer | null {
  try {
    const cache = cacheOf(filename);
    return statSync(cache).ctimeMs < statSync(filename).ctimeMs ? null : readFileSync(cache);
  } catch {
    return null;
  }
}

/** Writes compiled code for all who may read the file; another start sees all of it or nothing. */
function writeCache(filename: string, data: Buffer): void {
  const unfinished = `${cacheOf(filename)}.${process.pid}`;
  try {
    writeFileSync(unfinished, data, { flag: "wx" });
    chmodSync(unfinished, statSync(filename).mode & 0o666);
    renameSync(unfinished, cacheOf(filename));
  } catch {
    rmSync(unfinished, { force: true });
  }
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
