/**
 * The nslink command in a few files: Node takes longer to find and open hundreds of modules than the
 * command takes for its work. Packages stay outside; what a command doesn't need stays unread.
 */

import { defineConfig, type RolldownOptions } from "rolldown";

const common: RolldownOptions = {
  platform: "node",
  external: ["commander", "koffi"],
  transform: { target: "node20.19" },
};
const files = { entryFileNames: "[name].js", chunkFileNames: "[name].js" } as const;
const output = { dir: "dist/bin", format: "esm", ...files } as const;

const config: RolldownOptions[] = defineConfig([
  { ...common, input: { nslink: "src/cli/main.ts" }, output },
  // By itself: it is the main module of a thread, and nothing else may import it.
  { ...common, input: "src/cli/spread_worker.ts", output },
]);

export default config;
