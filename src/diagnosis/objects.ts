/**
 * Why an object is not pinned, and why one isn't had by its pin or by its id.
 */

import { OBJ } from "../abi/attr.ts";
import * as BPF from "../abi/bpf.ts";
import {
  EACCES,
  EAGAIN,
  EEXIST,
  EINVAL,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  EPERM,
} from "../abi/errno.ts";
import { cString, tryBpf } from "../call.ts";
import type { Kernel } from "../kernel.ts";
import { withFd } from "../objects.ts";
import type { Remedy } from "../remedy.ts";
import { kindOf } from "./ask.ts";
import { type Cause, type FailedCall, type Finding, field } from "./cause.ts";

const PIN: readonly number[] = [BPF.BPF_OBJ_PIN];
const GET: readonly number[] = [BPF.BPF_OBJ_GET];
/** Calls that make a name, and all that take a path. */
const MAKING: readonly (number | string)[] = [...PIN, "bpffs.mkdir"];
const ON_PATHS: readonly (number | string)[] = [...MAKING, ...GET, "bpffs.unlink", "bpffs.rmdir"];

/** What each command opens by id. */
const BY_ID: ReadonlyMap<number, string> = new Map([
  [BPF.BPF_PROG_GET_FD_BY_ID, "program"],
  [BPF.BPF_MAP_GET_FD_BY_ID, "map"],
  [BPF.BPF_LINK_GET_FD_BY_ID, "link"],
  [BPF.BPF_BTF_GET_FD_BY_ID, "BTF"],
]);

/** A cause that has to do with a path; it isn't looked for as long as that isn't known. */
function onPath(
  id: string,
  title: string,
  commands: readonly (number | string)[],
  errnos: readonly number[],
  find: (kernel: Kernel, path: string, call: FailedCall) => Finding | null,
): Cause {
  return {
    id,
    title,
    commands,
    errnos,
    find: (call) => {
      const { path } = call.about;
      return path === undefined ? null : find(call.kernel, path, call);
    },
  };
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}

function bpffsOf(kernel: Kernel, path: string): string | undefined {
  return kernel.bpffs.mounts().find((mount) => isBelow(path, mount));
}

/** The name at the end of a path, as one that BPF file systems take. */
function lastPart(path: string): string {
  return path.replace(/^.*\//s, "").replaceAll(".", "_") || "NAME";
}

/** Links alone are pinned by a command of ours. */
function pinInstead(call: FailedCall, path: string): readonly Remedy[] {
  const isLink = kindOf(call.kernel, field(call, "bpf_fd")) === "link";
  return isLink ? [{ action: "pin-link", path }] : [];
}

function outsideBpffs(kernel: Kernel, path: string, call: FailedCall): Finding | null {
  if (bpffsOf(kernel, path) !== undefined) return null;
  const [mount] = kernel.bpffs.mounts();
  return mount === undefined
    ? {
        hint: `${path} is not in a BPF file system, and none is mounted; mount one`,
        remedies: [{ action: "mount-bpffs", path: "/sys/fs/bpf" }],
      }
    : {
        hint: `${path} is not in a BPF file system; pin below ${mount}`,
        remedies: pinInstead(call, `${mount}/${lastPart(path)}`),
      };
}

function nameWithDot(kernel: Kernel, path: string, call: FailedCall): Finding | null {
  const name = path.split("/").at(-1) ?? "";
  if (!name.includes(".") || bpffsOf(kernel, path) === undefined) return null;
  return {
    hint: `a name in the BPF file system may not contain a dot: ${path}`,
    remedies: pinInstead(call, `${path.slice(0, -name.length)}${lastPart(path)}`),
  };
}

function linkReadOnly(call: FailedCall): Finding | null {
  const { kernel, about } = call;
  const mode = field(call, "file_flags") & (BPF.BPF_F_RDONLY | BPF.BPF_F_WRONLY);
  if (mode === 0 || about.path === undefined) return null;
  if (pinnedAt(kernel, about.path) !== "link") return null;
  return { hint: `a link is pinned at ${about.path}: it opens without BPF_F_RDONLY or _WRONLY` };
}

function directoryOf(path: string): string {
  const end = path.replace(/\/+$/, "").lastIndexOf("/");
  if (end < 0) return ".";
  return path.slice(0, end) || "/";
}

/** Only links are unpinned by a command of ours; what else is there is its owner's to remove. */
function nameTaken(kernel: Kernel, path: string): Finding {
  const what = pinnedAt(kernel, path);
  const words = what === null ? "" : ` (a ${what})`;
  return {
    hint: `${path} exists already${words}; remove it first, or give another name`,
    remedies: what === "link" ? [{ action: "unpin", path }] : [{ action: "list-file", path }],
  };
}

/** What kind of object is pinned at a path; null when none is, or it can't be opened. */
function pinnedAt(kernel: Kernel, path: string): ReturnType<typeof kindOf> | null {
  const pathname = kernel.addressOf(cString(path));
  const { result } = tryBpf(kernel, BPF.BPF_OBJ_GET, OBJ, { pathname });
  return withFd(kernel, result, (fd) => kindOf(kernel, fd));
}

function isDirectory(kernel: Kernel, path: string): boolean {
  return typeof kernel.bpffs.readdir(path) !== "number";
}

function notAPin(kernel: Kernel, path: string): Finding | null {
  if (bpffsOf(kernel, path) !== undefined && !isDirectory(kernel, path)) return null;
  return {
    hint: `${path} is not a pin, or not one that this task may open`,
    remedies: [{ action: "list-links" }],
  };
}

function notYours(kernel: Kernel, path: string): Finding | null {
  if (bpffsOf(kernel, path) === undefined) return null;
  return {
    hint: `the pin ${path} is not one that this task may open: it belongs to another user`,
    remedies: [{ action: "list-file", path }],
  };
}

function noSuchId(call: FailedCall): Finding | null {
  const kind = BY_ID.get(Number(call.command)) ?? "object";
  return {
    hint: `there is no ${kind} with id ${field(call, "id")}`,
    // What is loaded but attached to nothing isn't in any list of ours.
    remedies: kind === "link" || kind === "program" ? [{ action: "list-links" }] : [],
  };
}

function beingMade(call: FailedCall): Finding | null {
  const kind = BY_ID.get(Number(call.command)) ?? "object";
  return { hint: `${kind} ${field(call, "id")} is being created; try again` };
}

/** Causes that have to do with pins and ids, the special before the general. */
export const OBJECT_CAUSES: readonly Cause[] = [
  onPath("pin-exists", "the name is taken", MAKING, [EEXIST], nameTaken),
  onPath("pin-directory-missing", "the directory isn't there", MAKING, [ENOENT], (kernel, path) =>
    isDirectory(kernel, directoryOf(path))
      ? null
      : {
          hint: `the directory of ${path} doesn't exist; make it first`,
          remedies: [{ action: "make-directory", path: directoryOf(path) }],
        },
  ),
  onPath("pin-outside-bpffs", "the path isn't in a BPF file system", PIN, [EPERM], outsideBpffs),
  onPath("pin-name-with-dot", "the name has a dot in it", ON_PATHS, [EPERM], nameWithDot),
  onPath(
    "path-through-a-file",
    "a part of the path isn't a directory",
    ON_PATHS,
    [ENOTDIR],
    (_kernel, path) => ({ hint: `a part of ${path} is not a directory` }),
  ),
  onPath("path-too-long", "the path or a name in it is too long", ON_PATHS, [ENAMETOOLONG], () => ({
    hint: "a name has at most 255 bytes, and a path 4095",
  })),
  onPath(
    "pin-directory-not-writable",
    "the directory is somebody else's",
    [...MAKING, "bpffs.unlink", "bpffs.rmdir"],
    [EACCES],
    (_kernel, path, { command }) => {
      const deed = MAKING.includes(command) ? "make" : "remove";
      return { hint: `this task may not ${deed} files in the directory of ${path}` };
    },
  ),
  onPath(
    "nothing-pinned",
    "there is no such pin",
    [...GET, "bpffs.unlink"],
    [ENOENT],
    (_kernel, path) => ({
      hint: `nothing is pinned at ${path}`,
      remedies: [{ action: "list-links" }],
    }),
  ),
  {
    id: "link-opened-read-only",
    title: "a link can't be opened for reading or for writing only",
    commands: GET,
    errnos: [EINVAL],
    find: linkReadOnly,
  },
  onPath("not-a-pin", "what is there isn't a pin", GET, [EACCES, EPERM], notAPin),
  onPath("pin-not-yours", "the pin belongs to another user", GET, [EACCES, EPERM], notYours),
  {
    id: "no-such-id",
    title: "nothing has this id, or not any more",
    commands: [...BY_ID.keys()],
    errnos: [ENOENT],
    find: noSuchId,
  },
  {
    id: "id-being-made",
    title: "the object isn't finished yet",
    commands: [...BY_ID.keys()],
    errnos: [EAGAIN],
    find: beingMade,
  },
];
