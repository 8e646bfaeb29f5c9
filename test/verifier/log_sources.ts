/**
 * Programs whose logs are compared: the table, compiled objects with their source lines, and
 * generated ones.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { loadObject, type ObjectSpec } from "../../src/elf/index.ts";
import { Collection, VerifierError } from "../../src/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { generate } from "./generate.ts";
import type { LogPair } from "./logs.ts";
import { TABLE } from "./table/index.ts";
import type { Judge } from "./table/judge.ts";
import type { World } from "./world.ts";

/** The rows, but for those that Linux is not to judge alike or can't be asked about. */
export function* tableLogs(here: Judge, there: Judge, level: number): Generator<LogPair> {
  for (const [subject, rows] of TABLE) {
    for (const row of rows) {
      if (row.without === "all capabilities") continue;
      yield {
        name: `${subject}: ${row.title}`,
        level,
        here: here.log(row, level),
        there: there.log(row, level),
      };
    }
  }
}

/** Generated programs. */
export function* generatedLogs(
  here: World,
  there: World,
  { seed, programs, level }: { seed: number; programs: number; level: number },
): Generator<LogPair> {
  for (let i = 0; i < programs; i++) {
    const program = generate(seed + i);
    yield {
      name: `seed ${seed + i} (${program.origin})`,
      level,
      here: here.log(program, level),
      there: there.log(program, level),
    };
  }
}

/** Their logs at level 2 are longer than the room that there is. */
const LARGE = /^fsm|^c41/;
const FOLDERS = ["bpf", "bench/corpus", "examples", "test/elf/fixtures", "../shared/cases"];

/** Files of compiled objects. */
export function objectFiles(): string[] {
  return FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith(".o") && !LARGE.test(name))
      .sort()
      .map((name) => `${folder}/${name}`),
  );
}

/** The log of each program of an object; null where it isn't the verifier that refuses. */
function logOf(kernel: Kernel, object: ObjectSpec, name: string, level: number): string | null {
  try {
    using collection = Collection.load(kernel, object, { programs: [name], logLevel: level });
    return collection.program(name).log;
  } catch (error) {
    return error instanceof VerifierError ? error.log : null;
  }
}

/** Compiled programs, source lines and all. */
export function* objectLogs(
  here: Kernel,
  there: Kernel,
  files: readonly string[],
  level: number,
): Generator<LogPair> {
  for (const file of files) {
    const object = openObject(file);
    if (object === null) continue;
    for (const { name } of object.programs.values()) {
      const [ours, theirs] = [here, there].map((kernel) => logOf(kernel, object, name, level));
      if (typeof ours !== "string" || typeof theirs !== "string") continue;
      yield { name: `${file} ${name}`, level, here: ours, there: theirs };
    }
  }
}

function openObject(file: string): ObjectSpec | null {
  try {
    return loadObject(readFileSync(file));
  } catch {
    // Objects that are wrong on purpose.
    return null;
  }
}
