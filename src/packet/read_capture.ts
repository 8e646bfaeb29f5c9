// Captures from whatever yields bytes in time: files, responses, arrays of chunks.

import { CaptureReader } from "./capture_reader.ts";
import type { CapturedPacket } from "./captured_packet.ts";

/** How much of a capture is parsed between two batches at most, in bytes. */
const MAX_BATCH_BYTES = 1024 * 1024;

/** Whatever yields a capture's bytes in order, in chunks of any size. */
export type CaptureSource =
  | AsyncIterable<Uint8Array>
  | Iterable<Uint8Array>
  | ReadableStream<Uint8Array>;

/**
 * Reads a pcap or pcapng file packet by packet, in flat memory.
 *
 * ```ts
 * import { createReadStream } from "node:fs";
 * import { readCapture } from "nslink/packet";
 *
 * for await (const packet of readCapture(createReadStream("examples/traffic.pcap"))) {
 *   console.log(packet.number, packet.timestampNs, packet.capturedLength);
 * }
 * ```
 *
 * Packets refer to the source's chunks: see {@link CapturedPacket}. Where every packet counts in
 * time, {@link readCaptureBatches} saves the wait between packets.
 *
 * @throws {CaptureError} once every packet before the problem has been delivered; of kind
 *   `truncated` where the file merely ends in the middle of a record. Errors of the source pass.
 */
export async function* readCapture(
  source: CaptureSource,
): AsyncGenerator<CapturedPacket, void, undefined> {
  for await (const batch of readCaptureBatches(source)) yield* batch;
}

/**
 * Reads a capture as {@link readCapture} does, but yields at once all packets that a chunk
 * completes (a megabyte of it, if it is larger). No batch is empty.
 */
export async function* readCaptureBatches(
  source: CaptureSource,
): AsyncGenerator<CapturedPacket[], void, undefined> {
  let batch: CapturedPacket[] = [];
  const reader = new CaptureReader((packet) => batch.push(packet));
  for await (const chunk of chunksOf(source)) {
    for (const part of partsOf(chunk)) {
      let failure: { error: unknown } | undefined;
      try {
        reader.push(part);
      } catch (error) {
        failure = { error };
      }
      if (batch.length > 0) {
        yield batch;
        batch = [];
      }
      if (failure !== undefined) throw failure.error;
    }
  }
  reader.end();
}

/** A chunk that is a whole file must not become a batch of all its packets. */
function* partsOf(chunk: Uint8Array): Generator<Uint8Array> {
  if (chunk.length <= MAX_BATCH_BYTES) yield chunk;
  else {
    for (let at = 0; at < chunk.length; at += MAX_BATCH_BYTES) {
      yield chunk.subarray(at, at + MAX_BATCH_BYTES);
    }
  }
}

/** Not every browser can iterate over a ReadableStream. */
function chunksOf(source: CaptureSource): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  if (Symbol.asyncIterator in source || Symbol.iterator in source) return source;
  return streamChunks(source);
}

async function* streamChunks(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  let drained = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        drained = true;
        return;
      }
      yield value;
    }
  } finally {
    if (!drained) await reader.cancel();
    reader.releaseLock();
  }
}
