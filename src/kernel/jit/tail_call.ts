/**
 * Where tail calls go through: one function beside each table of programs.
 *
 * Programs don't import the table themselves: an engine keeps whatever imports a table as long as
 * the table, and programs come and go.
 */

import { Code } from "./code.ts";
import { IMPORT_MODULE, ModuleBuilder } from "./module.ts";
import { I32, I64 } from "./wasm.ts";

/** What the function takes: r1 and frame, as programs do, and whom to call. */
export const TAIL_PARAMETERS: readonly number[] = [I32, I32, I32];

const R1 = 0;
const FRAME = 1;
const ENTRY = 2;

let compiled: WebAssembly.Module | null = null;

/**
 * The function (r1, frame, entry) -> r0 that goes on in the program with that entry. The program
 * finds its entry in r2: trampolines ask for it, and verified programs set r2 before they read it.
 */
export function tailCallThrough(table: WebAssembly.Table): CallableFunction {
  compiled ??= new WebAssembly.Module(tailCallModule());
  const { exports } = new WebAssembly.Instance(compiled, { [IMPORT_MODULE]: { table } });
  return exports.tail as CallableFunction;
}

function tailCallModule(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importTable("table");
  const program = module.type([I32, I32, I32], [I64]);
  const code = new Code();
  for (const argument of [R1, ENTRY, FRAME, ENTRY]) code.get(argument);
  code.returnCallIndirect(program);
  module.export("tail", module.add(module.type(TAIL_PARAMETERS, [I64]), [], code));
  return module.build().bytes;
}
