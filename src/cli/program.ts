/**
 * The command's words, and how a line of them is run. What a command does is loaded when it is
 * asked for, so that asking for little is fast.
 */

import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { EXIT_DONE, EXIT_USAGE } from "./failure.ts";
import type { Session } from "./session.ts";
import { addCaptureCommands } from "./words/captures.ts";
import { addLinkCommands } from "./words/links.ts";
import { addMachineCommands } from "./words/machine.ts";
import { addNetnsCommands } from "./words/netns.ts";
import { addProgCommands } from "./words/progs.ts";

/** All commands, of a command line or of a line of a script. */
export function buildProgram(session: Session): Command {
  const program = new Command("nslink")
    .description("BPF programs on network namespaces: on Linux, and on an embedded kernel.")
    .version(version, "-V, --version", "print the version")
    .configureOutput({ outputError: (text, write) => write(asOneLine(text)) })
    .exitOverride();
  // In the order in which --help shows them.
  addLinkCommands(program, session);
  addProgCommands(program, session);
  addNetnsCommands(program, session);
  addCaptureCommands(program, session);
  addMachineCommands(program, session);
  return program;
}

/**
 * Runs the command that words make.
 *
 * @returns the exit code of wrong usage, which commander has told already, or of what was done.
 */
export async function parse(session: Session, words: readonly string[]): Promise<number> {
  session.exitCode = EXIT_DONE;
  try {
    await buildProgram(session).parseAsync(words, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT_DONE : EXIT_USAGE;
  }
  return session.exitCode;
}

const version: string = String(
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version,
);

/** Commander's "error: …\n(Did you mean …?)" in the way of all other errors. */
function asOneLine(text: string): string {
  return `${text
    .trim()
    .replace(/^error: /, "nslink: ")
    .replaceAll("\n", " ")}\n`;
}
