// What compiling a verified program costs, by its size: to WebAssembly, and that by the platform.
// The time of each instruction is to stay the same, however many there are.

import { Program } from "nslink";
import { assemble } from "nslink/asm";
import { EmbeddedKernel } from "nslink/embedded";
import { compare, formatNs, formatSpread, printTable, time } from "./measure.mjs";

const ROUNDS = 9;
const WARM_UP = 4;
const SOCKET_FILTER = 1;
/** Instructions of each program, one function each, of which every fourth is a branch. */
const SIZES = [256, 1024, 4096, 16_384, 65_536, 262_144];

/** Arithmetic, memory and branches that go nowhere far. */
function programOf(size) {
  const lines = ["r0 = 1"];
  for (let i = 0; 4 * i < size; i++) {
    lines.push("r0 *= 3", `if r0 > ${i} goto l${i}`, "*(u64 *)(r10 - 8) = r0", `l${i}:`, "r0 ^= 9");
  }
  return assemble(`${lines.join("\n")}\nexit`);
}

/** @returns {Promise<object>} ns a compilation, by size */
export async function benchCompile() {
  const kernel = EmbeddedKernel.boot();
  const described = {};
  const candidates = SIZES.map((size) => {
    const instructions = programOf(size);
    const round = () => {
      const program = Program.load(kernel, { type: SOCKET_FILTER, instructions, license: "GPL" });
      // Programs are compiled when somebody wants to know.
      const ns = time(() => {
        described[size] = kernel.describeProgram(program.fd);
      });
      program[Symbol.dispose]();
      return ns;
    };
    return [size, round];
  });
  const results = await compare(Object.fromEntries(candidates), {
    rounds: ROUNDS,
    warmUp: WARM_UP,
  });
  kernel[Symbol.dispose]();
  const rows = SIZES.map((size) => {
    const { engine, code } = described[size];
    const { median } = results[size];
    const made = code === null ? engine : `${code.bytes} bytes`;
    return [
      `${size}`,
      formatNs(median),
      formatSpread(results[size]),
      formatNs(median / size),
      made,
    ];
  });
  const header = ["instructions", "median", "spread", "each", "comes to"];
  printTable("Compiling a program, verification not included", header, rows);
  return results;
}
