// Runs every block of the documentation as it would be pasted: those of README.md, CONTRIBUTING.md,
// ARCHITECTURE.md and docs/*.md, in order, and the ```ts blocks of docstrings. `npm run build`
// comes first.
//
// - ```sh and ```js run without rights (as nobody, where this is root); with `root` behind the
//   language as root, in a mount and network namespace of their own. `exit=N`: how it ends.
// - ```sh ci are commands of .ci/run, which runs them itself; ```sh long take too long, and are
//   only looked up in package.json.
// - ```text output is what the block before it prints; … stands for anything.
// - ```ts is compiled against the built package, types and all, and then run.
// - ```asm and ```c are loaded, or their like, by tests: test/verifier/findings.test.ts.
//
// The documents' blocks run in a copy of the project.

import { spawnSync } from "node:child_process";
import {
  chownSync,
  cpSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = resolve(fileURLToPath(import.meta.url), "../..");
/** A guard against hanging. */
const TIMEOUT_MS = 1_200_000;
const NOBODY = 65534;
const IS_ROOT = process.getuid?.() === 0;
/** Blocks that are run elsewhere. */
const TESTED = /^(ts|asm|c)$/;
/** What the blocks of documents need: what is packed. */
const COPIED = ["bpf", "dist", "docs", "examples", "package.json", "README.md"];
const KINDS = /^(sh|js)( root)?( exit=\d+)?$|^sh (ci|long)$|^text output$|^(ts|asm|c)$/;
/** What root's blocks get for themselves: names of namespaces, and a BPF file system. */
const PRIVATE = `mkdir -p /run/netns
mount -t tmpfs none /run/netns
mount -t bpf none /sys/fs/bpf
ip link set lo up 2> /dev/null || true`;

const counts = { run: 0, failed: 0, skipped: 0 };
const documents = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", ...below("docs", ".md")];
const typescript = [...documents, ...below("src", ".ts")].flatMap(typescriptOf);
const copy = copyOfProject();
try {
  for (const path of documents) await checkDocument(path);
} finally {
  rmSync(copy, { recursive: true });
}
checkTypescript(typescript);
console.log(`blocks of the documentation: ${counts.run} run, ${counts.failed} of them failed`);
process.exitCode = counts.failed === 0 && counts.run > 0 ? 0 : 1;

function below(directory, ending) {
  return readdirSync(join(ROOT, directory), { recursive: true })
    .map((name) => `${directory}/${name}`)
    .filter((name) => name.endsWith(ending))
    .sort();
}

function fail(where, complaint) {
  counts.failed++;
  console.error(`${where}: ${complaint}`);
}

/** The project as its users have it, in a folder of nobody's. */
function copyOfProject() {
  const folder = mkdtempSync(join(tmpdir(), "nslink-docs-"));
  for (const name of COPIED) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  for (const name of ["koffi", "@koromix"].filter(isInstalled)) {
    const path = join("node_modules", name);
    cpSync(join(ROOT, path), join(folder, path), { recursive: true });
  }
  mkdirSync(join(folder, "node_modules/.bin"), { recursive: true });
  symlinkSync("../../dist/bin/nslink.js", join(folder, "node_modules/.bin/nslink"));
  mkdirSync(join(folder, "home"));
  if (IS_ROOT) {
    chownSync(folder, NOBODY, NOBODY);
    for (const name of readdirSync(folder, { recursive: true })) {
      lchownSync(join(folder, name), NOBODY, NOBODY);
    }
  }
  return folder;
}

function isInstalled(name) {
  return existsSync(join(ROOT, "node_modules", name));
}

/** Blocks with their words behind the fence, and where they are. */
function blocksOf(path) {
  const text = readFileSync(join(ROOT, path), "utf8");
  return [...text.matchAll(/^```(.+)\n([\s\S]*?)^```$/gm)].map((match) => ({
    words: match[1],
    code: match[2],
    where: `${path}:${text.slice(0, match.index).split("\n").length}`,
  }));
}

async function checkDocument(path) {
  let printed = null;
  const exported = { root: [], nobody: [] };
  for (const { words, code, where } of blocksOf(path)) {
    if (!KINDS.test(words)) fail(where, `nobody knows how to run a block of "${words}"`);
    else if (words === "text output") checkOutput(where, code, printed);
    else if (words === "sh ci" || words === "sh long") checkCommands(where, words, code);
    else if (!TESTED.test(words)) printed = runBlock(where, words, code, exported);
  }
}

/**
 * Runs a block and returns what it printed; null where it can't be run.
 *
 * @param exported - lines of earlier blocks that hold for those after them, by user.
 */
function runBlock(where, words, code, exported) {
  const asRoot = words.includes(" root");
  const reason = asRoot ? reasonNotToBeRoot() : null;
  if (reason !== null) {
    counts.skipped++;
    console.warn(`${where}: NOT RUN: ${reason}`);
    return null;
  }
  counts.run++;
  const file = join(copy, words.startsWith("js") ? "block.mjs" : "block.sh");
  const before = exported[asRoot ? "root" : "nobody"];
  writeFileSync(file, file.endsWith(".sh") ? [...before, code].join("\n") : code);
  before.push(...code.split("\n").filter((line) => line.startsWith("export ")));
  const command = words.startsWith("js") ? [process.execPath, file] : ["bash", "-eu", file];
  const inside = `set -e\n${PRIVATE}\nexec "$@"`;
  const [program, ...args] = asRoot
    ? ["unshare", "--mount", "--net", "bash", "-c", inside, "block", ...command]
    : command;
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: copy,
    encoding: "utf8",
    timeout: TIMEOUT_MS,
    env: { PATH: process.env.PATH, HOME: join(copy, "home"), LANG: "C.UTF-8" },
    ...(IS_ROOT && !asRoot && { uid: NOBODY, gid: NOBODY }),
  });
  const due = Number(/exit=(\d+)/.exec(words)?.[1] ?? 0);
  if (status !== due) fail(where, `ended with ${status}, not ${due}:\n${stdout}${stderr}`);
  return stdout;
}

function reasonNotToBeRoot() {
  if (!IS_ROOT) return "it is for root";
  const args = ["--mount", "--net", "bash", "-ec", PRIVATE];
  const { status, stderr } = spawnSync("unshare", args, { encoding: "utf8" });
  return status === 0 || process.env.NSLINK_REQUIRE_LINUX === "1" ? null : stderr.trim();
}

function checkOutput(where, expected, printed) {
  if (printed === null) return;
  const pattern = expected
    .trimEnd()
    .split("…")
    .map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&"))
    .join(".*");
  if (new RegExp(`^${pattern}$`).test(printed.trimEnd())) return;
  fail(where, `is not what is printed:\n${printed}`);
}

/** Commands that aren't run here: .ci/run has those of `ci`, and the others exist. */
function checkCommands(where, words, code) {
  const ci = readFileSync(join(ROOT, ".ci/run"), "utf8");
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const lines = code
    .replaceAll(/ +#.*$/gm, "")
    .trimEnd()
    .split(/\n| && /);
  for (const command of lines) {
    if (words === "sh ci") {
      if (!ci.split("\n").some((line) => line.startsWith("part ") && line.endsWith(command))) {
        fail(where, `.ci/run has no part that is "${command}"`);
      }
      continue;
    }
    const script = /^npm run ([\w:]+)/.exec(command)?.[1];
    const exists = script === undefined ? existsSync(join(ROOT, command)) : script in scripts;
    if (!exists) fail(where, `there is no "${command}"`);
  }
}

/** The ```ts blocks of one document; in a docstring each line begins with a star. */
function typescriptOf(path) {
  const text = readFileSync(join(ROOT, path), "utf8");
  const plain = path.endsWith(".md") ? text : text.replaceAll(/^ *\* ?/gm, "");
  return [...plain.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match, i) => ({
    name: `${path.replaceAll(/[^A-Za-z0-9]+/g, "_")}_${i + 1}`,
    where: `${path}:${plain.slice(0, match.index).split("\n").length}`,
    code: `${match[1]}\nexport {};\n`,
  }));
}

function checkTypescript(examples) {
  const folder = mkdtempSync(join(ROOT, ".examples-"));
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
    expectDone("npx", ["tsc", "-p", folder], "the examples don't compile");
    for (const { name, where } of examples) {
      counts.run++;
      expectDone(process.execPath, [join(folder, "out", `${name}.js`)], `${where} fails`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function expectDone(command, args, complaint) {
  const options = { cwd: ROOT, encoding: "utf8", timeout: TIMEOUT_MS };
  const { status, stdout, stderr } = spawnSync(command, args, options);
  if (status !== 0) fail(complaint, `${stdout}${stderr}`);
}
