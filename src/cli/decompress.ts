/**
 * Compressed captures: told by their first bytes, and decompressed as they are read.
 */

import { Buffer } from "node:buffer";
import type { Transform } from "node:stream";
import { CaptureError } from "../packet/index.ts";
import { UsageError } from "./failure.ts";

/** A way in which captures are compressed. */
interface Compression {
  readonly name: "gzip" | "zstd";
  /** By the file's first 4 bytes, big-endian. */
  readonly isIts: (magic: number) => boolean;
  /** The first version of Node.js that can decompress it. */
  readonly since: string;
  readonly command: string;
}

const MAGIC_BYTES = 4;
const GZIP_MAGIC = 0x1f8b;
const ZSTD_MAGIC = 0x28b52ffd;
/** Frames to be skipped, which may come first: the first byte is 0x50 to 0x5f. */
const ZSTD_SKIPPABLE = 0x502a4d18;

const COMPRESSIONS: readonly Compression[] = [
  {
    name: "gzip",
    isIts: (magic) => magic >>> 16 === GZIP_MAGIC,
    since: "0.5",
    command: "gunzip",
  },
  {
    name: "zstd",
    isIts: (magic) => magic === ZSTD_MAGIC || (magic & 0xf0ff_ffff) === ZSTD_SKIPPABLE,
    since: "22.15",
    command: "zstd -d",
  },
];

/**
 * The bytes of a capture, decompressed if they are compressed. A piece holds until the next one is
 * asked for, and so must those of `chunks`.
 *
 * @param label - what messages call the capture.
 * @throws {UsageError} where this Node.js can't decompress it. {CaptureError} for data that isn't
 *   what it says, or that ends too early, once all that came before has been delivered.
 */
export async function* decompressed(
  chunks: AsyncIterable<Uint8Array>,
  label: string,
): AsyncGenerator<Uint8Array> {
  const source = chunks[Symbol.asyncIterator]();
  try {
    let head: Uint8Array = new Uint8Array(0);
    // Ends: with enough bytes, or with the file.
    while (head.length < MAGIC_BYTES) {
      const { done, value } = await source.next();
      if (done === true) break;
      head = head.length === 0 ? value : Buffer.concat([head, value]);
    }
    const compression = compressionOf(head);
    if (compression === undefined) {
      if (head.length > 0) yield head;
      yield* { [Symbol.asyncIterator]: () => source };
    } else {
      yield* through(compression, head, source, label);
    }
  } finally {
    await source.return?.();
  }
}

function compressionOf(head: Uint8Array): Compression | undefined {
  if (head.length < MAGIC_BYTES) return undefined;
  const magic = new DataView(head.buffer, head.byteOffset).getUint32(0, false);
  return COMPRESSIONS.find(({ isIts }) => isIts(magic));
}

async function* through(
  { name, since, command }: Compression,
  head: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
  label: string,
): AsyncGenerator<Uint8Array> {
  const { decompressor } = await import("./decompressors.ts");
  const transform = decompressor(name);
  if (transform === null) {
    throw new UsageError(
      `${label} is compressed with ${name}, which Node.js can read from ${since} on; ` +
        `this is ${process.version}. Decompress it first: ${command}`,
    );
  }
  const source: { failure?: unknown } = {};
  void feed(transform, head, rest).catch((failure: unknown) => {
    source.failure = failure;
    transform.destroy(failure instanceof Error ? failure : undefined);
  });
  let offset = 0;
  try {
    for await (const chunk of transform) {
      offset += chunk.length;
      yield chunk;
    }
    // Node.js 22 says nothing of zstd data that ends within its first block.
    if (name === "zstd" && offset === 0) {
      throw new CaptureError("truncated", 0, "the zstd data is empty or ends too early");
    }
  } catch (error) {
    if (source.failure !== undefined) throw source.failure;
    throw explained(error, name, offset);
  } finally {
    transform.destroy();
  }
}

/** Hands pieces on one by one: each is used up before the next one is asked for. */
async function feed(
  transform: Transform,
  head: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): Promise<void> {
  for (let chunk: Uint8Array | undefined = head; chunk !== undefined; ) {
    if (!(await write(transform, chunk))) return;
    const { done, value }: IteratorResult<Uint8Array> = await rest.next();
    chunk = done === true ? undefined : value;
  }
  // Not with the last piece: what could be decompressed of it would be lost with an error.
  transform.end();
}

/** False when nobody wants more. */
function write(transform: Transform, chunk: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    if (transform.destroyed) resolve(false);
    else transform.write(chunk, (error) => resolve(error === null || error === undefined));
  });
}

/** What zlib says. @param offset - bytes that were decompressed before. */
function explained(error: unknown, name: string, offset: number): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (!/^(Z_|ZSTD_)/.test(code)) return error;
  if (code === "Z_BUF_ERROR") {
    return new CaptureError("truncated", offset, `the ${name} data ends too early`);
  }
  const problem = error instanceof Error ? error.message : code;
  return new CaptureError("malformed", offset, `the ${name} data is damaged: ${problem}`);
}
