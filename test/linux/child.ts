/**
 * Another process or thread with the Linux kernel behind the seam, for what would end this one.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { HANG_MS } from "../limits.ts";

const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/** How a child ended. */
export interface Ended {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A module's text that opens the Linux kernel from the sources, TypeScript and all, and then runs
 * `code` with `kernel` and `koffi` in scope.
 */
export function script(code: string): string {
  return `
    import { createViteServer } from "vitest/node";
    import koffi from "koffi";
    const server = await createViteServer({
      root: ${JSON.stringify(ROOT)},
      configFile: false,
      appType: "custom",
      logLevel: "error",
      optimizeDeps: { noDiscovery: true },
      server: { middlewareMode: true, hmr: false, ws: false, watch: null },
    });
    const { openLinuxKernel } = await server.ssrLoadModule("/src/linux/index.ts");
    const kernel = await openLinuxKernel();
    ${code}
    await server.close();
  `;
}

/**
 * Runs code in a Node process of its own.
 *
 * @param under - a command that runs the command that follows it, such as `unshare -m`.
 */
export function runInChild(code: string, under: readonly string[] = []): Ended {
  const node = [process.execPath, "--input-type=module", "--eval", script(code)];
  const [command = "", ...words] = [...under, ...node];
  const options = { cwd: ROOT, encoding: "utf8", timeout: HANG_MS } as const;
  const { status, signal, stdout, stderr } = spawnSync(command, words, options);
  return { status, signal, stdout, stderr };
}
