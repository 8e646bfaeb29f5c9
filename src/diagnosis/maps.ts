/**
 * Why a map is not created, or doesn't take what is done to it.
 */

import { MAP_CREATE } from "../abi/attr.ts";
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
import { textOf, tryBpf } from "../call.ts";
import { withFd } from "../objects.ts";
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

/** A shape that every kernel that has the type takes. */
const USUAL_SHAPE = { key_size: 4, value_size: 4, max_entries: 1, map_flags: 0 } as const;
const USUAL_SHAPES: ReadonlyMap<number, Partial<typeof USUAL_SHAPE> | Record<string, number>> =
  new Map<number, Record<string, number>>([
    [BPF.BPF_MAP_TYPE_HASH, {}],
    [BPF.BPF_MAP_TYPE_ARRAY, {}],
    [BPF.BPF_MAP_TYPE_PROG_ARRAY, {}],
    [BPF.BPF_MAP_TYPE_PERCPU_HASH, {}],
    [BPF.BPF_MAP_TYPE_PERCPU_ARRAY, {}],
    [BPF.BPF_MAP_TYPE_LRU_HASH, {}],
    [BPF.BPF_MAP_TYPE_LRU_PERCPU_HASH, {}],
    [BPF.BPF_MAP_TYPE_LPM_TRIE, { key_size: 8, map_flags: BPF.BPF_F_NO_PREALLOC }],
    [BPF.BPF_MAP_TYPE_QUEUE, { key_size: 0 }],
    [BPF.BPF_MAP_TYPE_STACK, { key_size: 0 }],
    [BPF.BPF_MAP_TYPE_BLOOM_FILTER, { key_size: 0 }],
    [BPF.BPF_MAP_TYPE_SOCKMAP, {}],
    [BPF.BPF_MAP_TYPE_SOCKHASH, {}],
    [BPF.BPF_MAP_TYPE_RINGBUF, { key_size: 0, value_size: 0, max_entries: 65_536 }],
  ]);

function map(call: FailedCall): MapFacts | null {
  return mapAt(call.kernel, field(call, "map_fd"));
}

function newLabel({ attr }: FailedCall): string {
  return mapLabel(attr.map_name instanceof Uint8Array ? textOf(attr.map_name) : "");
}

function shapeOf(call: FailedCall): string {
  return (
    `keys of ${field(call, "key_size")} and values of ${field(call, "value_size")} bytes, ` +
    `${field(call, "max_entries")} entries and flags 0x${field(call, "map_flags").toString(16)}`
  );
}

function typeMissing(call: FailedCall): Finding | null {
  const { kernel } = call;
  const type = field(call, "map_type");
  const usual = USUAL_SHAPES.get(type);
  const isKnown = BPF.MAP_TYPE_NAMES[type] !== undefined && type !== BPF.BPF_MAP_TYPE_UNSPEC;
  if (isKnown) {
    if (usual === undefined) return null;
    const request = { map_type: type, ...USUAL_SHAPE, ...usual };
    const { result } = tryBpf(kernel, BPF.BPF_MAP_CREATE, MAP_CREATE, request);
    if (withFd(kernel, result, () => true) !== null || result !== -EINVAL) return null;
  }
  return {
    hint: `${newLabel(call)}: this kernel has no ${mapTypeName(type)} with ${shapeOf(call)}`,
    remedies: ["nslink doctor"],
  };
}

function shapeRefused(call: FailedCall): Finding {
  const type = field(call, "map_type");
  const advice = shapeAdvice(call, type);
  return {
    hint:
      `${newLabel(call)}: this kernel has no ${mapTypeName(type)} with ${shapeOf(call)}` +
      (advice === "" ? "" : `; ${advice}`),
  };
}

function shapeAdvice(call: FailedCall, type: number): string {
  if (INDEXED.has(type) && field(call, "key_size") !== 4) return "its keys are indexes of 4 bytes";
  if (field(call, "max_entries") === 0) return "max_entries can't be 0";
  if (field(call, "value_size") === 0) return "values can't be empty";
  return "";
}

function elementTooLarge(call: FailedCall): Finding {
  return {
    hint:
      `${newLabel(call)}: keys of ${field(call, "key_size")} or values of ` +
      `${field(call, "value_size")} bytes are too large, or ${field(call, "max_entries")} ` +
      "entries too many",
  };
}

function full(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts === null || INDEXED.has(facts.type)) return null;
  return {
    hint:
      `${facts.label} holds at most ${facts.maxEntries} entries; ` +
      "delete some, or make it larger or an LRU hash",
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
  if (facts === null) return null;
  return {
    hint: INDEXED.has(facts.type)
      ? "the key is there already, and BPF_NOEXIST was asked for; an array has all of its keys"
      : "the key is there already, and BPF_NOEXIST was asked for",
  };
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
  return facts === null
    ? null
    : { hint: `${facts.label} is frozen already, or somebody is writing it` };
}

/** The fd that was to be stored in a prog array. */
function slotFd({ about }: FailedCall): number {
  const { value } = about;
  if (value === undefined || value.length !== 4) return -1;
  return new DataView(value.buffer, value.byteOffset, 4).getInt32(0, true);
}

function notAProgram(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts?.type !== BPF.BPF_MAP_TYPE_PROG_ARRAY || call.about.value === undefined) return null;
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
  if (program === null) return null;
  return {
    hint:
      `${facts.label} is for tail calls of ${programTypeName(facts.ownerType)} ` +
      "with the attach type of its first user, " +
      `and ${program.label} is another (${programTypeName(program.type)})`,
  };
}

function elementRefused(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts === null) return null;
  return {
    hint:
      `${facts.label} doesn't take this key, value or flag ` +
      `(0x${field(call, "flags").toString(16)}): it is a ${facts.typeName}`,
  };
}

function notAllowed(call: FailedCall): Finding | null {
  const facts = map(call);
  if (facts === null) return null;
  return { hint: `${facts.label} is a ${facts.typeName}, which doesn't allow that` };
}

/** Causes of refusals that have to do with maps, the special before the general. */
export const MAP_CAUSES: readonly Cause[] = [
  {
    id: "map-type-missing",
    title: "the kernel has no maps of this type",
    commands: CREATE,
    errnos: [EINVAL],
    find: typeMissing,
  },
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
    find: () => ({ hint: "the key isn't there, and BPF_EXIST was asked for" }),
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
    id: "element-refused",
    title: "the map doesn't take this key, value or flag",
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
