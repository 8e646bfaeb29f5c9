/**
 * What both kernels are given: maps, BTF, and programs with the fds of that kernel in them.
 */

import { BTF_LOAD, MAP_CREATE, MAP_ELEM, MAP_FREEZE, PROG_LOAD } from "../../src/abi/attr.ts";
import * as BPF from "../../src/abi/bpf.ts";
import { EAGAIN } from "../../src/abi/errno.ts";
import { BPF_PSEUDO_FUNC, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "../../src/abi/insn.ts";
import { encode } from "../../src/abi/layout.ts";
import { encodeInstructions, isLoadImm64 } from "../../src/asm/index.ts";
import { debugTypes, functionBtf } from "../verifier/functions.ts";
import type { Linked } from "./code.ts";
import { FROZEN, FROZEN_BYTES, MAPS } from "./maps.ts";

/** bpf(2) of one task, and where its buffers are. */
export interface Calls {
  bpf(cmd: number, attr: Uint8Array): number;
  addressOf(buffer: Uint8Array): bigint;
}

/** What was made in a kernel. */
export interface Furniture {
  /** Fds in the order of {@link MAPS}. */
  readonly maps: readonly number[];
  readonly btf: number;
}

const LICENSE: Uint8Array = new TextEncoder().encode("GPL\0");
const FUNC_INFO_SIZE = 8;
const MAX_TRIES = 5;
const CANARY_BYTE = 0x5a;

export function words(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

/** What every element of a map begins with: other bytes in each map. */
export function firstValue(map: number): Uint8Array {
  const size = MAPS[map]?.valueSize ?? 0;
  if (map === FROZEN) return FROZEN_BYTES;
  return Uint8Array.from({ length: size }, (_, at) => CANARY_BYTE ^ Math.imul(map + 1, at + 1));
}

function checked(result: number, what: string): number {
  if (result < 0) throw new RangeError(`${what}: errno ${-result}`);
  return result;
}

/** @throws {RangeError} when the kernel has no memory for it. */
export function furnish(calls: Calls): Furniture {
  const maps = MAPS.map(({ valueSize, maxEntries, flags }) =>
    checked(
      calls.bpf(
        BPF.BPF_MAP_CREATE,
        encode(MAP_CREATE, {
          map_type: BPF.BPF_MAP_TYPE_ARRAY,
          key_size: 4,
          value_size: valueSize,
          max_entries: maxEntries,
          map_flags: flags,
        }),
      ),
      "map",
    ),
  );
  for (const [map, fd] of maps.entries()) {
    for (let i = 0; i < (MAPS[map]?.maxEntries ?? 0); i++) update(calls, fd, i, firstValue(map));
  }
  checked(
    calls.bpf(BPF.BPF_MAP_FREEZE, encode(MAP_FREEZE, { map_fd: maps[FROZEN] ?? -1 })),
    "freeze",
  );
  const raw = functionBtf();
  const attr = encode(BTF_LOAD, { btf: calls.addressOf(raw), btf_size: raw.length });
  return { maps, btf: checked(calls.bpf(BPF.BPF_BTF_LOAD, attr), "BTF") };
}

/** Sets one element. */
export function update(calls: Calls, fd: number, index: number, value: Uint8Array): void {
  const key = words(index);
  const attr = encode(MAP_ELEM, {
    map_fd: fd,
    key: calls.addressOf(key),
    value: calls.addressOf(value),
  });
  checked(calls.bpf(BPF.BPF_MAP_UPDATE_ELEM, attr), "update");
}

/** Puts numbers where maps are named: fds, or addresses. */
export function relocated(
  { instructions }: Linked,
  mapOf: (index: number, isValue: boolean) => number,
): Linked["instructions"] {
  return instructions.map((insn) => {
    const { src } = insn;
    const isMap = src === BPF_PSEUDO_MAP_FD || src === BPF_PSEUDO_MAP_VALUE;
    if (!isLoadImm64(insn) || !isMap) return insn;
    return { ...insn, imm: mapOf(insn.imm, src === BPF_PSEUDO_MAP_VALUE) };
  });
}

/** Loads a program. @returns an fd or a negative errno. */
export function loadProgram(
  calls: Calls,
  { maps, btf }: Furniture,
  program: Linked,
  log: Uint8Array | null = null,
): number {
  const insns = encodeInstructions(relocated(program, (index) => maps[index] ?? -1));
  const attr = encode(PROG_LOAD, {
    prog_type: program.type,
    insn_cnt: program.instructions.length,
    insns: calls.addressOf(insns),
    license: calls.addressOf(LICENSE),
    ...(log !== null && { log_level: 2, log_size: log.length, log_buf: calls.addressOf(log) }),
    ...functionTypes(calls, program, btf),
  });
  // Linux gives up a verification that a signal interrupts.
  for (let tries = 1; ; tries++) {
    const result = calls.bpf(BPF.BPF_PROG_LOAD, attr);
    if (result !== -EAGAIN || tries === MAX_TRIES) return result;
  }
}

/** Only BTF makes a function global, and lets a helper call one back. */
function functionTypes(
  calls: Calls,
  { type, functions, instructions }: Linked,
  btf: number,
): Readonly<Record<string, number | bigint>> {
  const isGlobal = functions.slice(1).some(([, global]) => global);
  const isCalledBack = instructions.some(
    (insn) => isLoadImm64(insn) && insn.src === BPF_PSEUDO_FUNC,
  );
  if (!isGlobal && !isCalledBack) return {};
  const { functions: infos } = debugTypes(
    type,
    functions.map(([slot, global], i) => {
      if (i === 0) return [slot, "main"] as const;
      return [slot, global ? "numbers" : "static"] as const;
    }),
  );
  const records = words(...infos.flat());
  return {
    prog_btf_fd: btf,
    func_info: calls.addressOf(records),
    func_info_rec_size: FUNC_INFO_SIZE,
    func_info_cnt: infos.length,
  };
}
