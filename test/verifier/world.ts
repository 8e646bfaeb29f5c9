/**
 * Kernels that judge test programs: the embedded one and Linux, each with the same maps and BTF.
 */

import { BTF_LOAD, OBJ_GET_INFO, PROG_LOAD } from "../../src/abi/attr.ts";
import { BPF_BTF_LOAD, BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_LOAD } from "../../src/abi/bpf.ts";
import { EAGAIN } from "../../src/abi/errno.ts";
import { BPF_PROG_INFO_SIZE, PROG_INFO } from "../../src/abi/info.ts";
import { BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "../../src/abi/insn.ts";
import { decode, encode } from "../../src/abi/layout.ts";
import { encodeInstructions, isLoadImm64 } from "../../src/asm/index.ts";
import type { BpfMap } from "../../src/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { BPF_LOG_LEVEL2 } from "../../src/kernel/verifier/log.ts";
import type { Kernel } from "../../src/kernel.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { withCapabilities } from "../diagnosis/linux_capabilities.ts";
import type { Capability } from "../diagnosis/trial.ts";
import { functionBtf } from "./functions.ts";
import { MAPS, makeMap, type TestMap } from "./maps.ts";
import { objectBtf } from "./objects.ts";
import type { Rights, TestProgram } from "./program.ts";

/** What a verifier says. */
export interface Verdict {
  /** 0 or negative. */
  readonly errno: number;
  /** Instructions that it walked; 0 when it refuses. */
  readonly processed: number;
}

/** A kernel that judges. */
export interface World extends Disposable {
  readonly name: string;
  judge(program: TestProgram): Verdict;
  /** Its log of a load, by default at level 2. */
  log(program: TestProgram, level?: number): string;
}

/** What the loader keeps when it has no CAP_PERFMON: CAP_SYS_ADMIN would stand for it. */
export const WITHOUT_PERFMON: readonly Capability[] = ["CAP_BPF", "CAP_NET_ADMIN"];
/** What loaders have who haven't everything. */
const CAPABILITIES: Readonly<Record<Exclude<Rights, "all">, readonly Capability[]>> = {
  "no perfmon": WITHOUT_PERFMON,
  unprivileged: [],
};
/** One for all logs: with one each, two thirds of `fuzz:verifier` went into collecting them. */
const LOG: Uint8Array = new Uint8Array(1 << 24);
const FUNC_INFO_SIZE = 8;
const MAX_TRIES = 5;

/** Fds of what programs name by index. */
export interface Fds {
  readonly maps: readonly number[];
  readonly btf: readonly number[];
}

/** Loads a program, with a log or without. @returns an fd or a negative errno. */
export function loadProgram(
  kernel: Kernel,
  fds: Fds,
  program: TestProgram,
  log: Uint8Array | null = null,
  level: number = BPF_LOG_LEVEL2,
): number {
  const insns = encodeInstructions(
    program.instructions.map((insn) => {
      const { src } = insn;
      const isMap = src === BPF_PSEUDO_MAP_FD || src === BPF_PSEUDO_MAP_VALUE;
      return isLoadImm64(insn) && isMap ? { ...insn, imm: fds.maps[insn.imm] ?? -1 } : insn;
    }),
  );
  const { debug } = program;
  const records = new Uint8Array(Uint32Array.from(debug?.functions.flat() ?? []).buffer);
  const attr = encode(PROG_LOAD, {
    prog_type: program.type,
    insn_cnt: insns.length / 8,
    insns: kernel.addressOf(insns),
    license: kernel.addressOf(new TextEncoder().encode(`${program.license}\0`)),
    prog_flags: program.flags,
    expected_attach_type: program.attachType,
    ...(log !== null && { log_level: level, log_size: log.length, log_buf: kernel.addressOf(log) }),
    ...(debug !== null && {
      prog_btf_fd: fds.btf[debug.btf] ?? -1,
      func_info: kernel.addressOf(records),
      func_info_rec_size: FUNC_INFO_SIZE,
      func_info_cnt: records.length / FUNC_INFO_SIZE,
    }),
  });
  // Linux gives up a verification that a signal interrupts.
  for (let tries = 1; ; tries++) {
    const result = kernel.bpf(BPF_PROG_LOAD, attr);
    if (result !== -EAGAIN || tries === MAX_TRIES) return result;
  }
}

/** Lets go of what a load gave. */
function settle(kernel: Kernel, result: number): Verdict {
  if (result < 0) return { errno: result, processed: 0 };
  const info = new Uint8Array(BPF_PROG_INFO_SIZE);
  const attr = encode(OBJ_GET_INFO, {
    bpf_fd: result,
    info_len: info.length,
    info: kernel.addressOf(info),
  });
  const errno = kernel.bpf(BPF_OBJ_GET_INFO_BY_FD, attr);
  kernel.close(result);
  return { errno, processed: decode(PROG_INFO, info).verified_insns };
}

/** A load that is refused before it is verified writes no log. */
function emptyLog(): Uint8Array {
  LOG[0] = 0;
  return LOG;
}

function textOf(log: Uint8Array): string {
  return new TextDecoder().decode(log.subarray(0, log.indexOf(0)));
}

/** What was made in a kernel for programs. */
export interface Furniture extends Fds, Disposable {
  readonly made: readonly BpfMap[];
}

/** Makes maps and BTF in a kernel, and puts a program into the prog array. */
export function furnish(kernel: Kernel, wanted: readonly TestMap[] = MAPS): Furniture {
  const maps = wanted.map((map) => makeMap(kernel, map));
  const btf = [functionBtf(), ...objectBtf()].map((raw) => {
    if (raw === null) return -1;
    const given = { btf: kernel.addressOf(raw), btf_size: raw.length };
    return kernel.bpf(BPF_BTF_LOAD, encode(BTF_LOAD, given));
  });
  return {
    made: maps,
    maps: maps.map(({ fd }) => fd),
    btf,
    [Symbol.dispose](): void {
      for (const map of maps) map[Symbol.dispose]();
      for (const fd of btf) if (fd >= 0) kernel.close(fd);
    },
  };
}

/** The embedded kernel, which can be had programs from. */
export interface EmbeddedWorld extends World {
  readonly kernel: EmbeddedKernel;
  /** An fd of `kernel`, or a negative errno. */
  load(program: TestProgram): number;
}

/** The kernel in this process. */
export function embeddedWorld(possibleCpus: number): EmbeddedWorld {
  const kernel = EmbeddedKernel.boot({
    possibleCpus,
    engine: "interpreter",
    unprivilegedBpfDisabled: 0,
  });
  const fds = furnish(kernel);
  const restrict = (rights: Exclude<Rights, "all">): [EmbeddedKernel, Fds] => {
    const task = kernel.task({ capabilities: CAPABILITIES[rights] });
    const maps = fds.maps.map((fd) => kernel.passFd(fd, task));
    const btf = fds.btf.map((fd) => (fd < 0 ? fd : kernel.passFd(fd, task)));
    return [task, { maps, btf }];
  };
  const loaders: Readonly<Record<Rights, [EmbeddedKernel, Fds]>> = {
    all: [kernel, fds],
    "no perfmon": restrict("no perfmon"),
    unprivileged: restrict("unprivileged"),
  };
  return {
    name: "embedded",
    kernel,
    load(program) {
      const [task, known] = loaders[program.rights];
      const fd = loadProgram(task, known, program);
      if (fd < 0 || task === kernel) return fd;
      const own = task.passFd(fd, kernel);
      task.close(fd);
      return own;
    },
    judge(program) {
      const [task, known] = loaders[program.rights];
      return settle(task, loadProgram(task, known, program));
    },
    log(program, level) {
      const [task, known] = loaders[program.rights];
      settle(task, loadProgram(task, known, program, emptyLog(), level));
      return textOf(LOG);
    },
    [Symbol.dispose](): void {
      fds[Symbol.dispose]();
      kernel[Symbol.dispose]();
    },
  };
}

/** The kernel of this machine, as root. */
export async function linuxWorld(): Promise<World & { readonly possibleCpus: number }> {
  const kernel = await openLinuxKernel();
  const fds = furnish(kernel);
  const within = <T>(rights: Rights, call: () => T): T =>
    rights === "all" ? call() : withCapabilities(CAPABILITIES[rights], call);
  return {
    name: "linux",
    possibleCpus: kernel.possibleCpus,
    judge(program) {
      const result = within(program.rights, () => loadProgram(kernel, fds, program));
      return settle(kernel, result);
    },
    log(program, level) {
      settle(
        kernel,
        within(program.rights, () => loadProgram(kernel, fds, program, emptyLog(), level)),
      );
      return textOf(LOG);
    },
    [Symbol.dispose](): void {
      fds[Symbol.dispose]();
      kernel[Symbol.dispose]();
    },
  };
}
