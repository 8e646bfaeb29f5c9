/**
 * /proc: processes, and what they hold open of BPF and of network namespaces. Processes come and go
 * while this looks, and some are not ours to look into: what can't be read is passed over.
 */

import { readdirSync, readlinkSync, statSync } from "node:fs";
import { EACCES, EPERM } from "../abi/errno.ts";
import type { OpenObject } from "../kernel.ts";
import { attempt, readLink, readNames, readText } from "./files.ts";
import { mountPoints } from "./mounts.ts";

/** What fdinfo calls the id of what an fd is open on, by the name that /proc/PID/fd shows. */
const BPF_FILES: ReadonlyMap<string, readonly [kind: OpenObject["kind"], idLine: RegExp]> = new Map(
  [
    ["anon_inode:bpf_link", ["link", /^link_id:\t([0-9]+)$/m]],
    ["anon_inode:bpf-link", ["link", /^link_id:\t([0-9]+)$/m]],
    ["anon_inode:bpf-prog", ["program", /^prog_id:\t([0-9]+)$/m]],
    ["anon_inode:bpf-map", ["map", /^map_id:\t([0-9]+)$/m]],
  ],
);
const NETNS_NAME = /^net:\[([0-9]+)\]$/;

/** Names in a directory; none when it can't be read. */
export function namesIn(directory: string): readonly string[] {
  const names = readNames(directory);
  return typeof names === "number" ? [] : names;
}

/** Pids of all processes, in ascending order. */
export function processes(): readonly number[] {
  return numbersIn("/proc");
}

/** Inode number of a process's network namespace; null when that can't be had. */
export function netnsOf(pid: number): number | null {
  return netnsNamed(linkAt(`/proc/${pid}/ns/net`));
}

/**
 * All fds of all processes on BPF objects and network namespaces, by pid and fd.
 *
 * @param isNetns - whether a path leads to a network namespace.
 */
export function openObjects(isNetns: (path: string) => boolean): readonly OpenObject[] {
  const namespacePaths = new Set(["/", ...mountPoints("nsfs").map(({ path }) => path)]);
  const nsfs = attempt(() => statSync("/proc/self/ns/net").dev);

  /** A namespace opened by a path has that for a name, or "/" once nothing is mounted there. */
  function netnsBehind(path: string, name: string): number | null {
    const inode = netnsNamed(name);
    if (inode !== null || !namespacePaths.has(name)) return inode;
    const file = attempt(() => statSync(path));
    return typeof file !== "number" && file.dev === nsfs && isNetns(path) ? file.ino : null;
  }

  return processes().flatMap((pid) => {
    const found: Omit<OpenObject, "pid" | "command">[] = [];
    for (const fd of numbersIn(`/proc/${pid}/fd`)) {
      const name = linkAt(`/proc/${pid}/fd/${fd}`);
      const [kind, idLine] = BPF_FILES.get(name) ?? ["netns"];
      const id =
        idLine === undefined
          ? netnsBehind(`/proc/${pid}/fd/${fd}`, name)
          : Number(idLine.exec(textOf(`/proc/${pid}/fdinfo/${fd}`))?.[1] ?? 0) || null;
      if (id !== null) found.push({ fd, kind, id });
    }
    if (found.length === 0) return [];
    const command = textOf(`/proc/${pid}/comm`).trimEnd();
    return found.map((object) => ({ pid, command, ...object }));
  });
}

/** How many processes don't let us look at what they hold, or in which namespace they are. */
export function unseenProcesses(): number {
  const isRefused = (call: () => unknown): boolean => {
    const result = attempt(call);
    return result === -EACCES || result === -EPERM;
  };
  return processes().filter(
    (pid) =>
      isRefused(() => readlinkSync(`/proc/${pid}/ns/net`)) ||
      isRefused(() => readdirSync(`/proc/${pid}/fd`)),
  ).length;
}

function netnsNamed(name: string): number | null {
  const inode = NETNS_NAME.exec(name)?.[1];
  return inode === undefined ? null : Number(inode);
}

function numbersIn(directory: string): readonly number[] {
  return namesIn(directory)
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

function linkAt(path: string): string {
  const target = readLink(path);
  return typeof target === "number" ? "" : target;
}

function textOf(path: string): string {
  const text = readText(path);
  return typeof text === "number" ? "" : text;
}
