/**
 * Verifiers to ask about rows: the embedded kernel's and Linux's.
 */

import { BTF_LOAD, PROG_LOAD } from "../../../src/abi/attr.ts";
import { BPF_BTF_LOAD, BPF_PROG_LOAD } from "../../../src/abi/bpf.ts";
import { errnoName } from "../../../src/abi/errno.ts";
import { encode } from "../../../src/abi/layout.ts";
import { assemble, decodeInstructions, isLoadImm64 } from "../../../src/asm/index.ts";
import { explainVerdict } from "../../../src/index.ts";
import { EmbeddedKernel } from "../../../src/kernel/index.ts";
import { BPF_LOG_LEVEL1 } from "../../../src/kernel/verifier/log.ts";
import type { Kernel } from "../../../src/kernel.ts";
import { openLinuxKernel } from "../../../src/linux/index.ts";
import { withCapabilities } from "../../diagnosis/linux_capabilities.ts";
import type { Capability } from "../../diagnosis/trial.ts";
import { FUNCTION_IDS, functionBtf } from "./function_types.ts";
import { TableMaps } from "./maps.ts";
import { type Row, TYPES, type Verdict } from "./row.ts";

/** Judges rows. */
export interface Judge extends Disposable {
  judge(row: Row): Verdict & { readonly log: string };
  /** The log of a load, whatever comes of it. */
  log(row: Row, level: number): string;
}

/** What a loader has to have; CAP_SYS_ADMIN would stand for all of them. */
const ALL: readonly Capability[] = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"];
const LOG_SIZE = 1 << 22;
const FUNC_INFO_SIZE = 8;

/** What programs of the table name, in one kernel. */
class Furniture implements Disposable {
  readonly maps: TableMaps;
  readonly btfFd: number;
  readonly #kernel: Kernel;
  readonly #log: Uint8Array = new Uint8Array(LOG_SIZE);

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.maps = new TableMaps(kernel);
    const btf = functionBtf();
    const attr = encode(BTF_LOAD, { btf: kernel.addressOf(btf), btf_size: btf.length });
    this.btfFd = kernel.bpf(BPF_BTF_LOAD, attr);
  }

  /** Loads a row's program and lets go of it. */
  load(row: Row, loader: Loader): Verdict & { log: string } {
    const request = requestOf(row, loader);
    const result = this.#try(loader.kernel, request, 0);
    if (result >= 0) return { errno: "", cause: "", log: "" };
    const text = this.log(row, loader, BPF_LOG_LEVEL1);
    const cause = explainVerdict(text, { instructions: request.insns }).cause?.id ?? "";
    return { errno: errnoName(-result), cause, log: text };
  }

  /** The log of a row's load. */
  log(row: Row, loader: Loader, level: number): string {
    const log = this.#log;
    // A log may be longer than its room; its end is there, but the errno is about that then.
    log.fill(0, 0, 1);
    this.#try(loader.kernel, requestOf(row, loader), level);
    return new TextDecoder().decode(log.subarray(0, log.indexOf(0)));
  }

  /** @returns an fd that is closed already, or a negative errno. */
  #try(kernel: Kernel, { given }: Request, level: number): number {
    const log = this.#log;
    const result = kernel.bpf(
      BPF_PROG_LOAD,
      encode(PROG_LOAD, {
        ...given,
        ...(level !== 0 && {
          log_level: level,
          log_size: log.length,
          log_buf: kernel.addressOf(log),
        }),
      }),
    );
    if (result >= 0) kernel.close(result);
    return result;
  }

  [Symbol.dispose](): void {
    this.maps[Symbol.dispose]();
    this.#kernel.close(this.btfFd);
  }
}

/** Who loads, and what the names in a row stand for. */
interface Loader {
  readonly kernel: Kernel;
  readonly constants: Record<string, number>;
  readonly btfFd: number;
}

/** A row's program as BPF_PROG_LOAD takes it. */
interface Request {
  readonly insns: Uint8Array;
  readonly given: Parameters<typeof encode<typeof PROG_LOAD>>[1];
}

function requestOf(row: Row, { kernel, constants, btfFd }: Loader): Request {
  const { type, attachType } = TYPES[row.type ?? "xdp"];
  const insns = assemble(row.text, { constants });
  const records = functionRecords(row, insns);
  const given = {
    prog_type: type,
    expected_attach_type: attachType,
    prog_flags: row.flags ?? 0,
    insns: kernel.addressOf(insns),
    insn_cnt: insns.length / 8,
    license: kernel.addressOf(new TextEncoder().encode(`${row.license ?? "GPL"}\0`)),
    ...(records.length > 0 && {
      prog_btf_fd: btfFd,
      func_info: kernel.addressOf(records),
      func_info_rec_size: FUNC_INFO_SIZE,
      func_info_cnt: records.length / FUNC_INFO_SIZE,
    }),
  };
  return { insns, given };
}

/** func_info: the functions begin where something calls or names them. */
function functionRecords({ functions }: Row, bytes: Uint8Array): Uint8Array {
  if (functions === undefined) return new Uint8Array(0);
  const starts = new Set([0]);
  for (const [slot, insn] of decodeInstructions(bytes).entries()) {
    const { opcode, src, imm } = insn;
    if ((opcode === CALL && src === 1) || (isLoadImm64(insn) && src === FUNCTION)) {
      starts.add(slot + imm + 1);
    }
  }
  const sorted = [...starts].sort((a, b) => a - b);
  const records = sorted.flatMap((start, i) => [start, FUNCTION_IDS[functions[i] ?? "static"]]);
  return new Uint8Array(Uint32Array.from(records).buffer);
}

/** BPF_JMP | BPF_CALL, and BPF_PSEUDO_FUNC of a two-slot load. */
const CALL = 0x85;
const FUNCTION = 4;

function capabilitiesOf({ without }: Row): readonly Capability[] {
  if (without === "all capabilities") return [];
  return ALL.filter((capability) => capability !== without);
}

/** The embedded kernel's verifier. */
export function embeddedJudge(): Judge {
  const kernel = EmbeddedKernel.boot({ possibleCpus: 2, unprivilegedBpfDisabled: 0 });
  const furniture = new Furniture(kernel);
  const { btfFd } = furniture;
  const within = <T>(row: Row, use: (loader: Loader) => T): T => {
    const constants = furniture.maps.constants(row.type ?? "xdp");
    if (row.without === undefined) return use({ kernel, constants, btfFd });
    using task = kernel.task({ capabilities: capabilitiesOf(row) });
    const pass = (fd: number): number => kernel.passFd(fd, task);
    const passed = Object.entries(constants).map(([name, fd]) => [name, pass(fd)]);
    return use({ kernel: task, constants: Object.fromEntries(passed), btfFd: pass(btfFd) });
  };
  return judgeOf(kernel, furniture, within);
}

/** This machine's verifier. */
export async function linuxJudge(): Promise<Judge> {
  const kernel = await openLinuxKernel();
  const furniture = new Furniture(kernel);
  return judgeOf(kernel, furniture, (row, use) => {
    const constants = furniture.maps.constants(row.type ?? "xdp");
    const load = () => use({ kernel, constants, btfFd: furniture.btfFd });
    return row.without === undefined ? load() : withCapabilities(capabilitiesOf(row), load);
  });
}

function judgeOf(
  kernel: Kernel & Disposable,
  furniture: Furniture,
  within: <T>(row: Row, use: (loader: Loader) => T) => T,
): Judge {
  return {
    judge: (row) => within(row, (loader) => furniture.load(row, loader)),
    log: (row, level) => within(row, (loader) => furniture.log(row, loader, level)),
    [Symbol.dispose]() {
      furniture[Symbol.dispose]();
      kernel[Symbol.dispose]();
    },
  };
}
