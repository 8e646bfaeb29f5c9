// What is there on this machine that a test run could leave behind: BPF objects, pins, mounts,
// names of network namespaces, temporary folders, processes.

import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ATTR from "../../dist/abi/attr.js";
import * as BPF from "../../dist/abi/bpf.js";
import * as INFO from "../../dist/abi/info.js";
import { textOf, tryBpf } from "../../dist/call.js";
import { readInfo } from "../../dist/handle.js";

/** In the environment of a test run and of all its processes. */
export const MARK = "NSLINK_TEST_RUN";

const KINDS = {
  link: {
    next: BPF.BPF_LINK_GET_NEXT_ID,
    open: BPF.BPF_LINK_GET_FD_BY_ID,
    info: INFO.LINK_INFO,
    size: INFO.BPF_LINK_INFO_SIZE,
    uses: ({ prog_id }) => [`program ${prog_id}`],
  },
  program: {
    next: BPF.BPF_PROG_GET_NEXT_ID,
    open: BPF.BPF_PROG_GET_FD_BY_ID,
    info: INFO.PROG_INFO,
    size: INFO.BPF_PROG_INFO_SIZE,
    uses: ({ btf_id }, mapIds) => [`btf ${btf_id}`, ...mapIds.map((id) => `map ${id}`)],
  },
  map: {
    next: BPF.BPF_MAP_GET_NEXT_ID,
    open: BPF.BPF_MAP_GET_FD_BY_ID,
    info: INFO.MAP_INFO,
    size: INFO.BPF_MAP_INFO_SIZE,
    uses: ({ btf_id }) => [`btf ${btf_id}`],
  },
  btf: {
    next: BPF.BPF_BTF_GET_NEXT_ID,
    open: BPF.BPF_BTF_GET_FD_BY_ID,
    info: INFO.BTF_INFO,
    size: INFO.BPF_BTF_INFO_SIZE,
    uses: () => [],
  },
};
/** Maps of a program that are looked at. */
const MAX_MAPS = 64;

/**
 * Everything that could be left behind, as names like "map 12" or "mount bpf /sys/fs/bpf".
 *
 * @param {import("nslink").Kernel | null} kernel - Linux; null where it can't be asked.
 * @returns {Set<string>}
 */
export function takeCensus(kernel) {
  return new Set([
    ...namesIn("/run/netns").map((name) => `netns ${name}`),
    ...namesIn(tmpdir())
      .filter((name) => name.startsWith("nslink"))
      .map((name) => `folder ${join(tmpdir(), name)}`),
    ...mounts(),
    ...(kernel === null ? [] : [...pins(kernel), ...objects(kernel)]),
  ]);
}

/** Processes that bear the mark, this one and its parents aside. */
export function markedProcesses(mark) {
  return pids()
    .filter((pid) => pid !== process.pid && isMarked(pid, mark))
    .map((pid) => `process ${pid} ${read(`/proc/${pid}/cmdline`).replaceAll("\0", " ")}`);
}

/**
 * Of what is new, that which belongs to somebody else on the machine: objects that processes
 * without the mark hold, what those objects use in turn, and names with such a process's pid.
 *
 * @param {string[]} fresh
 * @returns {Set<string>}
 */
export function othersThings(kernel, fresh, mark) {
  const others = new Set();
  const isOther = (pid) => namesIn(`/proc/${pid}`).length > 0 && !isMarked(pid, mark);
  for (const thing of fresh) {
    const pid = /nslink-[a-z]+-(\d+)\b/.exec(thing)?.[1];
    if (pid !== undefined && isOther(pid)) others.add(thing);
  }
  if (kernel === null) return others;
  const waiting = kernel
    .openObjects()
    .filter(({ kind, pid }) => kind !== "netns" && pid !== process.pid && isOther(pid))
    .map(({ kind, id }) => `${kind} ${id}`);
  // Modules that Linux loads meanwhile bring types of their own.
  waiting.push(...fresh.filter((thing) => isKernelBtf(kernel, thing)));
  for (let thing = waiting.pop(); thing !== undefined; thing = waiting.pop()) {
    if (others.has(thing)) continue;
    others.add(thing);
    waiting.push(...usedBy(kernel, thing));
  }
  return others;
}

/**
 * Of what is new, the prog arrays that Linux itself has lost: no program uses them, no process
 * holds them, and a pin would be listed. Linux 6.18 takes a reference on a prog array each time its
 * last fd is closed, for the work that clears it, but queues that work once only: whoever opens one
 * by id while it goes and closes it again makes it stay until the next boot.
 *
 * @param {string[]} fresh
 * @returns {Set<string>}
 */
export function lostByLinux(kernel, fresh) {
  const isArray = (thing) =>
    thing.startsWith("map ") && infoOf(kernel, thing)?.info.type === BPF.BPF_MAP_TYPE_PROG_ARRAY;
  const arrays = new Set(kernel === null ? [] : fresh.filter(isArray));
  if (arrays.size === 0) return arrays;
  for (const { kind, id } of kernel.openObjects()) arrays.delete(`${kind} ${id}`);
  for (const thing of objects(kernel)) {
    if (thing.startsWith("program ")) for (const used of usedBy(kernel, thing)) arrays.delete(used);
  }
  return arrays;
}

/** An object's type and name, as far as they can be had. */
export function describe(kernel, thing) {
  const info = kernel === null ? null : infoOf(kernel, thing)?.info;
  if (info == null) return thing;
  const name = info.name instanceof Uint8Array ? ` "${textOf(info.name)}"` : "";
  return `${thing}, type ${info.type ?? "-"}${name}`;
}

function mounts() {
  return read("/proc/self/mountinfo")
    .split("\n")
    .map((line) => / (\S+) \S+ \S+(?: \S+)* - (bpf|nsfs) /.exec(line))
    .filter((match) => match !== null)
    .map(([, path, type]) => `mount ${type} ${path}`);
}

function pins(kernel) {
  return kernel.bpffs.mounts().flatMap((mount) => {
    const found = kernel.bpffs.walk(mount);
    return typeof found === "number" ? [] : found.map((path) => `pin ${path}`);
  });
}

function objects(kernel) {
  return Object.entries(KINDS).flatMap(([kind, { next }]) => {
    const ids = [];
    for (let start_id = 0; ; ) {
      const { result, attr } = tryBpf(kernel, next, ATTR.GET_NEXT_ID, { start_id });
      if (result < 0) return ids;
      start_id = attr.next_id;
      ids.push(`${kind} ${start_id}`);
    }
  });
}

function usedBy(kernel, thing) {
  const found = infoOf(kernel, thing);
  return found === null ? [] : KINDS[thing.split(" ")[0]].uses(found.info, found.mapIds);
}

function isKernelBtf(kernel, thing) {
  return thing.startsWith("btf ") && infoOf(kernel, thing)?.info.kernel_btf === 1;
}

function infoOf(kernel, thing) {
  const [kind, id] = thing.split(" ");
  const known = KINDS[kind];
  if (known === undefined) return null;
  const { result: fd } = tryBpf(kernel, known.open, ATTR.GET_FD_BY_ID, { id: Number(id) });
  if (fd < 0) return null;
  try {
    const mapIds = new Uint32Array(kind === "program" ? MAX_MAPS : 0);
    const room =
      kind === "program"
        ? { nr_map_ids: MAX_MAPS, map_ids: kernel.addressOf(new Uint8Array(mapIds.buffer)) }
        : {};
    const info = readInfo(kernel, fd, known.info, known.size, room);
    return { info, mapIds: [...mapIds.subarray(0, Math.min(info.nr_map_ids ?? 0, MAX_MAPS))] };
  } finally {
    kernel.close(fd);
  }
}

function isMarked(pid, mark) {
  return read(`/proc/${pid}/environ`).split("\0").includes(`${MARK}=${mark}`);
}

function pids() {
  return namesIn("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Empty for what has gone meanwhile, or isn't ours to look into. */
function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function namesIn(directory) {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
