/**
 * The contract's surroundings on the embedded kernel: a machine of its own for each run.
 */

import { type BootOptions, EmbeddedKernel } from "../../src/kernel/index.ts";
import { BufferMemory } from "../../src/kernel/user_memory.ts";
import type { Holder, World, WorldKind } from "./world.ts";

/** What a new task has open already. */
const STANDARD_FILES = 3;
const BPFFS_ROOT = "/sys/fs/bpf";
const PIN_DIRECTORY: string = `${BPFFS_ROOT}/contract`;

export const embeddedKind: WorldKind = {
  name: "the embedded kernel",
  lacks: {
    otherTypes: "programs of other types are out of scope",
    skLookupRun: "running sk_lookup programs is a later issue",
  },
  open: async () => openEmbeddedWorld(),
};

/** A machine of its own. */
export function openEmbeddedWorld(options: BootOptions = { possibleCpus: 2 }): World {
  const kernel = EmbeddedKernel.boot(options);
  const made = kernel.bpffs.mkdir(PIN_DIRECTORY);
  if (made < 0) throw new RangeError(`mkdir ${PIN_DIRECTORY}: ${made}`);
  return {
    kernel,
    pinDirectory: PIN_DIRECTORY,
    bpffsRoot: BPFFS_ROOT,
    withReadOnly: (bytes, call) => withReadOnly(kernel, bytes, call),
    pid: kernel.pid,
    namePrefix: "contract-",
    openRoot: () => kernel.netns.open({ pid: 1 }),
    unprivileged(fds, call, uid = 0) {
      // Like the same process with its capabilities dropped: it is where we are.
      const here = kernel.netns.open("self");
      using task = kernel.task({ capabilities: [], netns: here, uid });
      kernel.close(here);
      return call(
        task,
        fds.map((fd) => kernel.passFd(fd, task)),
      );
    },
    withFullTable(fds, call) {
      using task = kernel.task({ openFilesLimit: STANDARD_FILES + fds.length });
      return call(
        task,
        fds.map((fd) => kernel.passFd(fd, task)),
      );
    },
    async holder(fd): Promise<Holder> {
      const task = kernel.task();
      kernel.passFd(fd, task);
      return { release: async () => task[Symbol.dispose]() };
    },
    turn: () => new Promise((resolve) => setImmediate(resolve)),
    end: async () => kernel[Symbol.dispose](),
  };
}

/** Buffers of this process can all be written to: the kernel is told that these bytes can't. */
function withReadOnly<T>(
  kernel: EmbeddedKernel,
  bytes: Uint8Array,
  call: (address: bigint) => T,
): T {
  const start = kernel.addressOf(bytes);
  const end = start + BigInt(bytes.length);
  const { write } = BufferMemory.prototype;
  BufferMemory.prototype.write = function (address, written) {
    const isOutside = address >= end || address + BigInt(written.length) <= start;
    return isOutside && write.call(this, address, written);
  };
  try {
    return call(start);
  } finally {
    BufferMemory.prototype.write = write;
  }
}
