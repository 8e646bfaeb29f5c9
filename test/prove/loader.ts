/** Loads the verifier's modules with their operators rewritten, whole or with a fault put in. */

import * as insn from "../../src/abi/insn.ts";
import { compiled, MODULE_NAMES, type ModuleName, sourceOf } from "./modules.ts";
import { type Dialect, type Rewritten, rewrite } from "./rewrite.ts";

// biome-ignore lint/suspicious/noExplicitAny: what is in a module, only its text says
export type Loaded = Record<string, any>;
export type Modules = Readonly<Record<ModuleName, Loaded>>;

/** A change of the code, which a proof has to notice. */
export interface Fault {
  readonly module: ModuleName;
  /** As it stands in the module, once. */
  readonly from: string;
  readonly to: string;
}

/** What the rewritten code may use of JavaScript's globals, and `$`. */
export interface Runtime {
  readonly Math: unknown;
  readonly Number: unknown;
  readonly BigInt: unknown;
  /** Called for a function that is imported but not rewritten. */
  strange(name: string, args: readonly unknown[]): unknown;
}

/** What is imported but not rewritten: constants as they are, functions as the runtime says. */
function stranger(source: string, runtime: Runtime): unknown {
  if (source.endsWith("/abi/insn.ts")) return insn;
  const file = fileName(source);
  return new Proxy(
    {},
    {
      get:
        (_, name) =>
        (...args: readonly unknown[]) =>
          runtime.strange(`${file}.${String(name)}`, args),
    },
  );
}

function fileName(source: string): string {
  return source.replace(/^.*\//, "").replace(/\.ts$/, "");
}

function faulty(name: ModuleName, faults: readonly Fault[]): string {
  let text = sourceOf(name);
  for (const { module, from, to } of faults) {
    if (module !== name) continue;
    const count = text.split(from).length - 1;
    if (count !== 1)
      throw new Error(`${name} has ${JSON.stringify(from)} ${count} times, not once`);
    text = text.replace(from, () => to);
  }
  return compiled(name, text);
}

/** Rewritten once a dialect; what has a fault is rewritten anew. */
const kept = new Map<Dialect, Map<ModuleName, Rewritten>>();

function rewritten(name: ModuleName, dialect: Dialect, faults: readonly Fault[]): Rewritten {
  if (faults.some(({ module }) => module === name)) {
    return rewrite(name, faulty(name, faults), dialect);
  }
  const byName = kept.get(dialect) ?? new Map<ModuleName, Rewritten>();
  kept.set(dialect, byName);
  const found = byName.get(name) ?? rewrite(name, faulty(name, []), dialect);
  byName.set(name, found);
  return found;
}

/** Loads the modules. @param runtime - `$` in the rewritten code. */
export function load(dialect: Dialect, runtime: Runtime, faults: readonly Fault[] = []): Modules {
  const modules: Partial<Record<ModuleName, Loaded>> = {};
  for (const name of MODULE_NAMES) {
    const { code, imports } = rewritten(name, dialect, faults);
    const sources = imports.map(({ source }) => {
      return modules[fileName(source) as ModuleName] ?? stranger(source, runtime);
    });
    const links = imports.map(({ code: declaration }, i) => `${declaration}$imports[${i}];`);
    const evaluate = new Function(
      ...["$", "$imports", "Math", "Number", "BigInt"],
      code.replace('"use strict";\n', `"use strict";\n${links.join("\n")}\n`),
    );
    modules[name] = evaluate(runtime, sources, runtime.Math, runtime.Number, runtime.BigInt);
  }
  return modules as Modules;
}

/** The text of a function of a module, for what depends on it having stayed the same. */
export function functionText(dialect: Dialect, module: ModuleName, name: string): string {
  return rewritten(module, dialect, []).functions.get(name) ?? "";
}
