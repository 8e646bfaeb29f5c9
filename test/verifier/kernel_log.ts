/**
 * What Linux says about faults of its own: in the kernel's log (/dev/kmsg), and in the verifier's.
 */

import { spawnSync } from "node:child_process";
import { closeSync, constants, openSync, readlinkSync, readSync } from "node:fs";

/** What a kernel writes when it finds itself at fault, in either log. */
const VERIFIER_FAULT = /verifier bug: .*|REG INVARIANTS VIOLATION.*|.*backtracking misuse.*/i;
const KERNEL_FAULT =
  /^(WARNING: .*|BUG: .*|kernel BUG at .*|Oops: .*|general protection fault.*|UBSAN: .*)/;
const PID = /\bPID: (\d+)\b/;

/** Longer than any record (CONSOLE_EXT_LOG_MAX). */
const RECORD_SIZE = 8192;
/** Records that are read at once, at most: the log holds far fewer. */
const MAX_RECORDS = 1_000_000;
/** The inode of the first namespace of processes, in which the log names them. */
const FIRST_PID_NAMESPACE = "pid:[4026531836]";
const CLEAR_TIMEOUT_MS = 10_000;

/** The faults in a log of the verifier. */
export function faultsInLog(log: string): string[] {
  return log.split("\n").flatMap((line) => VERIFIER_FAULT.exec(line)?.[0] ?? []);
}

/** A fault without what differs from one time to the next: its kind. */
export function kindOfFault(fault: string): string {
  return fault
    .replace(/CPU: \d+ PID: \d+ /, "")
    .replace(/: range bounds violation .*|: const .* violation .*/, "")
    .replace(/0x[0-9a-f]+|(?<!\.c:)-?\b\d+\b/g, "N");
}

/** The kernel's log from now on. */
export class KernelLog implements Disposable {
  readonly #fd: number;
  readonly #buffer: Buffer = Buffer.alloc(RECORD_SIZE);

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Begins at the log's end. @returns why it can't be read, where it can't. */
  static open(): KernelLog | string {
    try {
      const fd = openSync("/dev/kmsg", constants.O_RDONLY | constants.O_NONBLOCK);
      const log = new KernelLog(fd);
      log.faults();
      return log;
    } catch (error) {
      return `the kernel's log can't be read (/dev/kmsg: ${(error as NodeJS.ErrnoException).code})`;
    }
  }

  /** Faults that this thread caused since it was last asked. */
  faults(): string[] {
    return faultsOf(this.#records(), ownPid());
  }

  #records(): string[] {
    const records: string[] = [];
    while (records.length < MAX_RECORDS) {
      try {
        const size = readSync(this.#fd, this.#buffer);
        // "6,339,5140900,-;text", and lines that begin with a space say where from.
        const [, text = ""] = /;(.*)/.exec(this.#buffer.toString("utf8", 0, size)) ?? [];
        records.push(text);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        // EPIPE: what should have come next was overwritten; reading goes on with what there is.
        if (code === "EPIPE") continue;
        if (code === "EAGAIN") break;
        throw error;
      }
    }
    return records;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** As the log names this thread; null where it can't be known. */
function ownPid(): string | null {
  if (readlinkSync("/proc/self/ns/pid") !== FIRST_PID_NAMESPACE) return null;
  return readlinkSync("/proc/thread-self").replace(/.*\//, "");
}

/**
 * The faults among records of the log. A verifier's fault is told before the warning that names
 * who was at it.
 *
 * @param pid - only this one's; null: everybody's.
 */
export function faultsOf(records: readonly string[], pid: string | null): string[] {
  const faults: string[] = [];
  for (const [i, record] of records.entries()) {
    if (!KERNEL_FAULT.test(record)) continue;
    const named = records.slice(i).find((text) => PID.test(text)) ?? "";
    if (pid !== null && PID.exec(named)?.[1] !== pid) continue;
    const told = VERIFIER_FAULT.exec(records[i - 1] ?? "");
    faults.push(told?.[0] ?? record);
  }
  return faults;
}

/**
 * Lets Linux warn again of what it warns of once: most of its warnings come once until it is booted
 * again. Wants root and debugfs, which is mounted where nobody else sees it, and a kernel that
 * isn't locked down.
 *
 * @returns whether it could be done.
 */
export function warnAgain(): boolean {
  const mount = "mount -t debugfs none /sys/kernel/debug";
  const script = `${mount} && echo 1 > /sys/kernel/debug/clear_warn_once`;
  const { status } = spawnSync("unshare", ["--mount", "sh", "-c", script], {
    stdio: "ignore",
    timeout: CLEAR_TIMEOUT_MS,
  });
  return status === 0;
}
