/**
 * Types of the functions of generated programs: what each takes, and whether it is static, as BTF.
 */

import * as BPF from "../../src/abi/bpf.ts";
import { encodeBtf } from "../btf.ts";
import type { DebugTypes } from "./program.ts";

// Kinds of types, in the bits where they stand (kind << 24), and FUNC's linkage.
const INT: number = 1 << 24;
const PTR: number = 2 << 24;
const STRUCT: number = 4 << 24;
const TYPEDEF: number = 8 << 24;
const CONST: number = 10 << 24;
const FUNC: number = 12 << 24;
const FUNC_PROTO: number = 13 << 24;
const STATIC = 0;
const GLOBAL = 1;

/** A function as programs are made of them. */
export type FunctionKind = keyof typeof SIGNATURES;

// Ids of the types below, in their order.
const VOID = 0;
const NUMBER = 1;
const LONG = 2;
const XDP_MD = 3;
const SK_BUFF = 4;
const SK_LOOKUP = 5;
const PAIR = 6;
const XDP_POINTER = 7;
const SK_BUFF_POINTER = 8;
const SK_LOOKUP_POINTER = 9;
const NUMBER_POINTER = 10;
const LONG_POINTER = 11;
const PAIR_POINTER = 12;
const VOID_POINTER = 13;
const CONST_NUMBER = 14;
const CONST_POINTER = 15;
const TYPEDEF_NUMBER = 16;
const BYTE = 17;

/** By program type: a pointer to its context. */
const CONTEXT = -1;
const CONTEXT_POINTERS: Readonly<Record<number, number>> = {
  [BPF.BPF_PROG_TYPE_XDP]: XDP_POINTER,
  [BPF.BPF_PROG_TYPE_SOCKET_FILTER]: SK_BUFF_POINTER,
  [BPF.BPF_PROG_TYPE_FLOW_DISSECTOR]: SK_BUFF_POINTER,
  [BPF.BPF_PROG_TYPE_SK_LOOKUP]: SK_LOOKUP_POINTER,
};

/** Linkage, what is returned, what is taken. */
const SIGNATURES = {
  main: [GLOBAL, NUMBER, CONTEXT],
  static: [STATIC, NUMBER, LONG],
  "static void": [STATIC, VOID, LONG],
  number: [GLOBAL, NUMBER, NUMBER],
  numbers: [GLOBAL, LONG, LONG, CONST_NUMBER],
  nothing: [GLOBAL, NUMBER],
  context: [GLOBAL, NUMBER, CONTEXT],
  "context and number": [GLOBAL, NUMBER, CONTEXT, TYPEDEF_NUMBER],
  "int *": [GLOBAL, NUMBER, NUMBER_POINTER],
  "long *": [GLOBAL, NUMBER, LONG_POINTER, LONG],
  "pair *": [GLOBAL, NUMBER, PAIR_POINTER, NUMBER],
  "const int *": [GLOBAL, NUMBER, CONST_POINTER],
  "returns a byte": [GLOBAL, BYTE, LONG],
  "returns void": [GLOBAL, VOID, NUMBER],
  "returns a pointer": [GLOBAL, NUMBER_POINTER, NUMBER],
  "void *": [GLOBAL, NUMBER, VOID_POINTER],
  "struct by value": [GLOBAL, NUMBER, PAIR],
} as const;

const KINDS = Object.keys(SIGNATURES) as FunctionKind[];
const TYPES = Object.keys(CONTEXT_POINTERS).map(Number);

class Strings {
  readonly #bytes: number[] = [0];

  add(text: string): number {
    const at = this.#bytes.length;
    for (const char of `${text}\0`) this.#bytes.push(char.charCodeAt(0));
    return at;
  }

  get bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

function typeWords(strings: Strings): number[][] {
  const name = (text: string): number => strings.add(text);
  const struct = (text: string): number[] => [name(text), STRUCT | 1, 4, name("field"), NUMBER, 0];
  const types: number[][] = [
    [name("int"), INT, 4, (1 << 24) | 32],
    [name("long"), INT, 8, 64],
    struct("xdp_md"),
    struct("__sk_buff"),
    struct("bpf_sk_lookup"),
    [name("pair"), STRUCT | 2, 16, name("first"), LONG, 0, name("second"), LONG, 64],
    ...[XDP_MD, SK_BUFF, SK_LOOKUP, NUMBER, LONG, PAIR, VOID].map((to) => [0, PTR, to]),
    [0, CONST, NUMBER],
    [0, PTR, CONST_NUMBER],
    [name("number_t"), TYPEDEF, NUMBER],
    [name("byte"), INT, 1, 8],
  ];
  for (const progType of TYPES) {
    for (const kind of KINDS) {
      const [linkage, result, ...given] = SIGNATURES[kind];
      const parameters = given.map((type) =>
        type === CONTEXT ? (CONTEXT_POINTERS[progType] as number) : type,
      );
      const named = parameters.flatMap((type, i) => [name(`arg${i}`), type]);
      types.push([0, FUNC_PROTO | parameters.length, result, ...named]);
      types.push([name(`f${types.length}`), FUNC | linkage, types.length]);
    }
  }
  return types;
}

const FIRST_FUNCTION = BYTE + 2;

/** The FUNC of a kind of function in programs of a type. */
function typeIdOf(progType: number, kind: FunctionKind): number {
  const index = TYPES.indexOf(progType) * KINDS.length + KINDS.indexOf(kind);
  return FIRST_FUNCTION + 2 * index;
}

/** Types for all functions of generated programs, for BPF_BTF_LOAD. */
export function functionBtf(): Uint8Array {
  const strings = new Strings();
  const types = typeWords(strings);
  return encodeBtf(types, strings.bytes);
}

/** Index of {@link functionBtf} among the BTF of a world; that of compiled objects follows. */
export const FUNCTION_BTF = 0;

/** What is told of functions, by first slot. */
export function debugTypes(
  progType: number,
  functions: readonly (readonly [slot: number, kind: FunctionKind])[],
): DebugTypes {
  return {
    btf: FUNCTION_BTF,
    functions: functions.map(([slot, kind]) => [slot, typeIdOf(progType, kind)]),
  };
}
