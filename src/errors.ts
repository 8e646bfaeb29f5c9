/**
 * The errors that the API throws. Inside the kernels errnos are values; here they become words.
 */

import { COMMAND_NAMES } from "./abi/bpf.ts";
import { errnoName } from "./abi/errno.ts";

/** A call that a kernel refused. */
export class BpfError extends Error {
  /** What was called: "BPF_LINK_CREATE", "open". */
  readonly command: string;
  /** Linux's error number, positive. */
  readonly errno: number;
  /** Its name, such as "E2BIG". */
  readonly code: string;
  /** Why, and what to do; empty when nothing more is known than the errno says. */
  readonly hint: string;

  /**
   * @param command - a command of bpf(2), by number, or the name of another call.
   * @param errno - positive, or as a kernel returned it, negative.
   */
  constructor(command: number | string, errno: number, hint: string = "") {
    const name = typeof command === "string" ? command : (COMMAND_NAMES[command] ?? "bpf");
    const code = errnoName(Math.abs(errno));
    super([name, code, ...(hint === "" ? [] : [hint])].join(": "));
    this.name = "BpfError";
    this.command = name;
    this.errno = Math.abs(errno);
    this.code = code;
    this.hint = hint;
  }
}

/** A program that the kernel would not load; `log` is the verifier's. */
export class VerifierError extends BpfError {
  readonly log: string;

  constructor(errno: number, program: string, log: string) {
    const lines = log.trimEnd().split("\n");
    const verdict = lines.filter((line) => line !== "" && !line.startsWith("processed ")).at(-1);
    super(
      "BPF_PROG_LOAD",
      errno,
      `program ${program} was rejected: ${verdict ?? "the verifier left no log"}`,
    );
    this.name = "VerifierError";
    this.log = log;
  }
}
