/** Capabilities that were given in a user namespace: root there, and nobody to BPF. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { describeOnLinux } from "../contract/linux_available.ts";
import { HANG_MS } from "../limits.ts";
import { script } from "../linux/child.ts";

const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

await describeOnLinux("in a user namespace", () => {
  test("a refusal says that root is no root there, and the doctor says so too", () => {
    const code = `
      const { BpfMap } = await server.ssrLoadModule("/src/map.ts");
      const { examine } = await server.ssrLoadModule("/src/doctor/index.ts");
      const { checks, capabilities } = examine(kernel);
      let reason;
      try {
        BpfMap.create(kernel, { type: 1, keySize: 4, valueSize: 4, maxEntries: 1 });
      } catch (error) {
        reason = error.reason;
      }
      const status = checks.find(({ id }) => id === "user-namespace").status;
      console.log(JSON.stringify({ reason, status, hasAll: capabilities.includes("CAP_BPF") }));
    `;
    const node = [process.execPath, "--input-type=module", "--eval", script(code)];
    const { stdout, stderr, status } = spawnSync("unshare", ["-Ur", ...node], {
      cwd: ROOT,
      encoding: "utf8",
      timeout: HANG_MS,
    });
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      reason: "user-namespace",
      status: "problem",
      hasAll: true,
    });
  });
});
