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
const DECL_TAG = 17 << 24;
const GLOBAL = 1;

/** Strings: "int" at 1, "long" at 5, "f" at 10, "xdp_md" at 12, and tags from 19 on. */
const STRINGS: Uint8Array = new TextEncoder().encode(
  "\0int\0long\0f\0xdp_md\0arg:nonnull\0arg:ctx\0arg:nullable\0arg:other\0",
);
const [NONNULL, CONTEXT, NULLABLE, OTHER] = [19, 31, 39, 52];
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
  [0, PTR, 0], // 15: void *
  [0, FUNC_PROTO | 1, 1, FUNCTION_NAME, 15], // 16: int (void *)
  [FUNCTION_NAME, FUNC | GLOBAL, 16], // 17: int f(void * ctx)
  [CONTEXT, DECL_TAG, 17, 0],
  [FUNCTION_NAME, FUNC | GLOBAL, 5], // 19: int f(long * nonnull)
  [NONNULL, DECL_TAG, 19, 0],
  [FUNCTION_NAME, FUNC | GLOBAL, 5], // 21: int f(long * nullable)
  [NULLABLE, DECL_TAG, 21, 0],
  [FUNCTION_NAME, FUNC | GLOBAL, 5], // 23: int f(long * other)
  [OTHER, DECL_TAG, 23, 0],
  [FUNCTION_NAME, FUNC | GLOBAL, 5], // 25: int f(long * ctx)
  [CONTEXT, DECL_TAG, 25, 0],
  [FUNCTION_NAME, FUNC | GLOBAL, 4], // 27: int f(int nonnull)
  [NONNULL, DECL_TAG, 27, 0],
];

/** Ids of the FUNCs above. */
export const FUNCTION_IDS: Readonly<Record<FunctionKind, number>> = {
  main: 8,
  static: 7,
  "int f(int)": 8,
  "int f(long *)": 9,
  "int f(struct xdp_md *)": 14,
  "void f(int)": 10,
  "int f(void * ctx)": 17,
  "int f(long * nonnull)": 19,
  "int f(long * nullable)": 21,
  "int f(long * other)": 23,
  "int f(long * ctx)": 25,
  "int f(int nonnull)": 27,
};

/** The BTF as BPF_BTF_LOAD takes it. */
export function functionBtf(): Uint8Array {
  return encodeBtf(TYPES, STRINGS);
}
