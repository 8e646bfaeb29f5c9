/**
 * What a kernel and the calling task are like for BPF on network namespaces: what works, what is
 * missing, and what to do about it.
 */

import { isBefore, readTask } from "../diagnosis/task.ts";
import type { Kernel } from "../kernel.ts";
import { type ProbedFeature, probeFeatures } from "./features.ts";

/**
 * - `ok`: as it should be.
 * - `note`: good to know; nothing fails by it.
 * - `problem`: something won't work.
 */
export type CheckStatus = "ok" | "note" | "problem";

/** One thing that was looked at. */
export interface Check {
  /** Stable: "capabilities", "bpffs". */
  readonly id: string;
  readonly status: CheckStatus;
  /** What was found, in words. */
  readonly text: string;
  /** What to do; null when there is nothing to do. */
  readonly fix: string | null;
}

/** What was found out, as data. Null is what can't be known. */
export interface Checkup {
  readonly kernel: "linux" | "embedded";
  readonly version: string | null;
  readonly uid: number | null;
  /** Those that BPF asks about and that this task has; null when that can't be known. */
  readonly capabilities: readonly string[] | null;
  readonly inUserNamespace: boolean | null;
  /** RLIMIT_MEMLOCK in bytes; null for none, and for not known. */
  readonly memlockBytes: number | null;
  readonly sysctls: Readonly<Record<string, number | null>>;
  /** Whether programs are compiled. */
  readonly jit: boolean | null;
  /** Where BPF file systems are mounted. */
  readonly bpffs: readonly string[] | null;
  /** Whether the root network namespace is in sight: in a container it isn't. */
  readonly rootNamespaceInSight: boolean | null;
  readonly features: readonly ProbedFeature[];
  readonly checks: readonly Check[];
}

interface Facts extends Omit<Checkup, "checks"> {
  /** Whether RLIMIT_MEMLOCK could be read. */
  readonly isMemlockKnown: boolean;
}

/** What BPF on network namespaces needs, and what for. */
const CAPABILITY_USES: Readonly<Record<string, string>> = {
  CAP_BPF: "loading programs and maps",
  CAP_NET_ADMIN: "loading flow dissectors, and asking what is attached",
  CAP_SYS_ADMIN: "opening by id, entering and making network namespaces",
};

/** Netns links came with Linux 5.8, LINK_DETACH and sk_lookup with 5.9. */
const FIRST_GOOD_LINUX = [5, 9] as const;
/** Before this, BPF's memory counts as locked. */
const LINUX_WITHOUT_MEMLOCK = [5, 11] as const;

/** Looks at a kernel as the calling task sees it. Leaves nothing behind. */
export function examine(kernel: Kernel): Checkup {
  const task = readTask(kernel);
  const mounts = kernel.bpffs.mounts();
  const isRootInSight = kernel.netns.list([]).some(({ isRoot }) => isRoot);
  const isLimited = task.memlockBytes !== null && Number.isFinite(task.memlockBytes);
  const facts: Facts = {
    kernel: kernel.name,
    version: task.version,
    uid: task.uid,
    capabilities: task.capabilities === null ? null : [...task.capabilities].sort(),
    inUserNamespace: canRead(kernel, "/proc/thread-self/uid_map") ? task.inUserNamespace : null,
    memlockBytes: isLimited ? task.memlockBytes : null,
    isMemlockKnown: task.memlockBytes !== null,
    sysctls: {
      "kernel.unprivileged_bpf_disabled": task.unprivilegedBpfDisabled,
      "net.core.bpf_jit_enable": task.jitEnable,
      "net.core.bpf_jit_harden": task.jitHarden,
      "kernel.bpf_stats_enabled": task.statsEnabled,
    },
    jit: task.jitEnable === null ? null : task.jitEnable > 0,
    bpffs: mounts.length > 0 || canRead(kernel, "/proc/self/mountinfo") ? mounts : null,
    rootNamespaceInSight: isRootInSight || task.uid !== null ? isRootInSight : null,
    features: probeFeatures(kernel),
  };
  const { isMemlockKnown: _, ...told } = facts;
  return { ...told, checks: CHECKS.flatMap((check) => check(facts)) };
}

function canRead(kernel: Kernel, path: string): boolean {
  return typeof kernel.readText(path) === "string";
}

/** What a machine without /proc is told of what stands there. */
function unknown(id: string, what: string): Check {
  const text = `not to be known without /proc: ${what}`;
  return { id, status: "note", text, fix: "mount -t proc proc /proc" };
}

const CHECKS: readonly ((facts: Facts) => readonly Check[])[] = [
  checkVersion,
  checkCapabilities,
  checkUserNamespace,
  checkUnprivileged,
  checkMemlock,
  checkJit,
  checkBpffs,
  checkRoot,
  checkFeatures,
];

function ok(id: string, text: string): Check {
  return { id, status: "ok", text, fix: null };
}

function checkVersion({ kernel, version }: Facts): readonly Check[] {
  const id = "version";
  if (kernel === "embedded")
    return [ok(id, `the embedded kernel, which behaves as Linux ${version}`)];
  if (version === null) return [unknown(id, "the version")];
  const text = `Linux ${version}`;
  if (!isBefore(version, FIRST_GOOD_LINUX)) return [ok(id, text)];
  return [{ id, status: "problem", text, fix: "run Linux 5.9 or newer" }];
}

/** What CAP_BPF is for where tasks without it are let in. */
const USES_WHERE_OPEN = "loading programs but plain socket filters, and making some kinds of maps";

function checkCapabilities({ capabilities, sysctls }: Facts): readonly Check[] {
  const id = "capabilities";
  if (capabilities === null) return [unknown(id, "capabilities")];
  const missing = Object.entries(CAPABILITY_USES).filter(
    ([name]) => !capabilities.includes(name) && !capabilities.includes("CAP_SYS_ADMIN"),
  );
  if (missing.length === 0) return [ok(id, `capabilities: ${capabilities.join(", ")}`)];
  const isOpen = sysctls["kernel.unprivileged_bpf_disabled"] === 0;
  return missing.map(([name, use]) => ({
    id: `capability-${name}`,
    status: "problem",
    text:
      `${name} is missing: ${isOpen && name === "CAP_BPF" ? USES_WHERE_OPEN : use} ` +
      "will fail with EPERM",
    fix: `run it as root (sudo), or give the container --cap-add ${name.slice("CAP_".length)}`,
  }));
}

function checkUserNamespace({ inUserNamespace }: Facts): readonly Check[] {
  const id = "user-namespace";
  if (inUserNamespace === null) return [unknown(id, "whether this is a user namespace")];
  if (!inUserNamespace) return [ok(id, "in the machine's own user namespace")];
  const text = "in a user namespace, where capabilities don't count for BPF";
  return [{ id, status: "problem", text, fix: "run it outside, or delegate with a BPF token" }];
}

function checkUnprivileged({ sysctls, capabilities, uid }: Facts): readonly Check[] {
  const id = "unprivileged-bpf";
  const value = sysctls["kernel.unprivileged_bpf_disabled"] ?? null;
  const text = `kernel.unprivileged_bpf_disabled = ${value}`;
  // A kernel may have no such sysctl.
  if (value === null) {
    return uid === null ? [unknown(id, "who may load programs without CAP_BPF")] : [];
  }
  if (value === 0) {
    const fix = "sysctl kernel.unprivileged_bpf_disabled=2, unless it is wanted";
    return [{ id, status: "note", text: `${text}: everybody may load socket filters`, fix }];
  }
  const may = capabilities?.includes("CAP_BPF") || capabilities?.includes("CAP_SYS_ADMIN");
  return [ok(id, may ? text : `${text}: without CAP_BPF nothing can be loaded`)];
}

function checkMemlock({ version, memlockBytes, isMemlockKnown, kernel }: Facts): readonly Check[] {
  const id = "memlock";
  if (!isMemlockKnown && kernel !== "embedded")
    return [unknown(id, "how much memory may be locked")];
  if (kernel === "embedded" || memlockBytes === null) return [ok(id, "locked memory: no limit")];
  const text = `locked memory: ${memlockBytes} bytes at most`;
  if (!isBefore(version, LINUX_WITHOUT_MEMLOCK)) {
    return [ok(id, `${text}, which doesn't count for BPF since Linux 5.11`)];
  }
  return [{ id, status: "problem", text, fix: "ulimit -l unlimited" }];
}

function checkJit({ jit, kernel, uid }: Facts): readonly Check[] {
  const id = "jit";
  if (jit === null) return uid === null ? [unknown(id, "whether programs are compiled")] : [];
  if (jit) return [ok(id, "programs are compiled (JIT)")];
  const text = "programs are interpreted";
  if (kernel === "embedded") return [ok(id, text)];
  return [{ id, status: "note", text, fix: "sysctl net.core.bpf_jit_enable=1" }];
}

function checkBpffs({ bpffs }: Facts): readonly Check[] {
  const id = "bpffs";
  if (bpffs === null) return [unknown(id, "where a BPF file system is mounted")];
  if (bpffs.length > 0) return [ok(id, `BPF file system: ${bpffs.join(", ")}`)];
  const text = "no BPF file system is mounted: nothing can be pinned";
  return [{ id, status: "problem", text, fix: "mount -t bpf bpf /sys/fs/bpf" }];
}

function checkRoot({ rootNamespaceInSight }: Facts): readonly Check[] {
  const id = "root-namespace";
  if (rootNamespaceInSight === null) {
    return [unknown(id, "whether the root network namespace is in sight")];
  }
  if (rootNamespaceInSight) return [ok(id, "the root network namespace is in sight")];
  const text = "the root network namespace is out of sight: a flow dissector there goes unseen";
  return [{ id, status: "note", text, fix: "run it outside of the container, or with --pid=host" }];
}

function checkFeatures({ features, kernel }: Facts): readonly Check[] {
  return features.map((feature) => checkFeature(feature, kernel));
}

function checkFeature(feature: ProbedFeature, kernel: Facts["kernel"]): Check {
  const { title, since, capabilities, state } = feature;
  const id = `feature-${feature.id}`;
  switch (state) {
    case "present":
      return ok(id, title);
    case "missing": {
      const status = feature.id === "netns-links" ? "problem" : "note";
      const fix = kernel === "embedded" ? "use --kernel linux" : `it came with ${since}`;
      return { id, status, text: `missing: ${title}`, fix };
    }
    case "unknown": {
      const fix = `trying needs ${capabilities.join(" and ")}`;
      return { id, status: "note", text: `not to be known: ${title}`, fix };
    }
  }
}

/** What each status begins with in a line of text. */
const MARKS: Readonly<Record<CheckStatus, string>> = {
  ok: "ok     ",
  note: "note   ",
  problem: "PROBLEM",
};

/** A checkup as lines of text: one a check, and one for what to do about it. */
export function formatCheckup({ checks }: Checkup): readonly string[] {
  return checks.flatMap(({ status, text, fix }) => [
    `${MARKS[status]}  ${text}`,
    ...(fix === null ? [] : [`         -> ${fix}`]),
  ]);
}
