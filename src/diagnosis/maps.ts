/**
 * Why a map is not created, or doesn't take what is done to it.
 */

import * as BPF from "../abi/bpf.ts";
import {
  E2BIG,
  EBADF,
  EBUSY,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOTSUPP,
  EOPNOTSUPP,
  EPERM,
} from "../abi/errno.ts";
import { textOf } from "../call.ts";
import {
  kindOf,
  type MapFacts,
  mapAt,
  mapLabel,
  mapTypeName,
  programAt,
  programTypeName,
} from "./ask.ts";
import { type Cause, type FailedCall, type Finding, field } from "./cause.ts";
import { hasMapType, isMapType, shapeComplaints, tooLargeFields } from "./map_shapes.ts";

const CREATE: readonly number[] = [BPF.BPF_MAP_CREATE];
const UPDATE: readonly number[] = [BPF.BPF_MAP_UPDATE_ELEM];
const READING: readonly number[] = [
  BPF.BPF_MAP_LOOKUP_ELEM,
  BPF.BPF_MAP_GET_NEXT_KEY,
  BPF.BPF_MAP_LOOKUP_BATCH,
];
const TAKING: readonly number[] = [
  BPF.BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF.BPF_MAP_LOOKUP_AND_DELETE_BATCH,
];
const WRITING: readonly number[] = [
  BPF.BPF_MAP_UPDATE_ELEM,
  BPF.BPF_MAP_DELETE_ELEM,
  BPF.BPF_MAP_FREEZE,
  BPF.BPF_MAP_UPDATE_BATCH,
  BPF.BPF_MAP_DELETE_BATCH,
];

/** Maps whose keys are indexes. */
const INDEXED: ReadonlySet<number> = new Set([
  BPF.BPF_MAP_TYPE_ARRAY,
  BPF.BPF_MAP_TYPE_PROG_ARRAY,
  BPF.BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF.BPF_MAP_TYPE_ARRAY_OF_MAPS,
]);

/** Maps in which every key has a value, always. */
const ALWAYS_FULL: ReadonlySet<number> = new Set([
  BPF.BPF_MAP_TYPE_ARRAY,
  BPF.BPF_MAP_TYPE_PERCPU_ARRAY,
]);

/** Maps that have a kind that makes room by itself. */
const HASHES: ReadonlySet<number> = new Set([BPF.BPF_MAP_TYPE_HASH, BPF.BPF_MAP_TYPE_PERCPU_HASH]);

function map(call: FailedCall): MapFacts | null {
  return mapAt(call.kernel, field(call, "map_fd"));
}

function newLabel({ attr }: FailedCall): string {
  return mapLabel(attr.map_name instanceof Uint8Array ? textOf(attr.map_name) : "");
}

function typeMissing(call: FailedCall): Finding | null {
  const { kernel } = call;
  const type = field(call, "map_type");
  const label = newLabel(call);
  if (!isMapType(type)) return { hint: `${label}: there are no maps of type ${type}` };
  if (hasMapType(kernel, type) !== false) return null;
  return kernel.name === "embedded"
    ? {
        hint: `${label}: ${mapTypeName(type)} isn't built into the embedded kernel`,
        remedies: [{ action: "use-linux" }],
      }
    : {
        hint: `${label}: this kernel has no ${mapTypeName(type)}: it is too old, or built without`,
      };
}

function shapeRefused(call: FailedCall): Finding | null {
  const complaints = shapeComplaints(call);
  if (complaints.length === 0) return null;
  const details = complaints.map(({ field: name, words, value }) => {
    return `${words} (${name} ${value}, not ${field(call, name)})`;
  });
  return {
    hint: `${newLabel(call)} is a ${mapTypeName(field(call, "map_type"))}: ${details.join("; ")}`,
    remedies: complaints.map(({ field: name, value }) => {
      return { action: "set-field", field: name, value };
    }),
  };
}

function elementTooLarge(call: FailedCall): Finding | null {
  const names = tooLargeFields(call);
  const sizes = {
    key_size: `keys of ${field(call, "key_size")} bytes`,
    value_size: `values of ${field(call, "value_size")} bytes`,
    max_entries: `${field(call, "max_entries")} entries`,
  };
  const words = names.map((name) => sizes[name]).join(" and ");
  return { hint: `${newLabel(call)}: ${words} are more than a map of this type may have` };
}

function full(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts === null || INDEXED.has(facts.type)) return null;
  const room = HASHES.has(facts.type) ? "larger or an LRU hash" : "larger";
  return {
    hint:
      `${facts.label} holds at most ${facts.maxEntries} entries; ` +
      `take some out, or make it ${room}`,
  };
}

function indexOutOfRange(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts === null || !INDEXED.has(facts.type)) return null;
  return {
    hint:
      `${facts.label} holds at most ${facts.maxEntries} entries: ` +
      `indexes go from 0 to ${facts.maxEntries - 1}`,
  };
}

function keyExists(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts === null || (field(call, "flags") & BPF.BPF_NOEXIST) === 0) return null;
  return {
    hint: INDEXED.has(facts.type)
      ? "the key is there already, and BPF_NOEXIST was asked for; an array has all of its keys"
      : "the key is there already, and BPF_NOEXIST was asked for",
  };
}

function keyMissing(call: FailedCall): Finding | null {
  if (map(call) === null || (field(call, "flags") & BPF.BPF_EXIST) === 0) return null;
  return { hint: "the key isn't there, and BPF_EXIST was asked for" };
}

function notReadable(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts === null || facts.readable) return null;
  return {
    hint: `this fd may not read ${facts.label}: it was opened with BPF_F_WRONLY`,
  };
}

function notWritable(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts === null || facts.writable) return null;
  return {
    hint: `this fd may not write ${facts.label}: it was opened with BPF_F_RDONLY`,
  };
}

function frozen(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts?.frozen !== true) return null;
  return {
    hint:
      call.command === BPF.BPF_MAP_FREEZE
        ? `${facts.label} is frozen already`
        : `${facts.label} is frozen, for good: only programs may write it`,
  };
}

function busy(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts === null || facts.frozen) return null;
  return { hint: `${facts.label} is being written, or is mapped into memory to be written` };
}

/** The fd that was to be stored in a prog array. */
function slotFd({ about }: FailedCall): number {
  const { value } = about;
  if (value?.length !== 4) return -1;
  return new DataView(value.buffer, value.byteOffset, 4).getInt32(0, true);
}

function notAProgram(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts?.type !== BPF.BPF_MAP_TYPE_PROG_ARRAY || call.about.value?.length !== 4) return null;
  if (field(call, "flags") !== 0) return null;
  const fd = slotFd(call);
  const kind = kindOf(call.kernel, fd);
  if (kind === "program") return null;
  const what = kind === "closed" ? "is not open" : `is open on ${call.kernel.fdname(fd)}`;
  return { hint: `${facts.label} takes fds of programs, and fd ${fd} ${what}` };
}

function otherOwner(call: FailedCall): Finding | null {
  const facts = map(call);
  const program = programAt(call.kernel, slotFd(call));
  if (facts?.type !== BPF.BPF_MAP_TYPE_PROG_ARRAY || facts.ownerType === null) return null;
  if (program === null || field(call, "flags") !== 0) return null;
  const owner = programTypeName(facts.ownerType);
  return {
    hint:
      program.type === facts.ownerType
        ? `${facts.label} is for tail calls of ${owner} as its first user is one, and ` +
          `${program.label} is another: it was loaded for another attach type`
        : `${facts.label} is for tail calls of ${owner}, ` +
          `and ${program.label} is a ${programTypeName(program.type)}`,
  };
}

/** What flags an update takes, by type; those that aren't here take BPF_EXIST at the most. */
function takesFlags({ type }: MapFacts, flags: number): boolean {
  return type === BPF.BPF_MAP_TYPE_PROG_ARRAY ? flags === 0 : flags <= BPF.BPF_EXIST;
}

function elementFlags(call: FailedCall): Finding | null {
  const facts = map(call);
  const isUpdate = call.command === BPF.BPF_MAP_UPDATE_ELEM;
  const names = isUpdate ? ["flags"] : ["flags", "elem_flags"];
  const name = names.find((each) => field(call, each) !== 0);
  if (facts === null || name === undefined) return null;
  const flags = field(call, name);
  if (isUpdate && takesFlags(facts, flags)) return null;
  const why =
    (flags & ~BPF.BPF_F_LOCK) === 0 ? "BPF_F_LOCK is for values with a bpf_spin_lock" : "leave 0";
  return {
    hint: `${facts.label} doesn't take ${name} 0x${flags.toString(16)} in this call; ${why}`,
    remedies: [{ action: "set-field", field: name, value: 0 }],
  };
}

function elementRefused(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts === null || !takesFlags(facts, field(call, "flags"))) return null;
  return {
    hint: `${facts.label} doesn't take this key or value: it is a ${facts.typeName}`,
  };
}

function notAllowed(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts === null) return null;
  // EINVAL says no more than that something is wrong, but for deleting what can't be absent.
  const isDelete = call.command === BPF.BPF_MAP_DELETE_ELEM && ALWAYS_FULL.has(facts.type);
  if (call.errno === EINVAL && !isDelete) return null;
  return { hint: `${facts.label} is a ${facts.typeName}, which doesn't allow that` };
}

/** What a kernel without a type says before it looks at anything else. */
export const MAP_TYPE_CAUSES: readonly Cause[] = [
  {
    id: "map-type-missing",
    title: "the kernel has no maps of this type",
    commands: CREATE,
    errnos: [EINVAL],
    find: typeMissing,
  },
];

/** Causes of refusals that have to do with maps, the special before the general. */
export const MAP_CAUSES: readonly Cause[] = [
  {
    id: "map-shape",
    title: "the sizes or flags are not ones that the map's type takes",
    commands: CREATE,
    errnos: [EINVAL, ENOTSUPP],
    find: shapeRefused,
  },
  {
    id: "map-too-large",
    title: "keys or values are too large, or entries too many",
    commands: CREATE,
    errnos: [E2BIG],
    find: elementTooLarge,
  },
  {
    id: "map-full",
    title: "the map is full",
    commands: UPDATE,
    errnos: [E2BIG],
    find: full,
  },
  {
    id: "index-out-of-range",
    title: "the array has no such index",
    commands: [...UPDATE, BPF.BPF_MAP_DELETE_ELEM],
    errnos: [E2BIG],
    find: indexOutOfRange,
  },
  {
    id: "key-exists",
    title: "the key was to be new, and isn't",
    commands: UPDATE,
    errnos: [EEXIST],
    find: keyExists,
  },
  {
    id: "key-missing",
    title: "the key was to be there, and isn't",
    commands: UPDATE,
    errnos: [ENOENT],
    find: keyMissing,
  },
  {
    id: "fd-write-only",
    title: "the map was opened for writing only",
    commands: [...READING, ...TAKING],
    errnos: [EPERM],
    find: notReadable,
  },
  {
    id: "fd-read-only",
    title: "the map was opened for reading only",
    commands: [...WRITING, ...TAKING],
    errnos: [EPERM],
    find: notWritable,
  },
  {
    id: "map-frozen",
    title: "the map is frozen",
    commands: [...WRITING, ...TAKING],
    errnos: [EPERM, EBUSY],
    find: frozen,
  },
  {
    id: "map-busy",
    title: "somebody is writing the map that is to be frozen",
    commands: [BPF.BPF_MAP_FREEZE],
    errnos: [EBUSY],
    find: busy,
  },
  {
    id: "slot-not-a-program",
    title: "a prog array was given something else than a program's fd",
    commands: UPDATE,
    errnos: [EINVAL, EBADF],
    find: notAProgram,
  },
  {
    id: "slot-owner",
    title: "the prog array belongs to programs of another type",
    commands: UPDATE,
    errnos: [EINVAL],
    find: otherOwner,
  },
  {
    id: "element-flags",
    title: "a flag is given that the map's type, or the call, doesn't take",
    commands: [...READING, ...TAKING, ...WRITING],
    errnos: [EINVAL],
    find: elementFlags,
  },
  {
    id: "element-refused",
    title: "the map doesn't take this key or value",
    commands: UPDATE,
    errnos: [EINVAL],
    find: elementRefused,
  },
  {
    id: "map-operation",
    title: "maps of this type don't have the operation",
    commands: [...READING, ...TAKING, ...WRITING],
    errnos: [EINVAL, ENOTSUPP, EOPNOTSUPP],
    find: notAllowed,
  },
];
