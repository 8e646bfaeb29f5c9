/**
 * What stands in the table for a program that only the interpreter can run: a function that hands
 * the run over to it.
 */

import { Code } from "./code.ts";
import { stateField } from "./function.ts";
import { ModuleBuilder } from "./module.ts";
import { STACK_MASK } from "./run_state.ts";
import { I32, I64 } from "./wasm.ts";

/**
 * A module that imports `tail()`, which leaves r0 in the state, and exports `main`.
 *
 * @param shared - whether other threads have the memory as well.
 */
export function stubModule(shared: boolean): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importMemory("memory", shared);
  const tail = module.importFunction("tail", module.type([], []));
  const frame = 2;
  const code = new Code();
  code.call(tail);
  code.get(frame);
  code.i32(STACK_MASK);
  code.op("i32.or");
  code.access("i64.load", stateField("r0"));
  module.export("main", module.add(module.type([I32, I32, I32], [I64]), [], code));
  return module.build().bytes;
}
