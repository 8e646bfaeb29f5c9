/**
 * What compiled code needs of a platform's WebAssembly beyond its first version, found out by
 * trying.
 */

import { Code } from "./code.ts";
import { ModuleBuilder } from "./module.ts";
import { I32 } from "./wasm.ts";

/** By name in the WebAssembly project's list of features: code that has no other peculiarity. */
const FEATURES: Readonly<Record<string, (code: Code, type: number) => void>> = {
  "modules made while it runs": () => {},
  "tail calls": (code, type) => {
    code.i32(0);
    code.returnCallIndirect(type);
  },
  "bulk memory operations": (code) => {
    for (let i = 0; i < 3; i++) code.i32(0);
    code.fill();
  },
  "sign extension": (code) => {
    code.i32(0);
    code.op("i32.extend8_s", "drop");
  },
};

let missing: string | null | undefined;

/** The first feature that the platform lacks; null when the JIT can do its work. */
export function missingFeature(): string | null {
  if (missing === undefined) missing = Object.keys(FEATURES).find((name) => !isThere(name)) ?? null;
  return missing;
}

/** Compiles for true: a page's security policy may forbid what `validate` finds good. */
function isThere(name: string): boolean {
  const module = new ModuleBuilder();
  const type = module.type([], []);
  module.importMemory("memory");
  module.importTable("table");
  const code = new Code();
  FEATURES[name]?.(code, type);
  module.add(type, [{ count: 1, type: I32 }], code);
  try {
    new WebAssembly.Module(module.build().bytes);
    return true;
  } catch (error) {
    if (error instanceof WebAssembly.CompileError) return false;
    throw error;
  }
}
