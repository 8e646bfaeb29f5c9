/**
 * Who holds what: the fds of all tasks on BPF objects and on network namespaces.
 */

import type { OpenObject } from "../kernel.ts";
import { LinkFile } from "./bpf/link.ts";
import { MapFile } from "./bpf/map/map.ts";
import { ProgFile } from "./bpf/prog.ts";
import { type File, PathFile } from "./file.ts";
import { NetnsFile } from "./net_namespace.ts";
import type { Task } from "./task.ts";

/** What a task finds in /proc/PID/fd of all the tasks that it may look into. */
export function openObjects(task: Task): readonly OpenObject[] {
  const found: OpenObject[] = [];
  for (const other of task.machine.tasks.values()) {
    if (!task.mayLookInto(other)) continue;
    const { pid, command, files } = other;
    for (const [fd, file] of files.entries()) {
      const object = objectBehind(file);
      if (object !== null) found.push({ pid, command, fd, ...object });
    }
  }
  return found;
}

/** How many tasks it may not look into. */
export function unseenProcesses(task: Task): number {
  return [...task.machine.tasks.values()].filter((other) => !task.mayLookInto(other)).length;
}

function objectBehind(file: File): Pick<OpenObject, "kind" | "id"> | null {
  if (file instanceof LinkFile) return { kind: "link", id: file.link.id };
  if (file instanceof ProgFile) return { kind: "program", id: file.prog.id };
  if (file instanceof MapFile) return { kind: "map", id: file.map.id };
  if (file instanceof NetnsFile) return { kind: "netns", id: file.net.inode };
  return file instanceof PathFile ? objectBehind(file.target) : null;
}
