/**
 * BTF for the functions of programs: what each takes, and whether it is static.
 */

import { encodeBtf } from "../../btf.ts";
import type { FunctionKind } from "./row.ts";

// Kinds of types, where they stand in a type's info.
const INT = 1 << 24;
const PTR = 2 << 24;
const STRUCT = 4 << 24;
const FUNC = 12 << 24;
const FUNC_PROTO = 13 << 24;
const GLOBAL = 1;

/** Strings: "int" at 1, "long" at 5, "f" at 10, "xdp_md" at 12. */
const STRINGS: Uint8Array = new TextEncoder().encode("\0int\0long\0f\0xdp_md\0");
const [INT_NAME, LONG_NAME, FUNCTION_NAME, CONTEXT_NAME] = [1, 5, 10, 12];

/** struct btf_type and what follows it, type by type; ids count from 1. */
const TYPES: readonly (readonly number[])[] = [
  [INT_NAME, INT, 4, (1 << 24) | 32], // 1: int
  [LONG_NAME, INT, 8, (1 << 24) | 64], // 2: long
  [0, PTR, 2], // 3: long *
  [0, FUNC_PROTO | 1, 1, FUNCTION_NAME, 1], // 4: int (int)
  [0, FUNC_PROTO | 1, 1, FUNCTION_NAME, 3], // 5: int (long *)
  [0, FUNC_PROTO | 1, 0, FUNCTION_NAME, 1], // 6: void (int)
  [FUNCTION_NAME, FUNC, 4], // 7: static
  [FUNCTION_NAME, FUNC | GLOBAL, 4], // 8: int f(int)
  [FUNCTION_NAME, FUNC | GLOBAL, 5], // 9: int f(long *)
  [FUNCTION_NAME, FUNC | GLOBAL, 6], // 10: void f(int)
  [CONTEXT_NAME, STRUCT, 0], // 11: struct xdp_md
  [0, PTR, 11], // 12: struct xdp_md *
  [0, FUNC_PROTO | 1, 1, FUNCTION_NAME, 12], // 13: int (struct xdp_md *)
  [FUNCTION_NAME, FUNC | GLOBAL, 13], // 14: int f(struct xdp_md *)
];

/** Ids of the FUNCs above. */
export const FUNCTION_IDS: Readonly<Record<FunctionKind, number>> = {
  main: 8,
  static: 7,
  "int f(int)": 8,
  "int f(long *)": 9,
  "int f(struct xdp_md *)": 14,
  "void f(int)": 10,
};

/** The BTF as BPF_BTF_LOAD takes it. */
export function functionBtf(): Uint8Array {
  return encodeBtf(TYPES, STRINGS);
}
