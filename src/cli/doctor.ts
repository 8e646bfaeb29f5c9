/**
 * `nslink doctor`: what a kernel can do, what this process may do, and how to mend it.
 */

import { type Checkup, examine, formatCheckup } from "../doctor/index.ts";
import { EXIT_REFUSED } from "./failure.ts";
import type { OperatorOptions } from "./links.ts";
import type { Colour } from "./output.ts";
import type { Session } from "./session.ts";
import { printable } from "./text.ts";

/** By the word that a line begins with. */
const COLOURS: ReadonlyMap<string, Colour> = new Map<string, Colour>([
  ["ok", "green"],
  ["note", "yellow"],
  ["PROBLEM", "red"],
]);

/** Prints a checkup; the session ends with 1 when something won't work. */
export async function doctor(session: Session, options: OperatorOptions): Promise<void> {
  const { output } = session;
  const checkup = examine(await session.kernel(options.kernel));
  if (options.json === true) {
    await output.json(asJson(checkup));
  } else {
    const lines = formatCheckup(checkup).map((line) =>
      printable(line).replace(/^\w+/, (word) => {
        const colour = COLOURS.get(word);
        return colour === undefined ? word : output.paint(colour, word);
      }),
    );
    await output.write(`${lines.join("\n")}\n`);
  }
  if (checkup.checks.some(({ status }) => status === "problem")) session.exitCode = EXIT_REFUSED;
}

function asJson(checkup: Checkup): object {
  return {
    kernel: checkup.kernel,
    version: checkup.version,
    uid: checkup.uid,
    capabilities: checkup.capabilities,
    in_user_namespace: checkup.inUserNamespace,
    memlock_bytes: checkup.memlockBytes,
    sysctls: checkup.sysctls,
    jit: checkup.jit,
    bpffs: checkup.bpffs,
    root_namespace_in_sight: checkup.rootNamespaceInSight,
    features: checkup.features.map(({ id, title, since, capabilities, state }) => {
      return { id, title, since, capabilities, state };
    }),
    checks: checkup.checks.map(({ id, status, text, fix }) => ({ id, status, text, fix })),
  };
}
