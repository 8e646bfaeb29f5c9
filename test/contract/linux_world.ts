/**
 * The contract's surroundings on real Linux: private namespaces and a bpffs of its own, and a
 * check that nothing is left of them.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import koffi from "koffi";
import * as bpf from "../../src/abi/bpf.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import * as libc from "../../src/linux/libc.ts";
import { openRoot } from "../../src/linux/root.ts";
import { Case, OBJECT_NAME } from "./case.ts";
import type { Holder, World, WorldKind } from "./world.ts";

/** _LINUX_CAPABILITY_VERSION_3 (include/uapi/linux/capability.h) */
const CAPABILITY_VERSION = 0x20080522;
const MNT_DETACH = 2;
const RLIMIT_NOFILE = 7;

const self = koffi.load(null);
const capget = self.func("capget", "int", ["void *", "void *"]);
const getrlimit = self.func("getrlimit", "int", ["int", "void *"]);
const setrlimit = self.func("setrlimit", "int", ["int", "void *"]);
const setfsuid = self.func("setfsuid", "int", ["uint"]);
const capset = self.func("capset", "int", ["void *", "void *"]);

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

async function openLinuxWorld(): Promise<World> {
  const kernel = await openLinuxKernel();
  const pinDirectory = mkdtempSync(join(tmpdir(), NAME_PREFIX));
  const mounted = libc.mount("bpf", pinDirectory, "bpf", 0);
  if (mounted < 0) throw new RangeError(`mount of bpffs: ${mounted}`);
  return {
    kernel,
    pinDirectory,
    pid: process.pid,
    namePrefix: NAME_PREFIX,
    openRoot: () => openRoot(kernel.netns),
    unprivileged: (fds, call, uid = 0) =>
      asUser(uid, () => withoutCapabilities(() => call(kernel, fds))),
    withFullTable: (fds, call) => withoutFreeFds(() => call(kernel, fds)),
    holder,
    turn: () => delay(1),
    async end() {
      libc.umount2(pinDirectory, MNT_DETACH);
      rmdirSync(pinDirectory);
      kernel[Symbol.dispose]();
    },
  };
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

/** How many programs and maps that this suite has loaded are still there. */
export function objectsLeft(world: World): number {
  const c = new Case(world);
  const walk = (
    next: typeof bpf.BPF_PROG_GET_NEXT_ID | typeof bpf.BPF_MAP_GET_NEXT_ID,
    byId: typeof bpf.BPF_PROG_GET_FD_BY_ID | typeof bpf.BPF_MAP_GET_FD_BY_ID,
    nameOf: (fd: number) => Uint8Array,
  ): number => {
    let ours = 0;
    let step = c.answer(next, { start_id: 0 });
    while (step.outcome === "ok") {
      const id = step.attr.next_id;
      const fd = c.call(byId, { id });
      if (fd >= 0 && Buffer.from(nameOf(fd)).toString().startsWith(OBJECT_NAME)) ours++;
      if (fd >= 0) c.close(fd);
      step = c.answer(next, { start_id: id });
    }
    return ours;
  };
  return (
    walk(bpf.BPF_PROG_GET_NEXT_ID, bpf.BPF_PROG_GET_FD_BY_ID, (fd) => c.progInfo(fd).name) +
    walk(bpf.BPF_MAP_GET_NEXT_ID, bpf.BPF_MAP_GET_FD_BY_ID, (fd) => c.mapInfo(fd).name)
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
    ...readdirSync("/run/netns").filter((name) => name.startsWith(NAME_PREFIX)),
    readlinkSync("/proc/thread-self/ns/net"),
  ].sort();
}
