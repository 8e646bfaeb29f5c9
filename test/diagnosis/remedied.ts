/**
 * Runs what is said to help, as it is printed: on Linux by the real command line, on the embedded
 * kernel as a line of a script.
 */

import { once } from "node:events";
import { expect } from "vitest";
import { Output } from "../../src/cli/output.ts";
import { parse } from "../../src/cli/program.ts";
import { remedyCommand } from "../../src/cli/remedies.ts";
import { Session } from "../../src/cli/session.ts";
import { shellWords } from "../../src/cli/shell_words.ts";
import type { Remedy } from "../../src/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { type Command, ended, PROJECT } from "../cli/command.ts";
import type { Trial } from "./trial.ts";

/** What users fill in, and the object that refused programs come from. */
const OBJECT = `${PROJECT}bpf/flow.bpf.o`;
/** Remedies that are run nowhere, and why. */
const NOT_RUN: ReadonlyMap<Remedy["action"], string> = new Map<Remedy["action"], string>([
  ["raise-file-max", "it changes a setting of the machine"],
  ["raise-locked-memory", "a Linux that counts locked memory for BPF is older than this one"],
  ["mount-bpffs", "it takes a machine without a BPF file system"],
]);
/** Commands that find something wrong, which is what they are for. */
const MAY_COMPLAIN: ReadonlySet<Remedy["action"]> = new Set<Remedy["action"]>([
  "examine-kernel",
  "verify-object",
  "use-linux",
]);

/** Runs a remedy; says what it was, or why it isn't run. */
export async function runRemedy(
  t: Trial,
  remedy: Remedy,
  command: Command | null,
): Promise<{ readonly ran: string } | { readonly skipped: string }> {
  const skipped = NOT_RUN.get(remedy.action);
  if (skipped !== undefined) return { skipped };
  const isScript = command === null;
  const printed = remedyCommand(remedy, isScript);
  if (printed === null) return { skipped: "no command does it here" };
  const line = filledIn(t, printed);
  const { status, text } =
    command === null ? await inScript(t, line) : await onLinux(command, line);
  const allowed = MAY_COMPLAIN.has(remedy.action) ? [0, 1] : [0];
  expect(allowed, `${line}: ${text}`).toContain(status);
  return { ran: line };
}

/** Words in capitals are the user's to fill in. */
function filledIn(t: Trial, printed: string): string {
  return printed.replaceAll(/\b(?:OBJECT|NETNS|LINK)\b/g, (word) => {
    // A loaded program is an OBJECT as well, and needs no place for its maps.
    const isUpdate = /^(?:nslink )?update /.test(printed);
    if (word === "OBJECT") return isUpdate ? `id:${t.progId(t.program())}` : OBJECT;
    if (word === "NETNS") return t.named().name;
    const link = t.openLink ?? t.link(t.program(), t.netns());
    return `${t.linkId(link)}`;
  });
}

interface Came {
  readonly status: number | null;
  readonly text: string;
}

async function inScript(t: Trial, line: string): Promise<Came> {
  if (!(t.kernel instanceof EmbeddedKernel)) throw new TypeError("t: not on the embedded kernel");
  const said: string[] = [];
  const sink = { write: (text: string) => said.push(text) > 0, once: () => {}, isTTY: false };
  const output = new Output(sink as never, sink as never);
  const session = new Session({ output, scriptKernel: "embedded", kernel: t.kernel.task() });
  t.keep(session);
  try {
    const status = (await parse(session, shellWords(line))) || session.exitCode;
    return { status, text: said.join("") };
  } catch (error) {
    return { status: 2, text: `${said.join("")}${error}` };
  }
}

async function onLinux(command: Command, line: string): Promise<Came> {
  const words = shellWords(line);
  // A link that isn't pinned lives as long as the command, which waits to be told to end.
  if (words[1] !== "attach") {
    const { status, stdout, stderr } = command.shell(line);
    return { status, text: stdout + stderr };
  }
  const child = command.start(words.slice(1));
  const end = ended(child);
  await Promise.race([child.stdout === null ? null : once(child.stdout, "data"), end]);
  child.kill("SIGTERM");
  const { status, stdout, stderr } = await end;
  return { status, text: stdout + stderr };
}
