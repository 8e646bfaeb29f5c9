/**
 * A platform whose WebAssembly lacks something still has a kernel: if this fails, programs don't
 * run there, or nobody is told why they are slow.
 */
import { afterEach, expect, test, vi } from "vitest";
import { assemble } from "../../../src/asm/index.ts";

const XDP = 6;
const { Module } = WebAssembly;

/** A platform that compiles so many modules and then no more. */
function platformWith(modules: number): void {
  let left = modules;
  const Limited = class extends Module {
    constructor(bytes: BufferSource) {
      if (left-- <= 0) throw new WebAssembly.CompileError("not here");
      super(bytes);
    }
  };
  vi.stubGlobal("WebAssembly", {
    ...Object.fromEntries(
      Object.getOwnPropertyNames(WebAssembly).map((name) => [name, Reflect.get(WebAssembly, name)]),
    ),
    Module: Limited,
  });
  // What was found out about the platform is forgotten.
  vi.resetModules();
}

afterEach(() => vi.unstubAllGlobals());

test.each([
  ["modules made while it runs", 0],
  ["tail calls", 1],
  ["bulk memory operations", 2],
  ["sign extension", 3],
])("without %s the interpreter stands in, and says so", async (feature, modules) => {
  platformWith(modules);
  const { EmbeddedKernel } = await import("../../../src/kernel/index.ts");
  const { Program } = await import("../../../src/program.ts");
  using kernel = EmbeddedKernel.boot();
  using program = Program.load(kernel, {
    type: XDP,
    instructions: assemble("r0 = 2\nexit"),
  });
  expect(kernel.describeProgram(program.fd)).toMatchObject({
    engine: "interpreter",
    reason: `this platform's WebAssembly has no ${feature}`,
    code: null,
  });
  expect(program.run(new Uint8Array(64)).retval).toBe(2);
  expect(kernel.fdinfo(program.fd)).toMatch(/^prog_jited:\t0$/m);
});
