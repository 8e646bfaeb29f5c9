/**
 * Why a program, or its types, are not loaded.
 */

import { PROG_LOAD } from "../abi/attr.ts";
import * as BPF from "../abi/bpf.ts";
import { E2BIG, EACCES, EINVAL, ENOSPC, EPERM } from "../abi/errno.ts";
import { BPF_LD_IMM64, BPF_PSEUDO_MAP_FD } from "../abi/insn.ts";
import { cString, textOf, tryBpf } from "../call.ts";
import type { Kernel } from "../kernel.ts";
import { withFd } from "../objects.ts";
import { explainVerdict, type VerdictExplanation } from "../verdict/index.ts";
import { mapAt, programTypeName } from "./ask.ts";
import { type Cause, type FailedCall, type Finding, field } from "./cause.ts";
import { readTask } from "./task.ts";

const LOAD: readonly number[] = [BPF.BPF_PROG_LOAD];
/** Bytes of an instruction slot. */
const SLOT_BYTES = 8;
/** `r0 = 0` and `exit`: what every type of program allows, or nearly so. */
const SMALLEST_PROGRAM: readonly number[] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
/** `r2 = map_fd[0]`, `r3 = 0`, `call tail_call`, `r0 = 0` and `exit`. */
const TAIL_CALL_PROGRAM: readonly number[] = [
  ...[0x18, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb7, 3, 0, 0, 0, 0, 0, 0],
  ...[0x85, 0, 0, 0, 12, 0, 0, 0, ...SMALLEST_PROGRAM],
];
/** Types whose programs are loaded for a function or a struct of the kernel's. */
const BY_BTF_ID: ReadonlySet<number> = new Set([
  BPF.BPF_PROG_TYPE_TRACING,
  BPF.BPF_PROG_TYPE_STRUCT_OPS,
  BPF.BPF_PROG_TYPE_EXT,
  BPF.BPF_PROG_TYPE_LSM,
]);
/** All flags of BPF_PROG_LOAD, BPF_F_TOKEN_FD (1 << 16) among them. */
const KNOWN_FLAGS = 0x1_00ff;

/**
 * Loads the smallest program of a type.
 *
 * @returns an fd, or a negative errno.
 */
export function loadSmallest(
  kernel: Kernel,
  type: number,
  expectedAttachType: number = type === BPF.BPF_PROG_TYPE_SK_LOOKUP ? BPF.BPF_SK_LOOKUP : 0,
): number {
  return tryBpf(kernel, BPF.BPF_PROG_LOAD, PROG_LOAD, {
    prog_type: type,
    expected_attach_type: expectedAttachType,
    insns: kernel.addressOf(Uint8Array.from(SMALLEST_PROGRAM)),
    insn_cnt: SMALLEST_PROGRAM.length / SLOT_BYTES,
    prog_flags: type === BPF.BPF_PROG_TYPE_SYSCALL ? BPF.BPF_F_SLEEPABLE : 0,
    license: kernel.addressOf(cString("GPL")),
  }).result;
}

/** The last line with something in it; "" where there is none. */
function lastLine(text: string): string {
  const lines = text.trimEnd().split("\n");
  return lines.filter((line) => line !== "" && !line.startsWith("processed ")).at(-1) ?? "";
}

function nameOf({ attr, about }: FailedCall): string {
  const bytes = attr.prog_name;
  const name = about.name ?? (bytes instanceof Uint8Array ? textOf(bytes) : "");
  return name === "" ? "the program" : `program ${name}`;
}

/** The log in the terms of the program's source; null when it has nothing against the program. */
function explain({ about }: FailedCall): VerdictExplanation | null {
  const explanation = about.verdict ?? explainVerdict(about.log ?? "", about);
  return explanation.message === "" ? null : explanation;
}

function rejected(call: FailedCall, explanation: VerdictExplanation): Finding {
  const { message, cause, line } = explanation;
  const place = line === null ? "" : `${line.file}:${line.line}: `;
  const why = cause === null ? [] : [`${place}${cause.sentence}`, cause.mend];
  return {
    hint: [`${nameOf(call)} was rejected: ${lastLine(message)}`, ...why].join("; "),
    remedies: [
      { action: "verify-object", kernel: call.kernel.name },
      { action: "disassemble-object" },
    ],
  };
}

/** A cause of the verifier's that has a name of its own here. */
function verdict(id: string, title: string): Cause {
  return {
    id,
    title,
    commands: LOAD,
    errnos: [EINVAL, EACCES],
    find: (call) => {
      const explanation = explain(call);
      return explanation?.cause?.id === id ? rejected(call, explanation) : null;
    },
  };
}

function anyVerdict(call: FailedCall): Finding | null {
  const explanation = explain(call);
  return explanation === null ? null : rejected(call, explanation);
}

function instructionCount(call: FailedCall): Finding | null {
  const count = field(call, "insn_cnt");
  const { capabilities } = readTask(call.kernel);
  const isPrivileged = capabilities?.has("CAP_BPF") || capabilities?.has("CAP_SYS_ADMIN");
  if (count <= (isPrivileged ? BPF.BPF_MAXINSNS_PRIVILEGED : BPF.BPF_MAXINSNS)) return null;
  return {
    hint:
      `${count} instructions are more than this task may load: ` +
      `${BPF.BPF_MAXINSNS_PRIVILEGED} with CAP_BPF, ${BPF.BPF_MAXINSNS} without`,
  };
}

function noInstructions(call: FailedCall): Finding | null {
  return field(call, "insn_cnt") === 0 ? { hint: "a program has at least one instruction" } : null;
}

function badName({ attr }: FailedCall): Finding | null {
  const bytes = attr.prog_name ?? attr.map_name;
  if (!(bytes instanceof Uint8Array)) return null;
  const ends = bytes.length < BPF.BPF_OBJ_NAME_LEN || bytes.includes(0);
  const name = textOf(bytes);
  if (ends && /^[A-Za-z0-9_.]*$/.test(name)) return null;
  return {
    hint:
      `${JSON.stringify(name)} is no name that Linux takes: ` +
      "at most 15 letters, digits, underscores and dots",
  };
}

function flagsGiven(call: FailedCall): Finding | null {
  const flags = field(call, "prog_flags");
  if ((flags & ~KNOWN_FLAGS) === 0) return null;
  return {
    hint: `prog_flags 0x${(flags >>> 0).toString(16)} has bits that Linux doesn't know`,
    remedies: [{ action: "set-field", field: "prog_flags", value: flags & KNOWN_FLAGS }],
  };
}

/** A section that says nothing of its programs: no kernel was asked for anything that it has. */
function unknownSection(call: FailedCall): Finding | null {
  const { section } = call.about;
  if (section === undefined || field(call, "prog_type") !== BPF.BPF_PROG_TYPE_UNSPEC) return null;
  const { name, nearest } = section;
  const advice = nearest === null ? "" : `; did you mean ${JSON.stringify(nearest)}?`;
  return {
    hint:
      `${nameOf(call)}: the name of its section, ${JSON.stringify(name)}, isn't known, ` +
      `and so its type isn't${advice}`,
    remedies: [{ action: "inspect-object" }],
  };
}

/** Whether the smallest program of a type is loaded for an attach type: 0, or a negative errno. */
function tryType(kernel: Kernel, type: number, expectedAttachType: number): number {
  const result = loadSmallest(kernel, type, expectedAttachType);
  return withFd(kernel, result, () => 0) ?? result;
}

/** An attach type that a type of program can be loaded for; null for none. */
function loadableFor(kernel: Kernel, type: number): number | null {
  for (const expected of BPF.ATTACH_TYPE_NAMES.keys()) {
    if (tryType(kernel, type, expected) === 0) return expected;
  }
  return null;
}

function expectedAttachType(call: FailedCall): Finding | null {
  const { kernel } = call;
  const type = field(call, "prog_type");
  const given = field(call, "expected_attach_type");
  if (BY_BTF_ID.has(type) || tryType(kernel, type, given) !== -EINVAL) return null;
  const value =
    type === BPF.BPF_PROG_TYPE_SK_LOOKUP ? BPF.BPF_SK_LOOKUP : loadableFor(kernel, type);
  if (value === null || value === given) return null;
  const isLookup = type === BPF.BPF_PROG_TYPE_SK_LOOKUP;
  return {
    hint:
      `programs of ${programTypeName(type)} are loaded with an expected attach type such as ` +
      `${BPF.ATTACH_TYPE_NAMES[value]} (${value}), not ${given}` +
      (isLookup ? '; name their section "sk_lookup"' : ""),
    remedies: [{ action: "set-field", field: "expected_attach_type", value }],
  };
}

function unknownType(call: FailedCall): Finding | null {
  const { kernel } = call;
  const type = field(call, "prog_type");
  if (BPF.PROG_TYPE_NAMES[type] === undefined || type === BPF.BPF_PROG_TYPE_UNSPEC) {
    return { hint: `${nameOf(call)}: there are no programs of type ${type}` };
  }
  if (BY_BTF_ID.has(type) && kernel.name === "linux") return null;
  if (tryType(kernel, type, field(call, "expected_attach_type")) !== -EINVAL) return null;
  if (loadableFor(kernel, type) !== null) return null;
  return kernel.name === "embedded"
    ? {
        hint: `${nameOf(call)}: ${programTypeName(type)} isn't built into the embedded kernel`,
        remedies: [{ action: "use-linux" }],
      }
    : {
        hint: `${nameOf(call)}: this kernel has no ${programTypeName(type)}`,
        remedies: [{ action: "examine-kernel", kernel: kernel.name }],
      };
}

/** Such programs name what they are for by a BTF id of the kernel's. */
function targetMissing(call: FailedCall): Finding | null {
  const type = field(call, "prog_type");
  if (!BY_BTF_ID.has(type) || field(call, "attach_btf_id") !== 0) return null;
  return {
    hint:
      `${nameOf(call)}: programs of ${programTypeName(type)} name what they attach to ` +
      "(attach_btf_id), and this one names nothing",
  };
}

/** A prog array takes programs of one type, which the first one that used it has set. */
function otherOwner(call: FailedCall): Finding | null {
  const { kernel, about } = call;
  // What the verifier has to say is about something else.
  if ((about.log ?? "").trim() !== "" && explain(call) !== null) return null;
  const type = field(call, "prog_type");
  for (const fd of mapFds(about.instructions ?? new Uint8Array())) {
    const map = mapAt(kernel, fd);
    if (map?.type !== BPF.BPF_MAP_TYPE_PROG_ARRAY || map.ownerType === null) continue;
    if (map.ownerType === type && !refusesTailCalls(call, fd)) continue;
    const owner = programTypeName(map.ownerType);
    return {
      hint:
        `${map.label} (id ${map.id}) is for tail calls of ${owner} ` +
        (map.ownerType === type
          ? `as its first user is one, and ${nameOf(call)} is for another attach type`
          : `, and ${nameOf(call)} is a ${programTypeName(type)}`) +
        "; give it a prog array of its own",
    };
  }
  return null;
}

/** Whether a program that only tail-calls through a map is refused; the map has its owner. */
function refusesTailCalls({ kernel, ...call }: FailedCall, fd: number): boolean {
  const insns = Uint8Array.from(TAIL_CALL_PROGRAM);
  new DataView(insns.buffer).setInt32(4, fd, true);
  const { result } = tryBpf(kernel, BPF.BPF_PROG_LOAD, PROG_LOAD, {
    prog_type: field({ kernel, ...call }, "prog_type"),
    expected_attach_type: field({ kernel, ...call }, "expected_attach_type"),
    insns: kernel.addressOf(insns),
    insn_cnt: insns.length / SLOT_BYTES,
    license: kernel.addressOf(cString("GPL")),
  });
  return withFd(kernel, result, () => false) ?? result === -EINVAL;
}

/** The fds of maps in a program's instructions. */
function mapFds(instructions: Uint8Array): readonly number[] {
  const view = new DataView(instructions.buffer, instructions.byteOffset, instructions.length);
  const fds: number[] = [];
  for (let at = 0; at + SLOT_BYTES <= instructions.length; at += SLOT_BYTES) {
    if (view.getUint8(at) !== BPF_LD_IMM64) continue;
    if (view.getUint8(at + 1) >> 4 === BPF_PSEUDO_MAP_FD) fds.push(view.getInt32(at + 4, true));
    // The second slot of the pair holds no opcode.
    at += SLOT_BYTES;
  }
  return fds;
}

function logRoom(call: FailedCall): Finding | null {
  const size = field(call, call.command === BPF.BPF_BTF_LOAD ? "btf_log_size" : "log_size");
  if (size === 0) return null;
  return { hint: `the log has no room in ${size} bytes; give it more` };
}

function btfRefused(call: FailedCall): Finding | null {
  const hasLog = field(call, "btf_log_size") !== 0 && field(call, "btf_log_buf") !== 0;
  if (field(call, "btf_log_level") !== 0 && !hasLog) return null;
  const words = lastLine(call.about.log ?? "");
  return {
    hint:
      `the types (BTF) were refused${words === "" ? "" : `: ${words}`}; programs run without, ` +
      "so load without, or build for an older Linux (clang -g with fewer BTF kinds)",
    remedies: [{ action: "inspect-object" }],
  };
}

/** Causes of refused programs and BTF, the special before the general. */
export const PROGRAM_CAUSES: readonly Cause[] = [
  verdict("helper-missing", "the program calls a helper that this kernel doesn't have"),
  verdict("helper-not-for-type", "the program calls a helper that its type may not call"),
  verdict("helper-gpl-only", "the program calls what only GPL-compatible programs may call"),
  {
    id: "attach-target-missing",
    title: "the program doesn't name what it is for",
    commands: LOAD,
    errnos: [EINVAL],
    find: targetMissing,
  },
  {
    id: "verifier-rejected",
    title: "the verifier can't prove the program safe",
    commands: LOAD,
    errnos: [EINVAL, EACCES, E2BIG, EPERM],
    find: anyVerdict,
  },
  {
    id: "no-instructions",
    title: "the program is empty",
    commands: LOAD,
    errnos: [E2BIG],
    find: noInstructions,
  },
  {
    id: "too-many-instructions",
    title: "the program is too long",
    commands: LOAD,
    errnos: [E2BIG],
    find: instructionCount,
  },
  {
    id: "bad-object-name",
    title: "the name is too long, or has a character that Linux doesn't take",
    commands: [...LOAD, BPF.BPF_MAP_CREATE],
    errnos: [EINVAL],
    find: badName,
  },
  {
    id: "unknown-load-flags",
    title: "a flag is set that BPF_PROG_LOAD doesn't know",
    commands: LOAD,
    errnos: [EINVAL],
    find: flagsGiven,
  },
  {
    id: "unknown-section",
    title: "the name of the program's section says nothing of its type",
    commands: LOAD,
    errnos: [EINVAL],
    find: unknownSection,
  },
  {
    id: "wrong-expected-attach-type",
    title: "the program was loaded for another attach type than its type allows",
    commands: LOAD,
    errnos: [EINVAL],
    find: expectedAttachType,
  },
  {
    id: "prog-array-owner",
    title: "the prog array belongs to programs of another type",
    commands: LOAD,
    errnos: [EINVAL],
    find: otherOwner,
  },
  {
    id: "program-type-missing",
    title: "the kernel has no programs of this type",
    commands: LOAD,
    errnos: [EINVAL],
    find: unknownType,
  },
  {
    id: "log-too-small",
    title: "the log doesn't fit",
    commands: [...LOAD, BPF.BPF_BTF_LOAD],
    errnos: [ENOSPC],
    find: logRoom,
  },
  {
    id: "btf-refused",
    title: "the kernel doesn't take these types",
    commands: [BPF.BPF_BTF_LOAD],
    errnos: [EINVAL],
    find: btfRefused,
  },
];
