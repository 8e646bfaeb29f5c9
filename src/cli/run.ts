/**
 * `nslink run`: a capture through a flow dissector that is attached by a link.
 */

import { Collection } from "../collection.ts";
import type { ProgramSpec } from "../elf/index.ts";
import { EmbeddedKernel } from "../kernel/index.ts";
import type { Kernel } from "../kernel.ts";
import { Link } from "../link.ts";
import { CaptureError, CaptureScanner } from "../packet/index.ts";
import {
  type Dissection,
  type DissectionOptions,
  PagedDissection,
  SingleDissection,
} from "./dissection.ts";
import { EXIT_REFUSED, UsageError } from "./failure.ts";
import {
  type CaptureFile,
  chooseDissector,
  openCapture,
  programsLoadedWith,
  readObject,
} from "./files.ts";
import { mayRunLong } from "./long_runs.ts";
import { CHUNK_BYTES } from "./page.ts";
import { privateNamespace } from "./private_namespace.ts";
import { Progress } from "./progress.ts";
import { type Format, Report } from "./report.ts";
import { missNotes, stopPlace } from "./run_notes.ts";
import type { KernelName, Session } from "./session.ts";
import { counted } from "./text.ts";
import type { Watch } from "./watch.ts";

export interface RunOptions {
  readonly kernel: KernelName;
  readonly program?: string;
  readonly json?: boolean;
  readonly summary?: boolean;
  readonly flags?: number;
  readonly limit?: number;
  readonly jobs?: number;
  readonly maxInstructions?: number;
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
  await using capture = await openCapture(capturePath);

  const { output } = session;
  const { jobs = 1, flags = 0 } = options;
  const { maxInstructions } = options;
  const kernel = await session.kernel(options.kernel, { threads: jobs, maxInstructions });
  using netns = privateNamespace(kernel, "run");
  const programs = programsLoadedWith(object, spec);
  using collection = Collection.load(kernel, object, { programs });
  using _link = Link.attach(collection.program(spec.name), netns);

  const format = formatOf(options);
  const report = new Report(format);
  const chosen = await chooseDissection(kernel, { netns, report, flags }, { jobs, format });
  using dissection = chosen.dissection;
  if (chosen.note !== "") output.complain(`note: ${chosen.note}`);
  using watch = await watchOver(
    programs.map((name) => object.programs.get(name)),
    kernel,
  );
  using _listening = listen(session, dissection);
  if (kernel instanceof EmbeddedKernel) kernel.takeTailCallMisses();
  const warning = await readThrough(session, capture, { dissection, report, watch }, options.limit);
  await output.write(report.end(spec.name));
  if (warning !== "") output.complain(`warning: ${warning}`);
  // A line of JSON has its reason.
  for (const [reason, packets] of format === "json" ? [] : report.tally.reasons) {
    output.complain(`note: ${counted(packets, "packet")} came to no dissector: ${reason}`);
  }
  if (!(kernel instanceof EmbeddedKernel)) return;
  for (const note of missNotes(kernel)) output.complain(`note: ${note}`);
  const { overLimit } = dissection;
  const stopped = report.tally.count("stopped") - (overLimit === null ? 0 : 1);
  if (stopped > 0) {
    const where = `program ${spec.name} was stopped on ${counted(stopped, "packet")}`;
    output.complain(`warning: ${where}: it did what Linux's verifier would have refused`);
  }
  if (overLimit !== null && maxInstructions !== undefined) {
    const taken = `took more than ${counted(maxInstructions, "instruction")} (--max-instructions)`;
    const where = stopPlace(kernel, collection, object);
    output.complain(`packet ${overLimit} ${taken} and was stopped ${where}; the run ends here`);
    session.exitCode = EXIT_REFUSED;
  }
}

/** Hands what programs print to a dissection, which knows on which packet. */
function listen(session: Session, dissection: Dissection): Disposable {
  session.trace = (line) => dissection.print(line);
  return {
    [Symbol.dispose]: () => {
      session.trace = null;
    },
  };
}

/** Says that a program takes long, if one could. */
async function watchOver(
  specs: readonly (ProgramSpec | undefined)[],
  kernel: Kernel,
): Promise<Watch | null> {
  if (!specs.some((spec) => spec !== undefined && mayRunLong(spec))) return null;
  const { Watch } = await import("./watch.ts");
  return new Watch(
    kernel instanceof EmbeddedKernel
      ? "--max-instructions N ends a run that takes more than N"
      : "Linux has no limit for this",
  );
}

function formatOf({ json, summary }: RunOptions): Format {
  if (json === true) return "json";
  return summary === true ? "summary" : "table";
}

/** How packets are dissected, and what is to be said of that. */
interface Chosen {
  readonly dissection: Dissection;
  readonly note: string;
}

async function chooseDissection(
  kernel: Kernel,
  options: DissectionOptions,
  { jobs, format }: { readonly jobs: number; readonly format: Format },
): Promise<Chosen> {
  const alone = (why: string): string =>
    jobs === 1 ? "" : `on one thread instead of ${jobs}: ${why}`;
  if (!(kernel instanceof EmbeddedKernel)) {
    return { dissection: new SingleDissection(options), note: alone("Linux runs the program") };
  }
  const spread = jobs === 1 ? "" : kernel.spread(options.netns.fd, jobs);
  if (typeof spread === "object") {
    const { SpreadDissection } = await import("./spread.ts");
    const dissection = new SpreadDissection(kernel, options, { spread, threads: jobs, format });
    return { dissection, note: "" };
  }
  return { dissection: new PagedDissection(kernel, options), note: alone(`${spread}`) };
}

/** What takes a capture's packets, and who watches. */
interface Reading {
  readonly dissection: Dissection;
  readonly report: Report;
  readonly watch: Watch | null;
}

/** Reads a capture to its end. @returns what is wrong with it, or "". */
async function readThrough(
  { output }: Session,
  capture: CaptureFile,
  { dissection, report, watch }: Reading,
  limit: number = Number.POSITIVE_INFINITY,
): Promise<string> {
  const progress = new Progress(capture.sizeBytes);
  const scanner = new CaptureScanner(dissection.sink);
  let packets = 0;
  let failure: CaptureError | null = null;
  const tellPrinted = (): void => {
    const { lines, omitted } = dissection.printed();
    if (lines.length > 0) progress.clear();
    for (const line of lines) output.complain(line);
    if (omitted > 0)
      output.complain(`and ${counted(omitted, "more line")} of bpf_printk, left out`);
  };
  try {
    for await (const chunk of partsOf(capture.chunks)) {
      dissection.begin(chunk, limit - packets);
      watch?.begin(dissection.reported + 1);
      try {
        scanner.push(chunk);
      } finally {
        // The packets before the place where a chunk can't be read are as good as any.
        packets += await dissection.end();
        watch?.end();
        tellPrinted();
      }
      const text = report.take();
      if (text !== "") progress.clear();
      await output.write(text);
      progress.update(capture.bytesRead(), counted(packets, "packet"));
      if (packets >= limit || dissection.overLimit !== null) break;
    }
    if (packets < limit && dissection.overLimit === null) scanner.end();
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    failure = error;
  } finally {
    progress.clear();
  }
  watch?.begin(dissection.reported + 1);
  await dissection.finish();
  watch?.end();
  tellPrinted();
  await output.write(report.take());
  if (failure === null) return "";
  const problem = `${capture.label}: ${failure.message}`;
  if (failure.kind !== "truncated" || packets === 0) throw new UsageError(problem);
  return problem;
}

/** Chunks that are no longer than a page takes. */
async function* partsOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += CHUNK_BYTES) {
      yield chunk.subarray(at, at + CHUNK_BYTES);
    }
  }
}
