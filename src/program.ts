/**
 * Loaded programs.
 */

import { PROG_ATTACH, PROG_LOAD, TEST_RUN } from "./abi/attr.ts";
import * as BPF from "./abi/bpf.ts";
import { ENOSPC } from "./abi/errno.ts";
import { BPF_FLOW_KEYS_SIZE } from "./abi/flow_keys.ts";
import { hexText } from "./abi/hex_text.ts";
import { BPF_PROG_INFO_SIZE, PROG_INFO } from "./abi/info.ts";
import type { Values } from "./abi/layout.ts";
import { addressesOf, bpfResult, cString, objectName, textOf, tryBpf } from "./call.ts";
import { callBpf, refusal } from "./diagnosis/refusal.ts";
import { nearestSection } from "./elf/section_names.ts";
import { type BpfError, VerifierError } from "./errors.ts";
import { ObjectHandle, OwnedFd, openById, openPin, readInfo, takeOver } from "./handle.ts";
import type { Kernel } from "./kernel.ts";
import { explainVerdict, type ProgramLine, readStatistics } from "./verdict/index.ts";

/** What to load. */
export interface ProgramOptions {
  /** BPF_PROG_TYPE_… */
  readonly type: number;
  /** Instructions, 8 bytes a slot, with the fds of maps filled in. */
  readonly instructions: Uint8Array;
  /** The kernel keeps the first 15 bytes. */
  readonly name?: string;
  /** The name of its section in an object, for what is said of a program without a type. */
  readonly section?: string;
  readonly license?: string;
  readonly expectedAttachType?: number;
  /** BPF_F_… of BPF_PROG_LOAD. */
  readonly flags?: number;
  /** Where the instructions come from, ordered by slot: for {@link VerifierError.line}. */
  readonly lines?: readonly ProgramLine[];
  /**
   * Asks for the verifier's log, which is {@link Program.log} then: 1 its words, 2 every path that
   * it walks, 4 figures; any sum. A refused program has a log in any case.
   */
  readonly logLevel?: number;
  /** Types and source lines: an fd on BTF, and the records that refer to it. */
  readonly debug?: {
    readonly btfFd: number;
    readonly funcInfo: Uint8Array;
    readonly lineInfo: Uint8Array;
  };
}

/** What a kernel knows of a program. */
export interface ProgramInfo {
  readonly type: number;
  readonly id: number;
  readonly name: string;
  /** 16 hexadecimal digits: the start of the hash of its instructions. */
  readonly tag: string;
  readonly gplCompatible: boolean;
  /** Bytes of its instructions; 0 when the caller may not know. */
  readonly instructionBytes: number;
  /** Ids of its maps. */
  readonly mapIds: readonly number[];
  /** Nanoseconds from boot to load. */
  readonly loadTimeNs: bigint;
  /** Instructions that the verifier walked. */
  readonly verifiedInstructions: number;
}

/** What a run came to. */
export interface RunResult {
  /** What the program returned, a u32. */
  readonly retval: number;
  /** A flow dissector's 56 bytes of flow keys; otherwise the packet as the program left it. */
  readonly data: Uint8Array;
  /** Mean of one run. */
  readonly durationNs: number;
}

/** How to run a program once by hand. */
export interface RunOptions {
  /** How many times; by default once. */
  readonly repeat?: number;
  /** A flow dissector's input flags, BPF_FLOW_DISSECTOR_F_…. */
  readonly flags?: number;
}

/** Room for a log, grown while the kernel says it is too small. */
const FIRST_LOG_BYTES = 1 << 18;
const LAST_LOG_BYTES = 1 << 24;
/** sizeof of the records in func_info and line_info. */
const FUNC_INFO_SIZE = 8;
const LINE_INFO_SIZE = 16;
const NOTHING: Uint8Array = new Uint8Array(0);
/** Levels of the log with words in it, not only figures: BPF_LOG_LEVEL1 and 2. */
const LOG_WORDS = 3;
/** Bytes of an instruction slot. */
const SLOT_BYTES = 8;
/** Room for the ids of maps, used again: few programs have more. */
const usualMapIds: Uint32Array = new Uint32Array(16);
/** By so much a program may make its packet longer, in bytes: a page is what Linux gives it. */
const GROWTH_BYTES = 4096;
/** Where `flags` lies in the context of a flow dissector's run: struct bpf_flow_keys. */
const FLAGS_OFFSET = 48;

/** A program in a kernel. Disposing it lets go of it; links and pins hold it on. */
export class Program extends ObjectHandle {
  readonly info: ProgramInfo;
  /** What the verifier wrote when the program was loaded; "" unless that was asked for. */
  readonly log: string;

  private constructor(owned: OwnedFd, log = "") {
    super(owned);
    this.log = log;
    this.info = readProgramInfo(owned.kernel, owned.number);
  }

  /**
   * Loads a program; most users call {@link Collection.load}, which does this for a whole object.
   *
   * @throws {VerifierError} when the verifier rejects it; the error has the log.
   * @throws {BpfError} EPERM without CAP_BPF (and CAP_NET_ADMIN, for a flow dissector), but for
   *   socket filters where kernel.unprivileged_bpf_disabled is 0; EINVAL.
   */
  static load(kernel: Kernel, options: ProgramOptions): Program {
    const { length } = options.instructions;
    if (length % SLOT_BYTES !== 0) {
      throw new RangeError(`instructions: ${length} bytes are no whole number of 8-byte slots`);
    }
    const { logLevel = 0 } = options;
    const first = tryLoad(kernel, options, logLevel);
    let { log } = first;
    const { result } = first;
    // A refusal alone doesn't say why: ask again for the verifier's words.
    if (result < 0 && (logLevel & LOG_WORDS) === 0) {
      ({ log } = tryLoad(kernel, options, logLevel | 1));
    }
    if (result >= 0) return new Program(new OwnedFd(kernel, result), log);
    throw loadRefusal(kernel, options, result, log);
  }

  /**
   * The program behind an fd, which is taken over: it is closed even if this throws.
   *
   * @throws {TypeError} when the fd isn't open on a program.
   */
  static fromFd(kernel: Kernel, fd: number): Program {
    return takeOver(kernel, fd, "program", (owned) => new Program(owned));
  }

  /**
   * Opens a program by its id.
   *
   * @throws {BpfError} ENOENT when there is none, EPERM without CAP_SYS_ADMIN.
   */
  static fromId(kernel: Kernel, id: number): Program {
    return Program.fromFd(kernel, openById(kernel, "program", id));
  }

  /**
   * Opens a pinned program.
   *
   * @throws {BpfError} ENOENT if nothing is pinned there; EACCES.
   * @throws {TypeError} when something else is pinned there.
   */
  static fromPin(kernel: Kernel, path: string): Program {
    return Program.fromFd(kernel, openPin(kernel, path));
  }

  /**
   * Runs the program on one packet, attached or not (BPF_PROG_TEST_RUN).
   *
   * @param packet - a frame with its Ethernet header; 14 to 4096 bytes for a flow dissector.
   * @throws {BpfError} EINVAL for a packet that is too short or too long, ENOTSUPP for a program
   *   type that can't be run by hand, EIO when the embedded kernel had to stop the program.
   */
  run(packet: Uint8Array, options: RunOptions = {}): RunResult {
    const isDissector = this.info.type === BPF.BPF_PROG_TYPE_FLOW_DISSECTOR;
    const data = new Uint8Array(isDissector ? BPF_FLOW_KEYS_SIZE : packet.length + GROWTH_BYTES);
    const context = new Uint8Array(isDissector ? BPF_FLOW_KEYS_SIZE : 0);
    if (isDissector) new DataView(context.buffer).setUint32(FLAGS_OFFSET, options.flags ?? 0, true);
    const request = {
      prog_fd: this.fd,
      data_size_in: packet.length,
      data_size_out: data.length,
      data_in: this.kernel.addressOf(packet),
      data_out: this.kernel.addressOf(data),
      repeat: options.repeat ?? 1,
      ctx_size_in: context.length,
      ctx_in: context.length === 0 ? 0n : this.kernel.addressOf(context),
    };
    const cmd = BPF.BPF_PROG_TEST_RUN;
    const { result, attr } = tryBpf(this.kernel, cmd, TEST_RUN, request);
    if (result < 0) throw refusal(this.kernel, cmd, result, request);
    return {
      retval: attr.retval,
      data: data.subarray(0, attr.data_size_out),
      durationNs: attr.duration,
    };
  }

  /**
   * Attaches the program to the current network namespace directly, without a link: it stays until
   * it is detached or the namespace dies. Flow dissectors only.
   *
   * @throws {BpfError} EEXIST if a link is there, or the root namespace has a dissector; EINVAL if
   *   this program is attached already.
   */
  attach(): void {
    const request = { attach_bpf_fd: this.fd, attach_type: BPF.BPF_FLOW_DISSECTOR };
    callBpf(this.kernel, BPF.BPF_PROG_ATTACH, PROG_ATTACH, request);
  }

  /**
   * Takes the program off the current network namespace.
   *
   * @throws {BpfError} ENOENT if it isn't attached; EINVAL if a link is.
   */
  detach(): void {
    const request = { attach_bpf_fd: this.fd, attach_type: BPF.BPF_FLOW_DISSECTOR };
    callBpf(this.kernel, BPF.BPF_PROG_DETACH, PROG_ATTACH, request);
  }
}

function loadRequest(
  kernel: Kernel,
  options: ProgramOptions,
  log: Uint8Array | null,
  logLevel: number,
): Partial<Values<typeof PROG_LOAD>> {
  const { instructions, debug } = options;
  const [insns, license, funcInfo, lineInfo] = addressesOf(
    kernel,
    instructions,
    cString(options.license ?? ""),
    debug?.funcInfo ?? NOTHING,
    debug?.lineInfo ?? NOTHING,
  );
  return {
    prog_type: options.type,
    insn_cnt: instructions.length / SLOT_BYTES,
    insns,
    license,
    prog_flags: options.flags ?? 0,
    prog_name: objectName(options.name ?? ""),
    expected_attach_type: options.expectedAttachType ?? 0,
    ...(log !== null && {
      log_level: logLevel,
      log_size: log.length,
      log_buf: kernel.addressOf(log),
    }),
    ...(debug !== undefined && {
      prog_btf_fd: debug.btfFd,
      func_info_rec_size: FUNC_INFO_SIZE,
      func_info: funcInfo,
      func_info_cnt: debug.funcInfo.length / FUNC_INFO_SIZE,
      line_info_rec_size: LINE_INFO_SIZE,
      line_info: lineInfo,
      line_info_cnt: debug.lineInfo.length / LINE_INFO_SIZE,
    }),
  };
}

/** A log buffer that no load is using: a fresh one for each would be zeroed each time. */
let spareLog: Uint8Array | null = null;

/** Loads with as much room for the log as it takes. */
function tryLoad(
  kernel: Kernel,
  options: ProgramOptions,
  logLevel: number,
): { readonly result: number; readonly log: string } {
  if (logLevel === 0) return { result: loadOnce(kernel, options), log: "" };
  const first = spareLog ?? new Uint8Array(FIRST_LOG_BYTES);
  spareLog = null;
  try {
    for (let buffer = first; ; ) {
      // What another load left there must not be read where this one writes nothing.
      buffer[0] = 0;
      const request = loadRequest(kernel, options, buffer, logLevel);
      const { result, attr } = tryBpf(kernel, BPF.BPF_PROG_LOAD, PROG_LOAD, request);
      const log = textOf(buffer);
      if (result !== -ENOSPC) return { result, log };
      // Its end is there, which is enough to know why, and that it has no room is no verdict.
      const isEnough = options.logLevel === undefined && readStatistics(log) !== null;
      if (isEnough || buffer.length >= LAST_LOG_BYTES) {
        return { result: loadOnce(kernel, options), log };
      }
      // Each try verifies the program once more. Linux says since 6.4 how long the log is.
      const wanted = Math.max(attr.log_true_size, 2 * buffer.length);
      buffer = new Uint8Array(Math.min(wanted, LAST_LOG_BYTES));
    }
  } finally {
    spareLog = first;
  }
}

/** Loads without a log. @returns an fd or a negative errno. */
function loadOnce(kernel: Kernel, options: ProgramOptions): number {
  const request = loadRequest(kernel, options, null, 0);
  return bpfResult(kernel, BPF.BPF_PROG_LOAD, PROG_LOAD, request);
}

/** A verdict of the verifier's, or whatever else kept the program out. */
function loadRefusal(
  kernel: Kernel,
  options: ProgramOptions,
  result: number,
  log: string,
): BpfError {
  const { instructions, lines = [], name = "" } = options;
  const attr = loadRequest(kernel, options, null, 0);
  const verdict = explainVerdict(log, { instructions, lines });
  const { section } = options;
  const about = {
    ...{ instructions, lines, log, verdict, name },
    ...(section !== undefined && {
      section: { name: section, nearest: nearestSection(section) },
    }),
  };
  const error = refusal(kernel, BPF.BPF_PROG_LOAD, result, attr, about);
  return verdict.message === "" ? error : new VerifierError(error, log, verdict);
}

/** The fields that are looked at: decoding all forty takes longer than asking for them. */
const INFO = {
  type: PROG_INFO.type,
  id: PROG_INFO.id,
  tag: PROG_INFO.tag,
  xlated_prog_len: PROG_INFO.xlated_prog_len,
  load_time: PROG_INFO.load_time,
  nr_map_ids: PROG_INFO.nr_map_ids,
  map_ids: PROG_INFO.map_ids,
  name: PROG_INFO.name,
  gpl_compatible: PROG_INFO.gpl_compatible,
  verified_insns: PROG_INFO.verified_insns,
} as const;

function readProgramInfo(kernel: Kernel, fd: number): ProgramInfo {
  const read = (ids: Uint32Array): Values<typeof INFO> => {
    const bytes = new Uint8Array(ids.buffer);
    const request = { nr_map_ids: ids.length, map_ids: kernel.addressOf(bytes) };
    return readInfo(kernel, fd, INFO, BPF_PROG_INFO_SIZE, request);
  };
  let ids = usualMapIds;
  let info = read(ids);
  const count = info.nr_map_ids;
  if (count > ids.length) {
    ids = new Uint32Array(count);
    info = read(ids);
  }
  return {
    type: info.type,
    id: info.id,
    name: textOf(info.name),
    tag: hexText(info.tag),
    gplCompatible: (info.gpl_compatible & 1) !== 0,
    instructionBytes: info.xlated_prog_len,
    mapIds: [...ids.subarray(0, count)],
    loadTimeNs: info.load_time,
    verifiedInstructions: info.verified_insns,
  };
}
