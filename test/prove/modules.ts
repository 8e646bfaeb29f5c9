/** The verifier's modules that proofs look into, as text without types, and where they are. */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { transformSync } from "rolldown/utils";

/** By the name that proofs call them by, in the order in which they need each other. */
export const MODULES = {
  words: "src/kernel/verifier/words.ts",
  tnum: "src/kernel/verifier/tnum.ts",
  bounds: "src/kernel/verifier/bounds.ts",
  extension: "src/kernel/verifier/extension.ts",
  compare: "src/kernel/verifier/compare.ts",
  scalar_alu: "src/kernel/verifier/scalar_alu.ts",
  register: "src/kernel/verifier/register.ts",
  environment: "src/kernel/verifier/environment.ts",
  links: "src/kernel/verifier/links.ts",
  pointer_alu: "src/kernel/verifier/pointer_alu.ts",
  alu: "src/kernel/verifier/alu.ts",
  stack: "src/kernel/verifier/stack.ts",
  stack_access: "src/kernel/verifier/stack_access.ts",
  branch: "src/kernel/verifier/branch.ts",
} as const;

export type ModuleName = keyof typeof MODULES;
export const MODULE_NAMES = Object.keys(MODULES) as readonly ModuleName[];

/** The project's folder, from wherever this is compiled to. */
export const ROOT: string = projectFolder(dirname(fileURLToPath(import.meta.url)));

function projectFolder(folder: string): string {
  return existsSync(join(folder, "package.json")) ? folder : projectFolder(dirname(folder));
}

/** A module as it is written. */
export function sourceOf(name: ModuleName): string {
  return readFileSync(join(ROOT, MODULES[name]), "utf8");
}

/** A module as JavaScript: types taken off, nothing else changed. */
export function compiled(name: ModuleName, source: string): string {
  const { code, errors } = transformSync(MODULES[name], source, { sourcemap: false });
  if (errors.length > 0) throw new Error(`${MODULES[name]}: ${JSON.stringify(errors)}`);
  return code;
}
