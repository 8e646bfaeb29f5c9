/**
 * `nslink verify`: what a verifier thinks of each program of an object, and why.
 */

import { PROG_TYPE_NAMES } from "../abi/bpf.ts";
import { Collection } from "../collection.ts";
import { isMissingRight } from "../diagnosis/rights.ts";
import type { ObjectSpec, ProgramSpec } from "../elf/index.ts";
import { BpfError, VerifierError } from "../errors.ts";
import type { Kernel } from "../kernel.ts";
import { readStatistics, type Statistics } from "../verdict/index.ts";
import { EXIT_REFUSED, UsageError } from "./failure.ts";
import { choosePrograms, readObject } from "./files.ts";
import type { KernelName, Session } from "./session.ts";
import { verdictLines } from "./verify_text.ts";

/** Options of the command. */
export interface VerifyOptions {
  readonly program?: string;
  /** Show the log: 1 its last path, 2 all paths. */
  readonly log?: "1" | "2";
  readonly json?: boolean;
  /** Missing in a script, whose kernel it is then. */
  readonly kernel?: KernelName | "both";
}

/** What one kernel's verifier says of one program. */
export interface Verdict {
  /** Whether a missing right kept the program from the verifier: that is no verdict. */
  readonly isBarred: boolean;
  readonly kernel: KernelName;
  /** Null for a program that is accepted; it may also be about a map that the program wants. */
  readonly refusal: BpfError | null;
  /** Null when the program didn't come as far as the verifier. */
  readonly statistics: Statistics | null;
  /** "" unless it was asked for. */
  readonly log: string;
}

/** What all kernels that were asked say of one program. */
export interface ProgramVerdict {
  readonly spec: ProgramSpec;
  readonly verdicts: readonly Verdict[];
  /** In what they differ: "verdict", "errno", "cause", "instruction". */
  readonly differences: readonly string[];
}

/** BPF_LOG_STATS: figures alone. */
const FIGURES = 4;

/** Verifies one program of an object, or all; the session ends with 1 when one is refused. */
export async function verify(
  session: Session,
  path: string,
  options: VerifyOptions,
): Promise<void> {
  const object = await readObject(path);
  const programs = choosePrograms(object, path, options.program);
  if (programs.length === 0) throw new UsageError(`${path} holds no programs`);
  const kernels = await openKernels(session, options.kernel ?? "embedded");
  const logLevel = FIGURES | Number(options.log ?? 0);
  const all = programs.map((spec): ProgramVerdict => {
    const verdicts = Array.from(kernels, ([name, kernel]) =>
      ask(kernel, name, object, spec, logLevel),
    );
    return { spec, verdicts, differences: differencesOf(verdicts) };
  });
  const { output } = session;
  if (options.json === true) await output.json(asJson(all, options.log !== undefined));
  else await output.write(all.map((each) => verdictLines(output, each)).join("\n"));
  const isRefused = all.some(({ verdicts }) => verdicts.some(({ refusal }) => refusal !== null));
  if (isRefused) session.exitCode = EXIT_REFUSED;
}

/** The kernels to ask, Linux first; each is let go of with the session. */
async function openKernels(
  session: Session,
  wanted: KernelName | "both",
): Promise<Map<KernelName, Kernel>> {
  if (session.scriptKernel !== null || wanted !== "both") {
    const name = session.scriptKernel ?? (wanted === "both" ? "embedded" : wanted);
    return new Map([[name, await session.kernel(name)]]);
  }
  const linux = await session.kernel("linux");
  const { EmbeddedKernel } = await import("../kernel/index.ts");
  const embedded = EmbeddedKernel.boot();
  session.keep(embedded);
  return new Map<KernelName, Kernel>([
    ["linux", linux],
    ["embedded", embedded],
  ]);
}

function ask(
  kernel: Kernel,
  name: KernelName,
  object: ObjectSpec,
  spec: ProgramSpec,
  logLevel: number,
): Verdict {
  const wantsWords = logLevel !== FIGURES;
  try {
    const options = { programs: [spec.name], logLevel };
    using collection = Collection.load(kernel, withoutPins(object), options);
    const { log } = collection.program(spec.name);
    const statistics = readStatistics(log);
    const shown = wantsWords ? log : "";
    return { kernel: name, isBarred: false, refusal: null, statistics, log: shown };
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    const log = error instanceof VerifierError ? error.log : "";
    const statistics = readStatistics(log);
    const isBarred = isMissingRight(error.reason);
    return { kernel: name, isBarred, refusal: error, statistics, log: wantsWords ? log : "" };
  }
}

/** Nothing of a look at a program stays behind. */
function withoutPins(object: ObjectSpec): ObjectSpec {
  const maps = Array.from(object.maps, ([name, map]) => {
    return [name, { ...map, pinning: "none" as const }] as const;
  });
  return { ...object, maps: new Map(maps) };
}

function differencesOf(all: readonly Verdict[]): string[] {
  const verdicts = all.filter(({ isBarred }) => !isBarred);
  const views: readonly (readonly [string, (verdict: Verdict) => unknown])[] = [
    ["verdict", ({ refusal }) => refusal === null],
    ["errno", ({ refusal }) => refusal?.code],
    ["cause", ({ refusal }) => causeOf(refusal)?.id ?? refusal?.reason],
    ["instruction", ({ refusal }) => slotOf(refusal)],
  ];
  return views.filter(([, view]) => new Set(verdicts.map(view)).size > 1).map(([name]) => name);
}

function causeOf(refusal: BpfError | null): VerifierError["cause"] {
  return refusal instanceof VerifierError ? refusal.cause : null;
}

function slotOf(refusal: BpfError | null): number | undefined {
  return refusal instanceof VerifierError ? refusal.instruction?.slot : undefined;
}

function asJson(all: readonly ProgramVerdict[], withLog: boolean): object[] {
  return all.map(({ spec, verdicts, differences }) => ({
    program: spec.name,
    section: spec.section,
    type: PROG_TYPE_NAMES[spec.type] ?? `${spec.type}`,
    verdicts: verdicts.map(({ kernel, isBarred, refusal, statistics, log }) => ({
      kernel,
      // What was never verified is neither accepted nor not.
      accepted: isBarred ? null : refusal === null,
      statistics: statistics === null ? null : statisticsAsJson(statistics),
      refusal: refusal === null ? null : refusalAsJson(refusal),
      ...(withLog && { log }),
    })),
    differences,
  }));
}

function statisticsAsJson(statistics: Statistics): object {
  return {
    instructions: statistics.processed,
    states: statistics.totalStates,
    peak_states: statistics.peakStates,
    states_at_one_instruction: statistics.maxStatesPerInstruction,
    time_us: statistics.timeUs,
  };
}

function refusalAsJson(refusal: BpfError): object {
  const known = refusal instanceof VerifierError ? refusal : null;
  return {
    errno: refusal.code,
    cause: known === null ? refusal.reason : (known.cause?.id ?? null),
    sentence: known?.cause?.sentence ?? refusal.hint,
    mend: known?.cause?.mend ?? null,
    message: known?.words ?? null,
    instruction: known?.instruction ?? null,
    source: known?.line ?? null,
    registers: known?.registers ?? {},
  };
}
