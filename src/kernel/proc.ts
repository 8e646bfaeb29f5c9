/**
 * The files of /proc that can be read as text: what a task is, and how this kernel is set.
 */

import { ENOENT } from "../abi/errno.ts";
import type { Capability, Task } from "./task.ts";

/** The Linux whose behaviour this is. */
const OSRELEASE = "6.18.0";
/** Bits in CapEff (include/uapi/linux/capability.h). */
const CAPABILITY_BITS: Readonly<Record<Capability, number>> = {
  CAP_DAC_OVERRIDE: 1,
  CAP_NET_ADMIN: 12,
  CAP_SYS_PTRACE: 19,
  CAP_SYS_ADMIN: 21,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
};

const FILES: Readonly<Record<string, (task: Task) => string>> = {
  "/proc/sys/kernel/osrelease": () => `${OSRELEASE}\n`,
  "/proc/sys/kernel/unprivileged_bpf_disabled": ({ machine }) =>
    `${machine.options.unprivilegedBpfDisabled ?? 2}\n`,
  "/proc/sys/kernel/bpf_stats_enabled": () => "0\n",
  "/proc/sys/net/core/bpf_jit_enable": ({ machine }) =>
    machine.engine.name === "jit" ? "1\n" : "0\n",
  // With 2, Linux hardens what everybody loads.
  "/proc/sys/net/core/bpf_jit_harden": ({ machine }) =>
    machine.engine.name === "jit" && machine.options.hardened === true ? "2\n" : "0\n",
  "/proc/self/status": status,
  "/proc/self/limits": limits,
  "/proc/self/uid_map": () => "         0          0 4294967295\n",
};

/**
 * The text of a file.
 *
 * @returns -ENOENT for those that there are not.
 */
export function readProcText(task: Task, path: string): string | number {
  const file = FILES[path.replace(/^\/proc\/(thread-self|[0-9]+)\//, "/proc/self/")];
  return file === undefined ? -ENOENT : file(task);
}

function status({ command, pid, uid, capabilities }: Task): string {
  let effective = 0n;
  for (const each of capabilities) effective |= 1n << BigInt(CAPABILITY_BITS[each]);
  const uids = `${uid}\t${uid}\t${uid}\t${uid}`;
  const lines = [
    `Name:\t${command}`,
    `Pid:\t${pid}`,
    `Uid:\t${uids}`,
    `CapEff:\t${effective.toString(16).padStart(16, "0")}`,
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function limits({ files }: Task): string {
  const row = (...columns: readonly [string, string, string, string]): string =>
    `${columns[0].padEnd(26)}${columns[1].padEnd(21)}${columns[2].padEnd(21)}${columns[3]}\n`;
  return [
    row("Limit", "Soft Limit", "Hard Limit", "Units"),
    row("Max open files", `${files.limit}`, `${files.limit}`, "files"),
    row("Max locked memory", "unlimited", "unlimited", "bytes"),
  ].join("");
}
