/**
 * Maps of these programs, in the order in which they are made: each one that programs write lies
 * between two that none names.
 */

import { BPF_F_RDONLY_PROG } from "../../src/abi/bpf.ts";

/** An array. */
export interface MapSpec {
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

function array(valueSize: number, maxEntries = 1, flags = 0): MapSpec {
  return { valueSize, maxEntries, flags };
}

/** Bytes of what no program names. */
const CANARY = array(256);

export const MAPS: readonly MapSpec[] = [
  CANARY,
  array(64),
  CANARY,
  array(128),
  CANARY,
  array(8),
  CANARY,
  array(64),
  CANARY,
  array(301),
  CANARY,
  array(4096),
  CANARY,
  array(16, 4),
  CANARY,
  array(8, 1, BPF_F_RDONLY_PROG),
  CANARY,
];

/** Numbers that whoever runs a program chooses: a token, then three numbers. */
export const IN = 1;
/** What a run leaves behind: see {@link OUT_BYTES}. */
export const OUT = 3;
/** What programs write at offsets that they compute, from small to large. */
export const BUFFERS: readonly number[] = [5, 7, 9, 11];
/** Four values of 16 bytes. */
export const SEVERAL = 13;
/** Frozen before programs are loaded: {@link FROZEN_BYTES}. */
export const FROZEN = 15;

/** Maps that programs may write. */
export const WRITABLE: readonly number[] = [IN, OUT, ...BUFFERS, SEVERAL];

export const IN_NUMBERS = 4;
/** Offsets in {@link OUT}: the token as r9, and as the stack kept it, and the number used. */
export const OUT_BYTES = { register: 0, stackAbove: 8, stackBelow: 16, used: 24 } as const;
/** "ab" and a NUL. */
export const FROZEN_BYTES: Uint8Array = Uint8Array.of(0x61, 0x62, 0, 0, 0, 0, 0, 0);
