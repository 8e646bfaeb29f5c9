/**
 * What can befall any call: fds that are closed, or open on something else; addresses that lead
 * nowhere; no fd or no memory left; a command that the kernel doesn't have.
 */

import * as BPF from "../abi/bpf.ts";
import { EBADF, EBADFD, EFAULT, EINVAL, EMFILE, ENFILE, ENOMEM } from "../abi/errno.ts";
import type { Kernel } from "../kernel.ts";
import { withFd } from "../objects.ts";
import { kindOf, openFlags, programAt } from "./ask.ts";
import { type Cause, type FailedCall, type Finding, field } from "./cause.ts";
import { knowsCommand } from "./commands.ts";
import { readTask } from "./task.ts";

type Kind = "program" | "map" | "link" | "netns" | "btf" | "object" | "pinnable";

/** An fd in a command's attr. */
interface FdField {
  readonly name: string;
  /** What it has to be open on. */
  readonly kind: Kind;
  /** Whether a call's fd is looked at by the kernel at all; by default it is. */
  readonly isUsed?: (call: FailedCall) => boolean;
}

const MAP_FD: readonly FdField[] = [{ name: "map_fd", kind: "map" }];
const ATTACHED: readonly FdField[] = [{ name: "attach_bpf_fd", kind: "program" }];
const NETNS_FD: readonly FdField[] = [{ name: "fd", kind: "netns" }];

/** Types of programs and attach types that have to do with network namespaces. */
const NETNS_PROGRAMS: ReadonlySet<number> = new Set([
  BPF.BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF.BPF_PROG_TYPE_SK_LOOKUP,
]);
const NETNS_ATTACH_TYPES: ReadonlySet<number> = new Set([
  BPF.BPF_FLOW_DISSECTOR,
  BPF.BPF_SK_LOOKUP,
]);
const MAPS_OF_MAPS: ReadonlySet<number> = new Set([
  BPF.BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF.BPF_MAP_TYPE_HASH_OF_MAPS,
]);

/** The fds in each command's attr, in the order in which Linux looks at them. */
const FDS: ReadonlyMap<number | string, readonly FdField[]> = new Map<
  number | string,
  readonly FdField[]
>([
  [
    BPF.BPF_LINK_CREATE,
    [
      { name: "prog_fd", kind: "program" },
      {
        name: "target_fd",
        kind: "netns",
        isUsed: (call) =>
          NETNS_PROGRAMS.has(programAt(call.kernel, field(call, "prog_fd"))?.type ?? 0),
      },
    ],
  ],
  [
    BPF.BPF_LINK_UPDATE,
    [
      { name: "link_fd", kind: "link" },
      { name: "new_prog_fd", kind: "program" },
      {
        name: "old_prog_fd",
        kind: "program",
        isUsed: (call) => (field(call, "flags") & BPF.BPF_F_REPLACE) !== 0,
      },
    ],
  ],
  [BPF.BPF_LINK_DETACH, [{ name: "link_fd", kind: "link" }]],
  [BPF.BPF_PROG_ATTACH, ATTACHED],
  [BPF.BPF_PROG_DETACH, ATTACHED],
  [
    BPF.BPF_PROG_QUERY,
    [
      {
        name: "target_fd",
        kind: "netns",
        isUsed: (call) => NETNS_ATTACH_TYPES.has(field(call, "attach_type")),
      },
    ],
  ],
  [BPF.BPF_PROG_TEST_RUN, [{ name: "prog_fd", kind: "program" }]],
  [BPF.BPF_OBJ_PIN, [{ name: "bpf_fd", kind: "pinnable" }]],
  [BPF.BPF_OBJ_GET_INFO_BY_FD, [{ name: "bpf_fd", kind: "object" }]],
  [
    BPF.BPF_PROG_LOAD,
    [
      {
        name: "prog_btf_fd",
        kind: "btf",
        isUsed: (call) => field(call, "func_info_cnt") !== 0 || field(call, "line_info_cnt") !== 0,
      },
    ],
  ],
  [
    BPF.BPF_MAP_CREATE,
    [
      {
        name: "btf_fd",
        kind: "btf",
        isUsed: (call) =>
          field(call, "btf_key_type_id") !== 0 || field(call, "btf_value_type_id") !== 0,
      },
      {
        name: "inner_map_fd",
        kind: "map",
        isUsed: (call) => MAPS_OF_MAPS.has(field(call, "map_type")),
      },
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
  ["netns.inode", NETNS_FD],
  ["netns.enter", NETNS_FD],
  ["netns.dissect", NETNS_FD],
  ["close", [{ name: "fd", kind: "object" }]],
]);

/** What an fd that isn't open, or is open with O_PATH, is refused with. */
function errnoOfClosed({ command }: FailedCall): number {
  if (command === BPF.BPF_OBJ_PIN) return EINVAL;
  return command === BPF.BPF_OBJ_GET_INFO_BY_FD ? EBADFD : EBADF;
}

const KIND_NAMES: Readonly<Record<Kind, string>> = {
  program: "a program",
  map: "a map",
  link: "a link",
  netns: "a network namespace",
  btf: "BTF",
  object: "a program, map, link or BTF",
  pinnable: "a program, map or link",
};

// include/uapi/asm-generic/fcntl.h
const O_PATH = 0o10000000;

/** The first fd of a call that a test holds for. */
function badFd(
  call: FailedCall,
  describe: (kernel: Kernel, fd: number, field: FdField) => string | null,
): Finding | null {
  for (const each of FDS.get(call.command) ?? []) {
    if (each.isUsed?.(call) === false) continue;
    const hint = describe(call.kernel, field(call, each.name) | 0, each);
    if (hint !== null) return { hint };
  }
  return null;
}

function closed(kernel: Kernel, fd: number, { name }: FdField): string | null {
  return kindOf(kernel, fd) === "closed" ? `${name}: fd ${fd} is not open` : null;
}

function pathOnly(kernel: Kernel, fd: number, { name }: FdField): string | null {
  if ((openFlags(kernel, fd) & O_PATH) === 0) return null;
  return `${name}: fd ${fd} was opened with O_PATH, which only keeps a place; open it without`;
}

function wrongKind(kernel: Kernel, fd: number, { name, kind }: FdField): string | null {
  const found = kindOf(kernel, fd);
  if (found === "closed" || accepts(kind, found)) return null;
  return `${name}: fd ${fd} is open on ${kernel.fdname(fd)}, which is not ${KIND_NAMES[kind]}`;
}

function accepts(kind: Kind, found: ReturnType<typeof kindOf>): boolean {
  const isPinnable = found === "program" || found === "map" || found === "link";
  if (kind === "pinnable") return isPinnable;
  return kind === "object" ? isPinnable || found === "btf" : found === kind;
}

function unknownCommand({ kernel, command }: FailedCall): Finding | null {
  if (typeof command !== "number") return null;
  const known = knowsCommand(kernel, command);
  if (known === null || known.present) return null;
  return {
    hint: `this kernel doesn't have ${BPF.COMMAND_NAMES[command]}; it came with ${known.since}`,
    remedies: [{ action: "examine-kernel", kernel: kernel.name }],
  };
}

function badAddress({ command, about }: FailedCall): Finding | null {
  // A verifier that runs into a fault of its own says EFAULT as well, in its log.
  if (typeof command !== "number" || (about.log ?? "") !== "") return null;
  return { hint: "an address in the attr leads to memory that can't be read or written" };
}

/** Whether no file can be opened, for a reason. */
function opensNothing(kernel: Kernel, errno: number): boolean {
  const fd = kernel.open("/dev/null");
  return withFd(kernel, fd, () => false) ?? fd === -errno;
}

function tableFull({ kernel }: FailedCall): Finding | null {
  if (!opensNothing(kernel, EMFILE)) return null;
  const { openFilesLimit, mostOpenFiles } = readTask(kernel);
  const limit = openFilesLimit === null ? "" : ` (RLIMIT_NOFILE: ${openFilesLimit})`;
  const mayRaise = openFilesLimit !== null && (mostOpenFiles ?? 0) > openFilesLimit;
  return {
    hint: `this task has no fd left${limit}; close some${mayRaise ? ", or raise its limit" : ""}`,
    remedies: mayRaise ? [{ action: "raise-open-files", limit: mostOpenFiles ?? 0 }] : [],
  };
}

function filesFull({ kernel }: FailedCall): Finding | null {
  if (!opensNothing(kernel, ENFILE)) return null;
  const text = kernel.readText("/proc/sys/fs/file-max");
  const most = typeof text === "string" ? Number(text.trim()) : Number.NaN;
  return {
    hint: "the machine has no open file left; raise fs.file-max",
    remedies: Number.isSafeInteger(2 * most) ? [{ action: "raise-file-max", limit: 2 * most }] : [],
  };
}

function noMemory(call: FailedCall): Finding {
  if (call.command !== BPF.BPF_MAP_CREATE) return { hint: "there is not enough memory for it" };
  const entries = field(call, "max_entries");
  const bytes = field(call, "key_size") + field(call, "value_size");
  return { hint: `there is not enough memory for ${entries} entries of ${bytes} bytes` };
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
    errnos: [EBADF, EBADFD, EINVAL],
    find: (call) => (call.errno === errnoOfClosed(call) ? badFd(call, pathOnly) : null),
  },
  {
    id: "fd-closed",
    title: "the fd is closed",
    commands: null,
    errnos: [EBADF, EBADFD, EINVAL],
    find: (call) => (call.errno === errnoOfClosed(call) ? badFd(call, closed) : null),
  },
  {
    id: "fd-wrong-kind",
    title: "the fd is open on something else",
    commands: null,
    errnos: [EINVAL],
    find: (call) => badFd(call, wrongKind),
  },
  {
    id: "bad-address",
    title: "an address in the attr leads nowhere",
    commands: null,
    errnos: [EFAULT],
    find: badAddress,
  },
  {
    id: "fd-table-full",
    title: "the task has no fd left",
    commands: null,
    errnos: [EMFILE],
    find: tableFull,
  },
  {
    id: "file-table-full",
    title: "the machine has no open file left",
    commands: null,
    errnos: [ENFILE],
    find: filesFull,
  },
  {
    id: "no-memory",
    title: "there is not enough memory",
    commands: null,
    errnos: [ENOMEM],
    find: noMemory,
  },
];
