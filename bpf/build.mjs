/**
 * Compiles the example programs and those of the benchmark (`npm run build:bpf`), or checks that
 * the committed objects are what the sources compile to (`npm run check:bpf`).
 *
 * Wants clang 19 with llvm-strip, and the headers of Linux and libbpf (Debian: clang-19 llvm-19
 * linux-libc-dev libbpf-dev). CLANG and LLVM_STRIP name other binaries.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { arch, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const CORPUS = [
  "empty",
  "empty_fd",
  "fd",
  "fnv",
  "xxh",
  "csum",
  "muldiv",
  "fsm",
  "maparr",
  "maphash",
]
  // The same program with other numbers of rounds, for the verifier.
  .concat("fsm16", "fsm32", "fsm256");
const OBJECTS = [
  "bpf/flow.bpf.o",
  "bpf/flow-v2.bpf.o",
  "examples/mistakes.bpf.o",
  "test/cli/notes.bpf.o",
  ...CORPUS.map((name) => `bench/corpus/${name}.bpf.o`),
];
const CLANG = process.env.CLANG ?? "clang-19";
const LLVM_STRIP = process.env.LLVM_STRIP ?? "llvm-strip-19";
const CLANG_MAJOR = 19;
const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Debian keeps <asm/types.h> in a folder named after the machine; elsewhere there is none. */
const MACHINE = { arm64: "aarch64", x64: "x86_64" }[arch()] ?? arch();
const ASM_HEADERS = `/usr/include/${MACHINE}-linux-gnu`;

const FLAGS = [
  // Little endian whatever the machine that compiles: the objects are the same everywhere.
  "-target",
  "bpfel",
  // v3 has 32-bit arithmetic and jumps, and runs on every Linux with netns links (5.8); v4: 6.6.
  "-mcpu=v3",
  "-O2",
  "-g",
  "-Wall",
  "-Wextra",
  "-Wno-unused-parameter",
  "-Werror",
  // Line info names files as seen from the project's root, not where this checkout lies.
  "-fdebug-compilation-dir=.",
  `-ffile-prefix-map=${ROOT}=.`,
  "-ffile-prefix-map=/usr/include/=",
  ...(existsSync(ASM_HEADERS) ? [`-I${ASM_HEADERS}`] : []),
];

/** Types and source lines hold text of system headers, which may be of another version. */
const DEBUG_SECTIONS = new Set([".BTF", ".BTF.ext", ".rel.BTF", ".rel.BTF.ext"]);

class BuildError extends Error {}

function run(command, args) {
  try {
    return execFileSync(command, args, {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
  } catch (error) {
    if (error.code === "ENOENT")
      throw new BuildError(
        `${command} is not installed (Debian: apt-get install clang-19 llvm-19)`,
      );
    throw new BuildError(`${command} failed`);
  }
}

/** Another major version writes other bytecode, which would look like a stale object. */
function requireClang() {
  const version = run(CLANG, ["--version"]);
  if (!version.includes(`clang version ${CLANG_MAJOR}.`))
    throw new BuildError(`${CLANG} is not clang ${CLANG_MAJOR}: ${version.split("\n")[0]}`);
}

function compile(object, target) {
  run(CLANG, [...FLAGS, "-c", object.replace(/\.o$/, ".c"), "-o", target]);
  run(LLVM_STRIP, ["-g", target]); // drops DWARF, keeps .BTF and .BTF.ext
}

/** The sections of a little-endian ELF64 file that clang wrote: name -> contents. */
function readSections(path) {
  const file = readFileSync(path);
  const table = Number(file.readBigUInt64LE(0x28));
  const count = file.readUInt16LE(0x3c);
  const header = (index) => file.subarray(table + index * 64, table + index * 64 + 64);
  const contents = (section) => {
    const offset = Number(section.readBigUInt64LE(0x18));
    return file.subarray(offset, offset + Number(section.readBigUInt64LE(0x20)));
  };
  const names = contents(header(file.readUInt16LE(0x3e)));
  const sections = new Map();
  for (let index = 1; index < count; index++) {
    const start = header(index).readUInt32LE(0);
    const name = names.toString("latin1", start, names.indexOf(0, start));
    sections.set(name, contents(header(index)));
  }
  return sections;
}

/** Names of the sections that only one of two objects has, or that differ. */
function differingSections(one, other) {
  const left = readSections(one);
  const right = readSections(other);
  return [...new Set([...left.keys(), ...right.keys()])].filter((name) => {
    const contents = left.get(name);
    const others = right.get(name);
    return !contents || !others || !contents.equals(others);
  });
}

/** True where `object` as committed does what its source says. */
function check(object, folder) {
  const committed = join(ROOT, object);
  if (!existsSync(committed)) {
    console.error(`${object}: is not there; run npm run build:bpf`);
    return false;
  }
  const rebuilt = join(folder, basename(object));
  compile(object, rebuilt);
  const differing = differingSections(committed, rebuilt);
  const stale = differing.filter((name) => !DEBUG_SECTIONS.has(name));
  if (stale.length > 0) {
    console.error(`${object}: ${stale.join(", ")} not as compiled; run npm run build:bpf`);
    return false;
  }
  const note =
    differing.length > 0 ? ` (types or source lines differ: ${differing.join(", ")})` : "";
  console.log(`${object}: same bytecode${note}`);
  return true;
}

function main() {
  requireClang();
  if (!process.argv.includes("--check")) {
    for (const object of OBJECTS) {
      compile(object, join(ROOT, object));
      console.log(`${object}: built`);
    }
    return true;
  }
  const folder = mkdtempSync(join(tmpdir(), "check-bpf-"));
  try {
    return OBJECTS.map((object) => check(object, folder)).every(Boolean);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

try {
  if (!main()) process.exitCode = 1;
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(`bpf: ${error.message}`);
  process.exitCode = 1;
}
