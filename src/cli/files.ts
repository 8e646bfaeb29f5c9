/**
 * Objects and captures from disk.
 */

import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import {
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_SK_LOOKUP,
  PROG_TYPE_NAMES,
} from "../abi/bpf.ts";
import type { ObjectSpec, ProgramSpec } from "../elf/index.ts";
import { loadObject, ObjectError } from "../elf/index.ts";
import { decompressed } from "./decompress.ts";
import { UsageError } from "./failure.ts";
import { CHUNK_BYTES } from "./page.ts";
import { ReadAhead } from "./read_ahead.ts";

/** Bytes of a capture that are read at once: enough that asking for them costs little. */
const READ_BYTES: number = 4 * CHUNK_BYTES;

/** Reads and parses an object file. */
export async function readObject(path: string): Promise<ObjectSpec> {
  const bytes = await readFile(path).catch((error: unknown) => cannotRead("object", path, error));
  try {
    return loadObject(bytes);
  } catch (error) {
    if (error instanceof ObjectError) throw new UsageError(`${path}: ${error.message}`);
    throw error;
  }
}

/** A capture's bytes, decompressed, and how many the file has when that can be known. */
export interface CaptureFile extends AsyncDisposable {
  /** What messages call it. */
  readonly label: string;
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly sizeBytes: number | null;
  /** Bytes of the file that were read, compressed or not. */
  readonly bytesRead: () => number;
}

/**
 * Opens a capture; `-` is standard input. A chunk holds until the next one is asked for. The first
 * of a regular file is read while there is something else to do.
 */
export async function openCapture(path: string): Promise<CaptureFile> {
  if (path === "-") return streamed(process.stdin, "standard input");
  const facts = await stat(path).catch((error: unknown) => cannotRead("capture", path, error));
  if (facts.isDirectory()) cannotRead("capture", path, { code: "EISDIR" });
  if (!facts.isFile())
    return streamed(createReadStream(path, { highWaterMark: CHUNK_BYTES }), path);
  const file = await ReadAhead.open(path, READ_BYTES).catch((error: unknown) =>
    cannotRead("capture", path, error),
  );
  return {
    ...captureBytes(file, path),
    sizeBytes: facts.size,
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  };
}

function streamed(stream: Readable, label: string): CaptureFile {
  return {
    ...captureBytes(stream, label),
    sizeBytes: null,
    [Symbol.asyncDispose]: async () => {},
  };
}

function captureBytes(
  source: AsyncIterable<Uint8Array>,
  label: string,
): Pick<CaptureFile, "label" | "chunks" | "bytesRead"> {
  let bytesRead = 0;
  async function* readable(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of source) {
        bytesRead += chunk.length;
        yield chunk;
      }
    } catch (error) {
      cannotRead("capture", label, error);
    }
  }
  return { label, chunks: decompressed(readable(), label), bytesRead: () => bytesRead };
}

const REASONS: ReadonlyMap<unknown, string> = new Map([
  ["ENOENT", "there is no such file"],
  ["ENOTDIR", "there is no such file"],
  ["EACCES", "permission denied"],
  ["EISDIR", "it is a directory"],
]);

/** @throws {UsageError} for what the file system said; anything else is thrown on. */
export function cannotRead(what: string, path: string, error: unknown): never {
  if (typeof error !== "object" || error === null || !("code" in error)) throw error;
  const reason = REASONS.get(error.code) ?? ("message" in error ? error.message : error.code);
  throw new UsageError(`cannot read ${what} ${path}: ${reason}`);
}

/**
 * The program to run: the one named, or the first flow dissector of the object.
 *
 * @param path - of the object, for messages.
 * @throws {UsageError} naming what there is, when there is no such program.
 */
export function chooseDissector(object: ObjectSpec, path: string, name?: string): ProgramSpec {
  const all = [...object.programs.values()];
  if (name === undefined) {
    const first = all.find(({ type }) => type === BPF_PROG_TYPE_FLOW_DISSECTOR);
    if (first === undefined) throw new UsageError(`${path} holds no flow dissector program`);
    return first;
  }
  const chosen = chooseProgram(object, path, name);
  if (chosen.type === BPF_PROG_TYPE_FLOW_DISSECTOR) return chosen;
  const type = PROG_TYPE_NAMES[chosen.type] ?? `type ${chosen.type}`;
  throw new UsageError(`program ${name} is a ${type}; captures are dissected by flow dissectors`);
}

/**
 * A program by name.
 *
 * @param path - of the object, for messages.
 * @throws {UsageError} naming those that there are.
 */
export function chooseProgram(object: ObjectSpec, path: string, name: string): ProgramSpec {
  const found = object.programs.get(name);
  if (found !== undefined) return found;
  const known = [...object.programs.keys()].join(", ");
  throw new UsageError(
    `${path} holds no program ${name}; it holds ${known === "" ? "none" : known}`,
  );
}

/** The program with a name, or, without one, all: see {@link chooseProgram}. */
export function choosePrograms(
  object: ObjectSpec,
  path: string,
  name: string | undefined,
): ProgramSpec[] {
  return name === undefined ? [...object.programs.values()] : [chooseProgram(object, path, name)];
}

/**
 * The first program that attaches to a network namespace.
 *
 * @param path - of the object, for messages.
 * @throws {UsageError} when there is none.
 */
export function chooseAttachable(object: ObjectSpec, path: string): ProgramSpec {
  const types = [BPF_PROG_TYPE_FLOW_DISSECTOR, BPF_PROG_TYPE_SK_LOOKUP];
  const found = [...object.programs.values()].find(({ type }) => types.includes(type));
  if (found !== undefined) return found;
  throw new UsageError(`${path} holds no program that attaches to network namespaces`);
}

/**
 * Names of a program and of those that it may tail-call, which are of its type; an object can hold
 * other things as well.
 */
export function programsLoadedWith(object: ObjectSpec, chosen: ProgramSpec): string[] {
  return [...object.programs.values()]
    .filter((spec) => spec === chosen || (spec.type === chosen.type && spec.autoload))
    .map(({ name }) => name);
}
