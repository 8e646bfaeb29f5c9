/**
 * The nslink command in a few files: Node takes longer to find and open hundreds of modules than the
 * command takes for its work. They are CommonJS, of which V8's compiled code can be kept: see
 * src/cli/code_cache.ts.
 */

import { chmodSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type RolldownOptions } from "rolldown";

const COMMANDER = "node_modules/commander/";
/** It has to go wherever the code goes. */
const license = readFileSync(new URL(`${COMMANDER}LICENSE`, import.meta.url), "utf8");

const common: RolldownOptions = {
  platform: "node",
  external: ["koffi"],
  transform: { target: "node20.19" },
};
const output = {
  // A fifth of what is read at every start, and twice as much of it where they are not ASCII.
  comments: false,
  dir: "dist/bin",
  format: "cjs",
  entryFileNames: "[name].js",
  chunkFileNames: "[name].js",
  banner: ({ moduleIds }: { readonly moduleIds: readonly string[] }) =>
    moduleIds.some((id) => id.includes(COMMANDER)) ? `/*\ncommander\n\n${license}*/` : "",
} as const;

/** Says what the files are, as the project's own says that all others are ES modules. */
const MANIFEST = { fileName: "package.json", source: '{ "type": "commonjs" }\n' };

/** Whoever may read a file may run it then, whatever the umask left of its mode. */
function makeExecutable(path: string): void {
  const { mode } = statSync(path);
  chmodSync(path, mode | ((mode & 0o444) >> 2));
}

const config: RolldownOptions[] = defineConfig([
  {
    ...common,
    input: { main: "src/cli/main.ts" },
    output: {
      ...output,
      // Compiled code of files as they were before is worse than none.
      cleanDir: true,
      codeSplitting: {
        // With all that they import: what every command line takes, and what a run takes.
        groups: [
          // Without main.ts, which waits for what others import to be there.
          { name: "words", test: /cli\/(program|session|failure)\.ts$|usingCtx/, priority: 2 },
          { name: "kernel", test: /\/cli\/run\.ts$/, priority: 1 },
        ],
      },
    },
  },
  {
    ...common,
    input: { nslink: "src/cli/start.ts" },
    output,
    plugins: [
      {
        name: "manifest",
        generateBundle() {
          this.emitFile({ type: "asset", ...MANIFEST });
        },
      },
      {
        name: "executable",
        writeBundle({ dir = output.dir }) {
          makeExecutable(join(dir, "nslink.js"));
        },
      },
    ],
  },
  // By itself: it is the main module of a thread, and nothing else may import it.
  { ...common, input: "src/cli/spread_worker.ts", output },
]);

export default config;
