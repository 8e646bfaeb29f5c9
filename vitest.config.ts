import { defineConfig, type ViteUserConfig } from "vitest/config";
import { HANG_MS } from "./test/limits.ts";
import { Progress } from "./test/progress.ts";
import { MOVING_SEED } from "./test/settings.ts";

/** Suites that look at all links and namespaces of the machine's own kernel, where they can. */
const ON_LINUX = ["cli", "contract", "diagnosis", "doctor", "fuzz", "inventory", "linux", "nouns"]
  .concat("vectors")
  .map((folder) => `test/${folder}/**/*.test.ts`);

const config: ViteUserConfig = defineConfig({
  test: {
    testTimeout: HANG_MS,
    hookTimeout: HANG_MS,
    reporters: ["default", new Progress()],
    // One seed for the whole run, which its files share.
    env: { NSLINK_SEED: String(MOVING_SEED) },
    projects: [
      {
        extends: true,
        test: {
          name: "here",
          include: ["test/**/*.test.ts"],
          exclude: ON_LINUX,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // One after the other: a kernel is shared, and who looks through all links of a machine
        // holds each for an instant, which others would see.
        extends: true,
        test: {
          name: "linux",
          include: ON_LINUX,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});

export default config;
