/**
 * `nslink script`: a file of nslink commands on one kernel.
 */

import { readFile } from "node:fs/promises";
import { errnoName } from "../abi/errno.ts";
import { BpfError } from "../errors.ts";
import { describeFailure, EXIT_DONE, EXIT_REFUSED, EXIT_USAGE, UsageError } from "./failure.ts";
import { cannotRead } from "./files.ts";
import type { Output } from "./output.ts";
import { parse } from "./program.ts";
import { type KernelName, Session } from "./session.ts";
import { shellWords, WordsError } from "./shell_words.ts";

/** `!`: the kernel must refuse the command; `!EEXIST`: for this reason. */
const EXPECTATION = /^!([A-Z0-9]*)$/;
/** The largest errno that Linux gives a name (ENOTSUPP is 524). */
const MAX_ERRNO = 530;

export interface ScriptOptions {
  readonly kernel: KernelName;
  readonly echo?: boolean;
}

/**
 * Runs the commands of a file, one a line, until one fails that shouldn't.
 *
 * @returns the exit code.
 */
export async function script(
  output: Output,
  path: string,
  options: ScriptOptions,
): Promise<number> {
  const text = await readScript(path);
  const label = path === "-" ? "standard input" : path;
  using session = new Session({ output, scriptKernel: options.kernel });
  for (const [i, line] of text.split("\n").entries()) {
    const exitCode = await runLine(session, line, {
      where: `${label}:${i + 1}`,
      echo: options.echo === true,
    });
    if (exitCode !== EXIT_DONE) return exitCode;
  }
  return EXIT_DONE;
}

async function readScript(path: string): Promise<string> {
  if (path !== "-") {
    return readFile(path, "utf8").catch((error: unknown) => cannotRead("script", path, error));
  }
  const parts: Buffer[] = [];
  for await (const part of process.stdin) parts.push(part);
  return Buffer.concat(parts).toString();
}

async function runLine(
  session: Session,
  line: string,
  { where, echo }: { readonly where: string; readonly echo: boolean },
): Promise<number> {
  const { output } = session;
  try {
    const words = shellWords(line);
    const [first = ""] = words;
    if (words.length === 0) return EXIT_DONE;
    if (echo) await output.write(`${output.paint("bold", `> ${line.trim()}`)}\n`);
    const expectation = EXPECTATION.exec(first)?.[1];
    if (expectation === undefined) {
      const exitCode = await parse(session, words);
      await output.lines(await session.losses());
      if (exitCode !== EXIT_DONE) output.complain(`${where}: this line ends the script`);
      return exitCode;
    }
    return await runRefused(session, words.slice(1), { where, errno: expectation });
  } catch (error) {
    const { text, exitCode } =
      error instanceof WordsError
        ? { text: error.message, exitCode: EXIT_USAGE }
        : describeFailure(error, true);
    output.complain(`${where}: ${text}`);
    return exitCode;
  }
}

/** Runs a command that the kernel has to refuse, and says how it did: without ids, to compare. */
async function runRefused(
  session: Session,
  words: readonly string[],
  { where, errno }: { readonly where: string; readonly errno: string },
): Promise<number> {
  const { output } = session;
  if (errno !== "" && !ERRNO_NAMES.has(errno)) {
    throw new UsageError(`${errno} is no errno that Linux knows`);
  }
  try {
    const exitCode = await parse(session, words);
    if (exitCode !== EXIT_DONE) return exitCode;
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    if (errno !== "" && error.code !== errno) {
      output.complain(`${where}: ${error.message}\n  ${errno} was due`);
      return EXIT_REFUSED;
    }
    await output.lines([`refused: ${error.command}: ${error.code}`]);
    return EXIT_DONE;
  }
  output.complain(`${where}: the kernel had to refuse this, and didn't`);
  return EXIT_REFUSED;
}

const ERRNO_NAMES: ReadonlySet<string> = new Set(
  Array.from({ length: MAX_ERRNO }, (_, errno) => errnoName(errno)),
);
