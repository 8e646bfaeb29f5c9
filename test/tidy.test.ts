/** House rules that a reader can rely on: who may import whom, and how a file looks. */

import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const MAX_COLUMNS = 100;
const MAX_LINES = 600;

/**
 * The rooms from the ground up, and what each may import besides itself. `seam` is src/kernel.ts,
 * `calls` are one bpf(2) call, objects by id, and the errors, `nouns` are the other files directly
 * in src.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  abi: [],
  seam: ["abi"],
  asm: ["abi"],
  verdict: ["abi", "asm"],
  elf: ["abi", "asm"],
  packet: [],
  kernel: ["abi", "asm", "seam"],
  calls: ["abi", "seam", "verdict"],
  diagnosis: ["abi", "seam", "verdict", "calls"],
  nouns: ["abi", "asm", "verdict", "elf", "seam", "calls", "diagnosis"],
  inventory: ["abi", "seam", "calls", "diagnosis", "nouns"],
  doctor: ["abi", "seam", "calls", "diagnosis"],
  linux: ["abi", "seam", "calls", "nouns"],
  cli: [
    ...["abi", "asm", "elf", "packet", "kernel", "linux", "seam", "calls", "diagnosis"],
    ...["nouns", "inventory", "doctor", "verdict"],
  ],
};

/** Files directly in src that are no nouns. */
const CALLS: ReadonlySet<string> = new Set(["call.ts", "errors.ts", "objects.ts", "remedy.ts"]);

/** Rooms that run in a browser as they are. */
const CORE: ReadonlySet<string> = new Set([
  "abi",
  "seam",
  "asm",
  "verdict",
  "elf",
  "packet",
  "kernel",
  "calls",
  "diagnosis",
  "nouns",
  "inventory",
  "doctor",
]);

/** Packages, and the files or rooms that may import them. */
const MAY_IMPORT_PACKAGE: Readonly<Record<string, RegExp>> = {
  commander: /^src\/cli\//,
  koffi: /^src\/linux\/libc\.ts$/,
};

interface SourceFile {
  /** From the project's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

function filesBelow(folder: string, endings: readonly string[]): SourceFile[] {
  const found: SourceFile[] = [];
  for (const name of readdirSync(join(ROOT, folder)).sort()) {
    const path = `${folder}/${name}`;
    if (statSync(join(ROOT, path)).isDirectory()) found.push(...filesBelow(path, endings));
    else if (endings.some((ending) => name.endsWith(ending))) {
      found.push({ path, text: readFileSync(join(ROOT, path), "utf8") });
    }
  }
  return found;
}

const sources = filesBelow("src", [".ts"]);
const code = [...sources, ...["test", "bench", "examples", "bpf"].flatMap(otherCode)];

function otherCode(folder: string): SourceFile[] {
  return filesBelow(folder, [".ts", ".mjs", ".c", ".h", ".sh", ".py"]);
}

/**
 * What a file imports: the words in its import and export declarations and import() calls, and the
 * modules that it starts threads with.
 */
function importsOf({ text }: SourceFile): string[] {
  const withoutComments = text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
  const declarations = /^\s*(?:import|export)\b[^"';]*?\bfrom\s+"([^"]+)"|^\s*import\s+"([^"]+)"/gm;
  const calls = /\bimport\(\s*"([^"]+)"\s*\)/g;
  const threads = /\bnew Worker\(new URL\("([^"]+)\.js", import\.meta\.url\)/g;
  return [
    ...[...withoutComments.matchAll(declarations), ...withoutComments.matchAll(calls)].map(
      (match) => match[1] ?? match[2] ?? "",
    ),
    ...[...withoutComments.matchAll(threads)].map((match) => `${match[1]}.ts`),
  ];
}

function roomOf(path: string): string {
  const [, second = "", third] = path.split("/");
  if (third !== undefined) return second;
  if (second === "kernel.ts") return "seam";
  return CALLS.has(second) ? "calls" : "nouns";
}

/** The file that a relative import leads to, from the project's root. */
function target(from: string, specifier: string): string {
  return relative(ROOT, resolve(ROOT, dirname(from), specifier)).replaceAll("\\", "/");
}

describe("imports", () => {
  test("go downwards only: a room that reaches up can't be used without what is above", () => {
    const upwards = sources.flatMap((file) =>
      importsOf(file)
        .filter((specifier) => specifier.startsWith("."))
        .map((specifier) => target(file.path, specifier))
        .filter((path) => {
          const room = roomOf(file.path);
          return roomOf(path) !== room && !MAY_IMPORT[room]?.includes(roomOf(path));
        })
        .map((path) => `${file.path} imports ${path}`),
    );
    expect(upwards).toEqual([]);
  });

  test("name files that exist, ending included", () => {
    const known = new Set(sources.map(({ path }) => path));
    const missing = sources.flatMap((file) =>
      importsOf(file)
        .filter((specifier) => specifier.startsWith("."))
        .filter((specifier) => !known.has(target(file.path, specifier)))
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    expect(missing).toEqual([]);
  });

  test("of packages stay where they belong: the core has no dependency", () => {
    const strays = sources.flatMap((file) =>
      importsOf(file)
        .filter((specifier) => !specifier.startsWith("."))
        .filter((specifier) => {
          if (specifier.startsWith("node:")) return CORE.has(roomOf(file.path));
          return MAY_IMPORT_PACKAGE[specifier]?.test(file.path) !== true;
        })
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    expect(strays).toEqual([]);
  });

  test("reach every file from a public entry: what nobody imports is dead", () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const entries = Object.values<string>(manifest.exports)
      .filter((path) => path.endsWith(".js"))
      .map((path) => path.replace(/^(\.\/)?dist\//, "src/").replace(/\.js$/, ".ts"))
      // What the command is put together from: see rolldown.config.ts.
      .concat("src/cli/main.ts", "src/cli/start.ts");
    const byPath = new Map(sources.map((file) => [file.path, file]));
    const reached = new Set<string>();
    const queue = [...entries];
    for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
      const file = byPath.get(path);
      if (file === undefined || reached.has(path)) continue;
      reached.add(path);
      const relatives = importsOf(file).filter((specifier) => specifier.startsWith("."));
      queue.push(...relatives.map((specifier) => target(file.path, specifier)));
    }
    expect(sources.map(({ path }) => path).filter((path) => !reached.has(path))).toEqual([]);
  });
});

describe("files", () => {
  test("of the core use nothing of Node: they run in a browser", () => {
    const uses = sources
      .filter(({ path }) => CORE.has(roomOf(path)))
      .flatMap(({ path, text }) =>
        text
          .split("\n")
          .filter((line) => !/^\s*(\*|\/\*|\/\/)/.test(line))
          .filter((line) => /\b(process\.|Buffer\b|require\(|__dirname|globalThis\.gc)/.test(line))
          .map((line) => `${path}: ${line.trim()}`),
      );
    expect(uses).toEqual([]);
  });

  test("stay within the columns of a screen", () => {
    const long = code.flatMap(({ path, text }) =>
      text
        .split("\n")
        .map((line, i) => ({ line, where: `${path}:${i + 1}` }))
        .filter(({ line }) => [...line].length > MAX_COLUMNS)
        .map(({ where }) => where),
    );
    expect(long).toEqual([]);
  });

  test("can be read in one sitting", () => {
    const long = code
      .map(({ path, text }) => ({ path, lines: text.split("\n").length }))
      .filter(({ lines }) => lines > MAX_LINES);
    expect(long).toEqual([]);
  });

  test("begin by saying what lives in them", () => {
    const mute = sources.filter(({ text }) => !/^(#!.*\n)?\/[/*]/.test(text));
    expect(mute.map(({ path }) => path)).toEqual([]);
  });

  test("leave nothing for later, and switch no test off", () => {
    const words = new RegExp(
      ["TO" + "DO", "FIX" + "ME", "XX" + "X\\b", "\\.on" + "ly\\("].join("|"),
    );
    const found = code.filter(({ text }) => words.test(text)).map(({ path }) => path);
    expect(found).toEqual([]);
  });

  test("leave limits of time to test/limits.ts: no test depends on how fast a machine is", () => {
    const literal = /\b(timeout|testTimeout|hookTimeout): *\d|^ *\}, \d[\d_]*\);$/m;
    const asserted = /expect\(performance\.now\(\) - /;
    const found = filesBelow("test", [".ts"])
      .filter(({ path }) => !path.includes("/dist/") && path !== "test/tidy.test.ts")
      .filter(({ text }) => literal.test(text) || asserted.test(text))
      .map(({ path }) => path);
    expect(found).toEqual([]);
  });

  test("name no address of a package registry, and the lock file none either", () => {
    const lock = readFileSync(join(ROOT, "package-lock.json"), "utf8");
    expect(lock).not.toMatch(/"resolved": "https?:/);
  });
});
