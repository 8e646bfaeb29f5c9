/**
 * What can befall any call: fds that are closed, or open on something else; addresses that lead
 * nowhere; no fd or no memory left; a command that the kernel doesn't have.
 */

import * as BPF from "../abi/bpf.ts";
import { EBADF, EBADFD, EFAULT, EINVAL, EMFILE, ENFILE, ENOMEM } from "../abi/errno.ts";
import type { Kernel } from "../kernel.ts";
import { kindOf, openFlags } from "./ask.ts";
import { type Cause, type FailedCall, type Finding, field } from "./cause.ts";
import { knowsCommand } from "./commands.ts";

type Kind = "program" | "map" | "link" | "netns" | "btf" | "object";

const PROGRAM = "program";
const MAP_FD = [["map_fd", "map"]] as const;
const ATTACHED = [["attach_bpf_fd", PROGRAM]] as const;

/** The fds in each command's attr, and what they have to be open on. */
const FDS: ReadonlyMap<number | string, readonly (readonly [name: string, kind: Kind])[]> = new Map<
  number | string,
  readonly (readonly [string, Kind])[]
>([
  [
    BPF.BPF_LINK_CREATE,
    [
      ["prog_fd", PROGRAM],
      ["target_fd", "netns"],
    ],
  ],
  [
    BPF.BPF_LINK_UPDATE,
    [
      ["link_fd", "link"],
      ["new_prog_fd", PROGRAM],
      ["old_prog_fd", PROGRAM],
    ],
  ],
  [BPF.BPF_LINK_DETACH, [["link_fd", "link"]]],
  [BPF.BPF_PROG_ATTACH, ATTACHED],
  [BPF.BPF_PROG_DETACH, ATTACHED],
  [BPF.BPF_PROG_QUERY, [["target_fd", "netns"]]],
  [BPF.BPF_PROG_TEST_RUN, [["prog_fd", PROGRAM]]],
  [BPF.BPF_OBJ_PIN, [["bpf_fd", "object"]]],
  [BPF.BPF_OBJ_GET_INFO_BY_FD, [["bpf_fd", "object"]]],
  [BPF.BPF_PROG_LOAD, [["prog_btf_fd", "btf"]]],
  [
    BPF.BPF_MAP_CREATE,
    [
      ["btf_fd", "btf"],
      ["inner_map_fd", "map"],
    ],
  ],
  [BPF.BPF_MAP_LOOKUP_ELEM, MAP_FD],
  [BPF.BPF_MAP_UPDATE_ELEM, MAP_FD],
  [BPF.BPF_MAP_DELETE_ELEM, MAP_FD],
  [BPF.BPF_MAP_GET_NEXT_KEY, MAP_FD],
  [BPF.BPF_MAP_LOOKUP_AND_DELETE_ELEM, MAP_FD],
  [BPF.BPF_MAP_FREEZE, MAP_FD],
  [BPF.BPF_MAP_LOOKUP_BATCH, MAP_FD],
  [BPF.BPF_MAP_LOOKUP_AND_DELETE_BATCH, MAP_FD],
  [BPF.BPF_MAP_UPDATE_BATCH, MAP_FD],
  [BPF.BPF_MAP_DELETE_BATCH, MAP_FD],
  ["netns.inode", [["fd", "netns"]]],
  ["netns.enter", [["fd", "netns"]]],
  ["netns.dissect", [["fd", "netns"]]],
  ["close", [["fd", "object"]]],
]);

/** Fds that 0 means "none" for. */
const OPTIONAL: ReadonlySet<string> = new Set([
  "old_prog_fd",
  "prog_btf_fd",
  "btf_fd",
  "inner_map_fd",
]);

const KIND_NAMES: Readonly<Record<Kind, string>> = {
  program: "a program",
  map: "a map",
  link: "a link",
  netns: "a network namespace",
  btf: "BTF",
  object: "a program, map or link",
};

// include/uapi/asm-generic/fcntl.h
const O_PATH = 0o10000000;

/** The first fd of a call that a test holds for. */
function badFd(
  call: FailedCall,
  describe: (kernel: Kernel, fd: number, name: string, kind: Kind) => string | null,
): Finding | null {
  for (const [name, kind] of FDS.get(call.command) ?? []) {
    const fd = field(call, name) | 0;
    if (fd === 0 && OPTIONAL.has(name)) continue;
    const hint = describe(call.kernel, fd, name, kind);
    if (hint !== null) return { hint };
  }
  return null;
}

function closed(kernel: Kernel, fd: number, name: string): string | null {
  return kindOf(kernel, fd) === "closed" ? `${name}: fd ${fd} is not open` : null;
}

function pathOnly(kernel: Kernel, fd: number, name: string): string | null {
  if ((openFlags(kernel, fd) & O_PATH) === 0) return null;
  return `${name}: fd ${fd} was opened with O_PATH, which only keeps a place; open it without`;
}

function wrongKind(kernel: Kernel, fd: number, name: string, kind: Kind): string | null {
  const found = kindOf(kernel, fd);
  const isObject = found === "program" || found === "map" || found === "link" || found === "btf";
  if (found === "closed" || (kind === "object" ? isObject : found === kind)) return null;
  return `${name}: fd ${fd} is open on ${kernel.fdname(fd)}, which is not ${KIND_NAMES[kind]}`;
}

function unknownCommand({ kernel, command }: FailedCall): Finding | null {
  if (typeof command !== "number") return null;
  const known = knowsCommand(kernel, command);
  if (known === null || known.present) return null;
  return {
    hint: `this kernel doesn't have ${BPF.COMMAND_NAMES[command]}; it came with ${known.since}`,
    remedies: ["nslink doctor"],
  };
}

/** Causes that most calls share; they come after what links and programs know better. */
export const COMMON_CAUSES: readonly Cause[] = [
  {
    id: "command-missing",
    title: "the kernel is too old for the command",
    commands: null,
    errnos: [EINVAL],
    find: unknownCommand,
  },
  {
    id: "fd-path-only",
    title: "the fd was opened with O_PATH",
    commands: null,
    errnos: [EBADF, EINVAL],
    find: (call) => badFd(call, pathOnly),
  },
  {
    id: "fd-closed",
    title: "the fd is closed",
    commands: null,
    errnos: [EBADF, EBADFD, EINVAL],
    find: (call) => badFd(call, closed),
  },
  {
    id: "fd-wrong-kind",
    title: "the fd is open on something else",
    commands: null,
    errnos: [EINVAL, EBADF, EBADFD],
    find: (call) => badFd(call, wrongKind),
  },
  {
    id: "bad-address",
    title: "an address in the attr leads nowhere",
    commands: null,
    errnos: [EFAULT],
    find: () => ({
      hint: "an address in the attr leads to memory that can't be read or written",
    }),
  },
  {
    id: "fd-table-full",
    title: "the task has no fd left",
    commands: null,
    errnos: [EMFILE],
    find: () => ({
      hint: "this task has no fd left; close some, or raise its limit",
      remedies: ["ulimit -n 65536"],
    }),
  },
  {
    id: "file-table-full",
    title: "the machine has no open file left",
    commands: null,
    errnos: [ENFILE],
    find: () => ({
      hint: "the machine has no open file left; raise fs.file-max",
      remedies: ["sysctl fs.file-max"],
    }),
  },
  {
    id: "no-memory",
    title: "there is not enough memory",
    commands: null,
    errnos: [ENOMEM],
    find: () => ({
      hint: "there is not enough memory for it",
    }),
  },
];
