/**
 * Writes a program as text, piece by piece, with random choices; what templates are made with.
 *
 * By convention r6 is the context, r7 to r9 outlive calls, and the label `out` ends the program.
 */

import * as BPF from "../../../src/abi/bpf.ts";
import { assemble, decodeInstructions } from "../../../src/asm/index.ts";
import type { Random } from "../../random.ts";
import { debugTypes, type FunctionKind } from "../functions.ts";
import { MAP_INDEX } from "../maps.ts";
import { programOf, type TestProgram } from "../program.ts";

/** Numbers in the context, by program type: what to write behind `*(`. */
const FIELDS: Readonly<Record<number, readonly string[]>> = {
  [BPF.BPF_PROG_TYPE_XDP]: ["u32 *)(r6 + 12)", "u32 *)(r6 + 16)"],
  [BPF.BPF_PROG_TYPE_FLOW_DISSECTOR]: [],
  [BPF.BPF_PROG_TYPE_SOCKET_FILTER]: [
    "u32 *)(r6 + 0)",
    "u8 *)(r6 + 0)",
    "u16 *)(r6 + 16)",
    "u32 *)(r6 + 48)",
    "u64 *)(r6 + 48)",
  ],
  [BPF.BPF_PROG_TYPE_SK_LOOKUP]: ["u32 *)(r6 + 8)", "u16 *)(r6 + 36)", "u8 *)(r6 + 61)"],
};

const TYPES = [
  BPF.BPF_PROG_TYPE_SOCKET_FILTER,
  BPF.BPF_PROG_TYPE_XDP,
  BPF.BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF.BPF_PROG_TYPE_SK_LOOKUP,
];

export const CONDITIONS = ["==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&"];

/** A slot pair of the text: everything else is one slot. */
const WIDE = /\bll$|= map_|= func\[/;

/** A program being written. */
export class Writer {
  readonly random: Random;
  /** BPF_PROG_TYPE_… */
  readonly type: number;
  readonly #lines: string[] = [];
  readonly #functions: (readonly [label: string, kind: FunctionKind])[] = [];
  /** Functions that follow the main one. */
  readonly #later: (() => void)[] = [];
  #labels: number = 0;

  /** @param types - BPF_PROG_TYPE_… to choose from; by default all four. */
  constructor(random: Random, types: readonly number[] = TYPES) {
    this.random = random;
    this.type = random.pick(types);
    this.line("r6 = r1");
  }

  line(...texts: readonly string[]): void {
    this.#lines.push(...texts);
  }

  pick<T>(...choices: readonly T[]): T {
    return this.random.pick(choices);
  }

  chance(percent: number): boolean {
    return this.random.chance(percent);
  }

  /** From `min` to `max`, both included. */
  between(min: number, max: number): number {
    return min + this.random.below(max - min + 1);
  }

  label(): string {
    this.#labels++;
    return `label${this.#labels}`;
  }

  /** A function after the main one. @returns its label. */
  define(kind: FunctionKind, body: () => void): string {
    const name = this.label();
    this.#later.push(() => {
      this.#functions.push([name, kind]);
      this.line(`${name}:`);
      body();
    });
    return name;
  }

  /** Whether functions were defined, which need types. */
  get hasFunctions(): boolean {
    return this.#later.length > 0;
  }

  /** The name of the prog array for programs of this type. */
  get progs(): string {
    return `progs${this.type}`;
  }

  get hasPacket(): boolean {
    return this.type === BPF.BPF_PROG_TYPE_XDP || this.type === BPF.BPF_PROG_TYPE_FLOW_DISSECTOR;
  }

  get hasSkb(): boolean {
    return (
      this.type === BPF.BPF_PROG_TYPE_SOCKET_FILTER ||
      this.type === BPF.BPF_PROG_TYPE_FLOW_DISSECTOR
    );
  }

  /** Puts a number into a register of which little or nothing is known. Clobbers r0 to r5. */
  number(register: string): void {
    const fields = FIELDS[this.type] ?? [];
    const choice = this.between(0, 7);
    if (choice < 3 && fields.length > 0) {
      this.line(`${register} = *(${this.random.pick(fields)}`);
    } else if (choice < 6) {
      this.line("call bpf_get_prandom_u32", `${register} = r0`);
      if (this.chance(20)) this.line(`${wide(register)} = ${wide(register)}`);
    } else if (choice === 6) {
      this.line("call bpf_ktime_get_ns", `${register} = r0`);
    } else {
      this.line("r0 = map_value[data][0]", `${register} = *(${this.size()} *)(r0 + 8)`);
    }
  }

  size(): string {
    return this.pick("u8", "u16", "u32", "u64");
  }

  /** A pointer to a value of `array` (64 bytes) in a register; ends the program when null. */
  value(register: string): void {
    this.line(`*(u32 *)(r10 - 4) = ${this.between(0, 5)}`);
    if (this.chance(40)) this.line("call bpf_get_prandom_u32", "*(u32 *)(r10 - 4) = r0");
    this.line("r2 = r10", "r2 += -4", "r1 = map_fd[array]", "call bpf_map_lookup_elem");
    this.line("if r0 == 0 goto out", `${register} = r0`);
  }

  /** The packet in one register and its end in another. */
  packet(start: string, end: string): void {
    const at = this.type === BPF.BPF_PROG_TYPE_XDP ? [0, 4] : [76, 80];
    this.line(`${start} = *(u32 *)(r6 + ${at[0]})`, `${end} = *(u32 *)(r6 + ${at[1]})`);
  }

  /** Ends the program. @param origin - for reports. */
  finish(origin: string): TestProgram {
    this.line("r0 = 0", "out:", "r0 = 0", "exit");
    for (const write of this.#later) write();
    const { type } = this;
    return programOf({
      type,
      attachType: type === BPF.BPF_PROG_TYPE_SK_LOOKUP ? BPF.BPF_SK_LOOKUP : 0,
      instructions: decodeInstructions(assemble(this.#lines.join("\n"), { constants: MAP_INDEX })),
      origin,
      debug:
        this.#functions.length === 0 || this.random.chance(2)
          ? null
          : debugTypes(type, [[0, "main"], ...this.#functionSlots()]),
    });
  }

  #functionSlots(): (readonly [number, FunctionKind])[] {
    const slots = new Map<string, number>();
    let slot = 0;
    for (const line of this.#lines) {
      if (line.endsWith(":")) slots.set(line.slice(0, -1), slot);
      else slot += WIDE.test(line) ? 2 : 1;
    }
    return this.#functions.map(([label, kind]) => [slots.get(label) ?? -1, kind] as const);
  }
}

/** The lower half of a register: w7 of r7. */
export function wide(register: string): string {
  return register.replace("r", "w");
}
