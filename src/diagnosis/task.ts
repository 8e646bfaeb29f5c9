/**
 * What /proc says of the calling task and of the kernel's settings: capabilities, limits, sysctls.
 */

import type { Kernel } from "../kernel.ts";

/** The capabilities that BPF on network namespaces has to do with, by their bit (capability.h). */
export const CAPABILITY_BITS = {
  CAP_DAC_OVERRIDE: 1,
  CAP_NET_ADMIN: 12,
  CAP_SYS_ADMIN: 21,
  CAP_SYS_RESOURCE: 24,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
} as const;

/** The task that calls, and where it runs. Null is what can't be known. */
export interface TaskFacts {
  /** Effective capabilities, of those in {@link CAPABILITY_BITS}. */
  readonly capabilities: ReadonlySet<string> | null;
  /** Effective user id. */
  readonly uid: number | null;
  /** Whether it is in a user namespace other than the machine's. */
  readonly inUserNamespace: boolean;
  /** RLIMIT_MEMLOCK, in bytes; Infinity for none. */
  readonly memlockBytes: number | null;
  /** RLIMIT_NOFILE. */
  readonly openFilesLimit: number | null;
  /** What RLIMIT_NOFILE may be raised to. */
  readonly mostOpenFiles: number | null;
}

/** A kernel's settings. */
export interface KernelFacts {
  /** "6.18.44-generic" */
  readonly version: string | null;
  /** kernel.unprivileged_bpf_disabled: 0 off, 1 on for good, 2 on. */
  readonly unprivilegedBpfDisabled: number | null;
  /** net.core.bpf_jit_enable: 0 off, 1 on, 2 on with a dump to the log. */
  readonly jitEnable: number | null;
  /** net.core.bpf_jit_harden: 0 off, 1 for the unprivileged, 2 for all. */
  readonly jitHarden: number | null;
  /** kernel.bpf_stats_enabled */
  readonly statsEnabled: number | null;
}

/** Asks anew each time: rights can be dropped, and settings changed. */
export function readTask(kernel: Kernel): TaskFacts & KernelFacts {
  const status = text(kernel, "/proc/thread-self/status") ?? "";
  const effective = /^CapEff:\s+([0-9a-f]+)$/m.exec(status)?.[1];
  const limits = text(kernel, "/proc/thread-self/limits") ?? "";
  return {
    capabilities: effective === undefined ? null : capabilitiesIn(BigInt(`0x${effective}`)),
    uid: numberIn(/^Uid:\s+[0-9]+\s+([0-9]+)/m, status),
    inUserNamespace: !coversAllUsers(text(kernel, "/proc/thread-self/uid_map")),
    memlockBytes: limitIn("Max locked memory", limits),
    openFilesLimit: limitIn("Max open files", limits),
    mostOpenFiles: limitIn("Max open files", limits, "hard"),
    version: text(kernel, "/proc/sys/kernel/osrelease")?.trim() ?? null,
    unprivilegedBpfDisabled: sysctl(kernel, "kernel/unprivileged_bpf_disabled"),
    jitEnable: sysctl(kernel, "net/core/bpf_jit_enable"),
    jitHarden: sysctl(kernel, "net/core/bpf_jit_harden"),
    statsEnabled: sysctl(kernel, "kernel/bpf_stats_enabled"),
  };
}

/**
 * Whether a version is older than another.
 *
 * @param version - "5.10.0-23-amd64"; one that can't be read is not older.
 */
export function isBefore(
  version: string | null,
  [major, minor]: readonly [number, number],
): boolean {
  const [, ours = "", its = ""] = /^([0-9]+)\.([0-9]+)/.exec(version ?? "") ?? [];
  if (ours === "") return false;
  return Number(ours) === major ? Number(its) < minor : Number(ours) < major;
}

function text(kernel: Kernel, path: string): string | null {
  const content = kernel.readText(path);
  return typeof content === "string" ? content : null;
}

function sysctl(kernel: Kernel, name: string): number | null {
  return numberIn(/^(-?[0-9]+)\n?$/, text(kernel, `/proc/sys/${name}`) ?? "");
}

function numberIn(pattern: RegExp, content: string): number | null {
  const found = pattern.exec(content)?.[1];
  return found === undefined ? null : Number(found);
}

function limitIn(name: string, limits: string, which: "soft" | "hard" = "soft"): number | null {
  const line = new RegExp(`^${name} +([0-9]+|unlimited) +([0-9]+|unlimited)`, "m").exec(limits);
  const limit = line?.[which === "soft" ? 1 : 2];
  if (limit === undefined) return null;
  return limit === "unlimited" ? Number.POSITIVE_INFINITY : Number(limit);
}

function capabilitiesIn(effective: bigint): ReadonlySet<string> {
  const present = Object.entries(CAPABILITY_BITS).filter(
    ([, bit]) => ((effective >> BigInt(bit)) & 1n) === 1n,
  );
  return new Set(present.map(([name]) => name));
}

/** The machine's own user namespace maps all ids to themselves; one unread is taken for it. */
function coversAllUsers(uidMap: string | null): boolean {
  return uidMap === null || /^\s*0\s+0\s+4294967295\s*$/.test(uidMap);
}
