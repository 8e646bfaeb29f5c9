// Runs every example in the documentation: the blocks marked ```ts of README.md, docs/*.md and the
// docstrings. Each is compiled against the built package, types and all, and run in the project's
// root. `npm run build` first.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = resolve(fileURLToPath(import.meta.url), "../..");
const TIMEOUT_MS = 60_000;

const documents = ["README.md", "ARCHITECTURE.md", ...below("docs", ".md"), ...below("src", ".ts")];
const examples = documents.flatMap((path) => examplesOf(path));
const folder = mkdtempSync(join(ROOT, ".examples-"));
let failed = 0;
try {
  for (const { name, code } of examples) writeFileSync(join(folder, `${name}.ts`), code);
  const options = { noEmit: false, noUnusedLocals: false, rootDir: ".", outDir: "out" };
  const flags = { isolatedDeclarations: false, declaration: false };
  const config = {
    extends: "../tsconfig.json",
    compilerOptions: { ...options, ...flags, allowImportingTsExtensions: false },
    include: ["*.ts"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  mkdirSync(join(folder, "out"));
  run("npx", ["tsc", "-p", folder], "the examples don't compile");
  for (const { name, where } of examples) {
    run(process.execPath, [join(folder, "out", `${name}.js`)], `the example at ${where} fails`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
console.log(`${examples.length} examples of the documentation run, ${failed} fail`);
process.exitCode = failed === 0 && examples.length > 0 ? 0 : 1;

function below(directory, ending) {
  return readdirSync(join(ROOT, directory), { recursive: true })
    .map((name) => `${directory}/${name}`)
    .filter((name) => name.endsWith(ending))
    .sort();
}

/** The blocks of one document; in a docstring each line begins with a star. */
function examplesOf(path) {
  const text = readFileSync(join(ROOT, path), "utf8");
  const plain = path.endsWith(".md") ? text : text.replaceAll(/^ *\* ?/gm, "");
  return [...plain.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match, i) => ({
    name: `${path.replaceAll(/[^A-Za-z0-9]+/g, "_")}_${i + 1}`,
    where: `${path}:${plain.slice(0, match.index).split("\n").length}`,
    code: `${match[1]}\nexport {};\n`,
  }));
}

function run(command, args, complaint) {
  const options = { cwd: ROOT, encoding: "utf8", timeout: TIMEOUT_MS };
  const { status, stdout, stderr } = spawnSync(command, args, options);
  if (status === 0) return;
  failed++;
  console.error(`${complaint}:\n${stdout}${stderr}`);
}
