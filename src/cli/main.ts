/**
 * The nslink command: one command line, its exit code, and what becomes of its output.
 */

import { describeFailure, EXIT_DONE, EXIT_USAGE } from "./failure.ts";
import { Output } from "./output.ts";
import { parse } from "./program.ts";
import { Session } from "./session.ts";

const output = new Output();
// What lists of holders, ours among them, call this process: its start, by /proc/PID/comm.
process.title = ["nslink", ...process.argv.slice(2)].join(" ");

// A reader that has seen enough, such as head(1), closes the pipe: nothing is wrong then.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(EXIT_DONE);
  output.complainOfOutput(error.message);
  process.exit(EXIT_USAGE);
});

async function main(): Promise<number> {
  using session = new Session({ output });
  return await parse(session, process.argv.slice(2));
}

main().then(
  (exitCode) => {
    process.exitCode = exitCode;
  },
  (error: unknown) => {
    const { text, exitCode } = describeFailure(error);
    output.complain(text);
    process.exitCode = exitCode;
  },
);
