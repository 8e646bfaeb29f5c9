/**
 * `nslink run`: a capture through a flow dissector that is attached by a link.
 */

import { Collection } from "../collection.ts";
import type { ObjectSpec, ProgramSpec } from "../elf/index.ts";
import { EmbeddedKernel } from "../kernel/index.ts";
import { Link } from "../link.ts";
import { NetNs } from "../netns.ts";
import {
  type CapturedPacket,
  CaptureError,
  networkFrame,
  readCaptureBatches,
} from "../packet/index.ts";
import { UsageError } from "./failure.ts";
import { chooseDissector, openCapture, readObject } from "./files.ts";
import { type Outcome, wasStopped } from "./outcome.ts";
import { Progress } from "./progress.ts";
import { JsonReport, type Report, TableReport } from "./report.ts";
import { counted, printable } from "./text.ts";

export interface RunOptions {
  readonly program?: string;
  readonly json?: boolean;
  readonly summary?: boolean;
  readonly flags?: number;
  readonly limit?: number;
}

/** Attaches, dissects, reports. */
export async function run(
  objectPath: string,
  capturePath: string,
  options: RunOptions,
): Promise<void> {
  const object = await readObject(objectPath);
  const spec = chooseDissector(object, objectPath, options.program);
  const capture = await openCapture(capturePath);

  using kernel = EmbeddedKernel.boot();
  using netns = NetNs.create(kernel, "run");
  using collection = Collection.load(kernel, object, { programs: dissectorsOf(object, spec) });
  using _link = Link.attach(collection.program(spec.name), netns);

  const withPackets = options.summary !== true;
  const report: Report =
    options.json === true ? new JsonReport() : new TableReport(spec.name, withPackets);
  const progress = new Progress(capture.sizeBytes);
  const limit = options.limit ?? Number.POSITIVE_INFINITY;
  let bytesRead = 0;
  let packets = 0;
  let stopped = 0;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for await (const chunk of capture.chunks) {
      bytesRead += chunk.length;
      yield chunk;
    }
  }

  let warning = "";
  try {
    for await (const batch of readCaptureBatches(chunks())) {
      const wanted = batch.slice(0, limit - packets);
      for (const packet of wanted) {
        const outcome = dissect(netns, packet, options.flags ?? 0);
        if (wasStopped(outcome)) stopped++;
        report.add(packet, outcome);
      }
      packets += wanted.length;
      const text = report.take();
      if (text !== "") progress.clear();
      await write(text);
      progress.update(bytesRead, counted(packets, "packet"));
      if (packets >= limit) break;
    }
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    warning = `${capture.label}: ${error.message}`;
    // The packets before the place where a file was cut off are as good as any.
    if (error.kind !== "truncated" || packets === 0) throw new UsageError(warning);
  } finally {
    progress.clear();
  }
  await write(report.end());
  if (warning !== "") warn(warning);
  if (stopped > 0) {
    const where = `program ${spec.name} was stopped on ${counted(stopped, "packet")}`;
    warn(`${where}: it did what Linux's verifier would have refused`);
  }
}

function warn(text: string): void {
  process.stderr.write(`nslink: warning: ${printable(text)}\n`);
}

/** The chosen program and those that it may tail-call; an object can hold other things as well. */
function dissectorsOf(object: ObjectSpec, chosen: ProgramSpec): string[] {
  return [...object.programs.values()]
    .filter((spec) => spec === chosen || (spec.type === chosen.type && spec.autoload))
    .map(({ name }) => name);
}

function dissect(netns: NetNs, packet: CapturedPacket, flags: number): Outcome {
  const frame = networkFrame(packet);
  if (frame.data !== null) return netns.dissect(frame, flags);
  const reasons = {
    short: "shorter than its link-layer header",
    "no-protocol": "its link-layer header names no network protocol",
  };
  return { by: null, reason: reasons[frame.reason] };
}

/** Waits while the reader is slow, so that output never piles up in memory. */
async function write(text: string): Promise<void> {
  if (text === "" || process.stdout.write(text)) return;
  await new Promise<void>((resolve) => process.stdout.once("drain", resolve));
}
