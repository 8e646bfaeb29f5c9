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
  find: (kernel: Kernel, path: string) => Finding | null,
): Cause {
  return {
    id,
    title,
    commands,
    errnos,
    find: ({ kernel, about: { path } }) => (path === undefined ? null : find(kernel, path)),
  };
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}

function bpffsOf(kernel: Kernel, path: string): string | undefined {
  return kernel.bpffs.mounts().find((mount) => isBelow(path, mount));
}

function outsideBpffs(kernel: Kernel, path: string): Finding | null {
  if (bpffsOf(kernel, path) !== undefined) return null;
  const [mount] = kernel.bpffs.mounts();
  return mount === undefined
    ? {
        hint: `${path} is not in a BPF file system, and none is mounted; mount one`,
        remedies: ["mount -t bpf bpf /sys/fs/bpf"],
      }
    : {
        hint: `${path} is not in a BPF file system; pin below ${mount}`,
        remedies: [`nslink pin LINK ${mount}/NAME`],
      };
}

function nameWithDot(_kernel: Kernel, path: string): Finding | null {
  const name = path.split("/").at(-1) ?? "";
  if (!name.includes(".")) return null;
  return {
    hint: `a name in the BPF file system may not contain a dot: ${path}`,
    remedies: [`nslink pin LINK ${path.slice(0, -name.length)}${name.replaceAll(".", "_")}`],
  };
}

function linkReadOnly(call: FailedCall): Finding | null {
  const { kernel, about } = call;
  const mode = field(call, "file_flags") & (BPF.BPF_F_RDONLY | BPF.BPF_F_WRONLY);
  if (mode === 0 || about.path === undefined) return null;
  const pathname = kernel.addressOf(cString(about.path));
  const { result } = tryBpf(kernel, BPF.BPF_OBJ_GET, OBJ, { pathname });
  if (withFd(kernel, result, (fd) => kindOf(kernel, fd)) !== "link") return null;
  return { hint: `a link is pinned at ${about.path}: it opens without BPF_F_RDONLY or _WRONLY` };
}

function isDirectory(kernel: Kernel, path: string): boolean {
  return typeof kernel.bpffs.readdir(path) !== "number";
}

function notAPin(kernel: Kernel, path: string): Finding | null {
  if (bpffsOf(kernel, path) !== undefined && !isDirectory(kernel, path)) return null;
  return {
    hint: `${path} is not a pin, or not one that this task may open`,
    remedies: ["nslink ls"],
  };
}

function notYours(kernel: Kernel, path: string): Finding | null {
  if (bpffsOf(kernel, path) === undefined) return null;
  return {
    hint: `the pin ${path} is not one that this task may open: it belongs to another user`,
    remedies: [`ls -l ${path}`],
  };
}

function noSuchId(call: FailedCall): Finding | null {
  const kind = BY_ID.get(Number(call.command)) ?? "object";
  return {
    hint: `there is no ${kind} with id ${field(call, "id")}`,
    remedies: [kind === "link" ? "nslink ls" : `bpftool ${kind === "program" ? "prog" : kind} ls`],
  };
}

function beingMade(call: FailedCall): Finding | null {
  const kind = BY_ID.get(Number(call.command)) ?? "object";
  return { hint: `${kind} ${field(call, "id")} is being created; try again` };
}

/** Causes that have to do with pins and ids, the special before the general. */
export const OBJECT_CAUSES: readonly Cause[] = [
  onPath("pin-exists", "the name is taken", MAKING, [EEXIST], (_kernel, path) => ({
    hint: `${path} exists already; unlink it first, or pin under another name`,
    remedies: [`nslink unpin ${path}`],
  })),
  onPath(
    "pin-directory-missing",
    "the directory isn't there",
    MAKING,
    [ENOENT],
    (_kernel, path) => ({
      hint: `the directory of ${path} doesn't exist; make it first`,
      remedies: [`mkdir -p ${path.slice(0, path.lastIndexOf("/")) || "/"}`],
    }),
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
    (_kernel, path) => ({ hint: `this task may not make files in the directory of ${path}` }),
  ),
  onPath(
    "nothing-pinned",
    "there is no such pin",
    [...GET, "bpffs.unlink"],
    [ENOENT],
    (_kernel, path) => ({
      hint: `nothing is pinned at ${path}`,
      remedies: ["nslink ls"],
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
