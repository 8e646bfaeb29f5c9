/**
 * `nslink run`: a capture through a flow dissector that is attached by a link.
 */

import { Collection } from "../collection.ts";
import { BpfError } from "../errors.ts";
import { Link } from "../link.ts";
import type { NetNs } from "../netns.ts";
import {
  type CapturedPacket,
  CaptureError,
  networkFrame,
  readCaptureBatches,
} from "../packet/index.ts";
import { UsageError } from "./failure.ts";
import { chooseDissector, openCapture, programsLoadedWith, readObject } from "./files.ts";
import { type Outcome, wasStopped } from "./outcome.ts";
import { privateNamespace } from "./private_namespace.ts";
import { Progress } from "./progress.ts";
import { JsonReport, type Report, TableReport } from "./report.ts";
import type { KernelName, Session } from "./session.ts";
import { counted } from "./text.ts";

export interface RunOptions {
  readonly kernel: KernelName;
  readonly program?: string;
  readonly json?: boolean;
  readonly summary?: boolean;
  readonly flags?: number;
  readonly limit?: number;
}

/** Attaches, dissects, reports. */
export async function run(
  session: Session,
  objectPath: string,
  capturePath: string,
  options: RunOptions,
): Promise<void> {
  const object = await readObject(objectPath);
  const spec = chooseDissector(object, objectPath, options.program);
  const capture = await openCapture(capturePath);

  const { output } = session;
  const kernel = await session.kernel(options.kernel);
  using netns = privateNamespace(kernel, "run");
  using collection = Collection.load(kernel, object, {
    programs: programsLoadedWith(object, spec),
  });
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
      await output.write(text);
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
  await output.write(report.end());
  if (warning !== "") output.complain(`warning: ${warning}`);
  if (stopped > 0) {
    const where = `program ${spec.name} was stopped on ${counted(stopped, "packet")}`;
    output.complain(`warning: ${where}: it did what Linux's verifier would have refused`);
  }
}

function dissect(netns: NetNs, packet: CapturedPacket, flags: number): Outcome {
  const frame = networkFrame(packet);
  if (frame.data === null) return { by: null, reason: REASONS[frame.reason] };
  try {
    return netns.dissect(frame, flags);
  } catch (error) {
    // Linux runs a program by hand on packets of certain sizes only.
    if (!(error instanceof BpfError) || error.code !== "EINVAL") throw error;
    return { by: null, reason: error.hint };
  }
}

const REASONS = {
  short: "shorter than its link-layer header",
  "no-protocol": "its link-layer header names no network protocol",
} as const;
