/**
 * The command's shipped files, run from what V8 made of them before: compiling them and their
 * functions anew took as long as all that Node does before it comes to them.
 */

import { readFileSync, writeFileSync } from "node:fs";
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
    const cachedData = readIfThere(cacheOf(filename));
    // V8 rejects what another one made, or one with other flags.
    const script = new Script(source, { filename, ...(cachedData && { cachedData }) });
    if (script.cachedDataRejected !== false) this.compiled.push(name);
    const exports = {};
    this.#loaded.set(name, { script, exports });
    const run: Wrapper = script.runInThisContext();
    run(exports, (specifier) => this.#ask(specifier), { exports }, filename, this.#folder);
    return exports;
  }

  /** Keeps the compiled code of all modules that were run, with the functions that were called. */
  write(): void {
    for (const [name, { script }] of this.#loaded) {
      writeFileSync(cacheOf(join(this.#folder, name)), script.createCachedData());
    }
  }

  #ask(specifier: string): unknown {
    return specifier.startsWith("./") ? this.load(specifier.slice(2)) : this.#require(specifier);
  }
}

/** V8 compares but the length of the source: who writes a module has to write this, too. */
function cacheOf(filename: string): string {
  return `${filename}.cache`;
}

function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}
