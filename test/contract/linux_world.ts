/**
 * The contract's surroundings on real Linux: private namespaces and a bpffs of its own, and a
 * check that nothing is left of them.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import koffi from "koffi";
import * as bpf from "../../src/abi/bpf.ts";
import type { Kernel } from "../../src/kernel.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import * as libc from "../../src/linux/libc.ts";
import { openRoot } from "../../src/linux/root.ts";
import { Case } from "./case.ts";
import type { Holder, World, WorldKind } from "./world.ts";

/** _LINUX_CAPABILITY_VERSION_3 (include/uapi/linux/capability.h) */
const CAPABILITY_VERSION = 0x20080522;
const MNT_DETACH = 2;
const NETNS_DIRECTORY = "/run/netns";
const RLIMIT_NOFILE = 7;
const PAGE = 4096;
const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;

const self = koffi.load(null);
const capget = self.func("capget", "int", ["void *", "void *"]);
const getrlimit = self.func("getrlimit", "int", ["int", "void *"]);
const setrlimit = self.func("setrlimit", "int", ["int", "void *"]);
const setfsuid = self.func("setfsuid", "int", ["uint"]);
const capset = self.func("capset", "int", ["void *", "void *"]);
const mmap = self.func("mmap", "intptr_t", ["size_t", "size_t", "int", "int", "int", "long"]);
const mprotect = self.func("mprotect", "int", ["size_t", "size_t", "int"]);
const munmap = self.func("munmap", "int", ["size_t", "size_t"]);

export const linuxKind: WorldKind = {
  name: "Linux",
  lacks: seesKernelThreads()
    ? {}
    : { rootNetns: "in a container the root namespace is out of sight" },
  open: openLinuxWorld,
};

/** Whether this is the outermost pid namespace, where the root network namespace can be found. */
function seesKernelThreads(): boolean {
  return existsSync("/proc/2/comm") && readFileSync("/proc/2/comm", "latin1") === "kthreadd\n";
}

/** Prefix of the names of network namespaces and mounts that a run of this process makes. */
export const NAME_PREFIX: string = `nslink-contract-${process.pid}-`;
/** Such a name, of any process. */
const ANY_NAME = /^nslink-contract-(\d+)-/;

async function openLinuxWorld(): Promise<World> {
  const kernel = await openLinuxKernel();
  clearAfterDead(kernel);
  const pinDirectory = mkdtempSync(join(tmpdir(), NAME_PREFIX));
  const mounted = libc.mount("bpf", pinDirectory, "bpf", 0);
  if (mounted < 0) throw new RangeError(`mount of bpffs: ${mounted}`);
  // Also when a test fails before the world is ended, or the process is told to exit.
  const unmount = (): void => unmountAndRemove(pinDirectory);
  process.once("exit", unmount);
  return {
    kernel,
    pinDirectory,
    bpffsRoot: pinDirectory,
    withReadOnly,
    pid: process.pid,
    namePrefix: NAME_PREFIX,
    openRoot: () => openRoot(kernel.netns),
    unprivileged: (fds, call, uid = 0) =>
      asUser(uid, () => withoutCapabilities(() => call(kernel, fds))),
    withFullTable: (fds, call) => withoutFreeFds(() => call(kernel, fds)),
    holder,
    turn: () => delay(1),
    async end() {
      process.off("exit", unmount);
      unmount();
      kernel[Symbol.dispose]();
    },
  };
}

/** Puts away what runs have left that were killed: their pids are in the names. */
function clearAfterDead(kernel: Kernel): void {
  const isLeft = (name: string): boolean => {
    const pid = ANY_NAME.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  };
  for (const name of readdirSync(tmpdir()).filter(isLeft)) unmountAndRemove(join(tmpdir(), name));
  if (!existsSync(NETNS_DIRECTORY)) return;
  for (const name of readdirSync(NETNS_DIRECTORY).filter(isLeft)) kernel.netns.remove(name);
}

/** Nothing happens when another process is doing the same and comes first. */
function unmountAndRemove(directory: string): void {
  libc.umount2(directory, MNT_DETACH);
  rmSync(directory, { recursive: true, force: true });
}

/** Runs a function while there is room for fd 0 alone, which is taken; what is open stays so. */
function withoutFreeFds<T>(call: () => T): T {
  const limits = new BigUint64Array(2);
  if (getrlimit(RLIMIT_NOFILE, limits) < 0) throw new RangeError("getrlimit is refused");
  const [, hard = 0n] = limits;
  if (setrlimit(RLIMIT_NOFILE, BigUint64Array.of(1n, hard)) < 0) {
    throw new RangeError("setrlimit is refused");
  }
  try {
    return call();
  } finally {
    setrlimit(RLIMIT_NOFILE, limits);
  }
}

/** Runs a function with a page of its own that nothing can be written to. */
function withReadOnly<T>(bytes: Uint8Array, call: (address: bigint) => T): T {
  if (bytes.length > PAGE) throw new RangeError(`${bytes.length} bytes are more than a page`);
  const page = Number(mmap(0, PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
  if (page < 0) throw new RangeError("mmap is refused");
  try {
    new Uint8Array(koffi.view(BigInt(page), PAGE)).set(bytes);
    if (mprotect(page, PAGE, PROT_READ) < 0) throw new RangeError("mprotect is refused");
    return call(BigInt(page));
  } finally {
    munmap(page, PAGE);
  }
}

/** Runs a function while files take this thread for another user's; that is the thread's alone. */
function asUser<T>(uid: number, call: () => T): T {
  const before = setfsuid(uid);
  try {
    return call();
  } finally {
    setfsuid(before);
  }
}

/**
 * Runs a function while this thread has no effective capability. They are the thread's alone, and
 * stay permitted, so that they can be taken back.
 */
function withoutCapabilities<T>(call: () => T): T {
  const header = Uint32Array.of(CAPABILITY_VERSION, 0);
  const sets = new Uint32Array(6);
  if (capget(header, sets) < 0) throw new RangeError("capget is refused");
  const dropped = sets.slice();
  dropped[0] = 0;
  dropped[3] = 0;
  if (capset(header, dropped) < 0) throw new RangeError("capset is refused");
  try {
    return call();
  } finally {
    if (capset(header, sets) < 0) process.abort();
  }
}

/** A process that inherits the fd and does nothing until its input ends. */
async function holder(fd: number): Promise<Holder> {
  const child = spawn("cat", { stdio: ["pipe", "ignore", "ignore", fd] });
  await once(child, "spawn");
  return {
    async release() {
      const gone = once(child, "exit");
      child.stdin?.end();
      await gone;
    },
  };
}

/**
 * How many programs and maps that cases of this process have made are still there. Ids are only
 * walked: opening maps again and again while they go keeps Linux from ever freeing a prog array.
 */
export function objectsLeft(world: World): number {
  const c = new Case(world);
  const left = (
    next: typeof bpf.BPF_PROG_GET_NEXT_ID | typeof bpf.BPF_MAP_GET_NEXT_ID,
    made: ReadonlySet<number>,
  ): number => {
    let count = 0;
    let step = c.answer(next, { start_id: 0 });
    while (step.outcome === "ok") {
      const id = step.attr.next_id;
      if (made.has(id)) count++;
      step = c.answer(next, { start_id: id });
    }
    return count;
  };
  return (
    left(bpf.BPF_PROG_GET_NEXT_ID, Case.programIds) + left(bpf.BPF_MAP_GET_NEXT_ID, Case.mapIds)
  );
}

/** What a run may not leave behind, as text that can be compared before and after. */
export function traces(): readonly string[] {
  const fds = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
  const mounts = readFileSync("/proc/self/mountinfo", "latin1").split("\n");
  return [
    ...fds.filter((name) => /^anon_inode:bpf|^(net|uts|mnt):\[/.test(name)),
    ...mounts.filter((line) => line.includes(NAME_PREFIX)),
    ...readdirSync(NETNS_DIRECTORY).filter((name) => name.startsWith(NAME_PREFIX)),
    readlinkSync("/proc/thread-self/ns/net"),
  ].sort();
}
