// The same calls from C: link_loop.c, compiled here and run as a child that does a round at a time.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("link_loop.c", import.meta.url));
const COMPILERS = ["cc", "gcc", "clang"];

/**
 * Starts the C program, on the CPUs that this thread may run on.
 *
 * @param {string} netns - path of a network namespace.
 * @param {number} operations - of a round.
 * @returns {Promise<{ round: (operation: string) => Promise<number>, end: () => Promise<void> } |
 *   null>} `round` gives ns an operation; null, and the reason is printed, without a C compiler.
 */
export async function startCLoop(netns, operations) {
  const folder = mkdtempSync(join(tmpdir(), "nslink-bench-"));
  try {
    const program = compile(join(folder, "link_loop"));
    if (program === null) return null;
    const child = spawn(program, [netns, String(operations)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    // Loaded once it runs: the folder may go.
    await once(child, "spawn");
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    return {
      async round(operation) {
        child.stdin.write(`${operation}\n`);
        const { value, done } = await lines.next();
        if (done) throw new Error("the C program has ended");
        return Number(value) / operations;
      },
      async end() {
        const gone = once(child, "exit");
        child.stdin.end();
        await gone;
      },
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function compile(program) {
  for (const compiler of COMPILERS) {
    const { error, status, stderr } = spawnSync(compiler, ["-O2", "-o", program, SOURCE]);
    if (error !== undefined) continue;
    if (status === 0) return program;
    console.log(`C is left out: ${compiler} says ${stderr}`);
    return null;
  }
  console.log(`C is left out: there is none of ${COMPILERS.join(", ")}`);
  return null;
}
