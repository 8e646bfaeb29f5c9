/**
 * Programs to be judged by two verifiers: plain values, with maps and BTF by number, so that the
 * same program can be loaded anywhere.
 */

import type { Instruction } from "../../src/asm/index.ts";

/** Who loads a program: root, root but for CAP_PERFMON, or a task without any capability. */
export type Rights = "all" | "no perfmon" | "unprivileged";

/** All of them, by name. */
export const RIGHTS: readonly Rights[] = ["all", "no perfmon", "unprivileged"];

/** One program. Two-slot loads of maps have an index into {@link MAPS} where an fd goes. */
export interface TestProgram {
  /** BPF_PROG_TYPE_… */
  readonly type: number;
  readonly attachType: number;
  readonly instructions: readonly Instruction[];
  /** What made it, for reports. */
  readonly origin: string;
  readonly rights: Rights;
  /** BPF_F_… of BPF_PROG_LOAD. */
  readonly flags: number;
  readonly license: string;
  /** Types of its functions; null: none are told. */
  readonly debug: DebugTypes | null;
}

/** What is told of a program's functions. */
export interface DebugTypes {
  /** Which BTF: an index into the world's. */
  readonly btf: number;
  /** Records of (slot, type id of the FUNC). */
  readonly functions: readonly (readonly [slot: number, typeId: number])[];
}

/** A program as its maker knows it; the rest has defaults. */
export function programOf(
  made: Pick<TestProgram, "type" | "attachType" | "instructions" | "origin"> & Partial<TestProgram>,
): TestProgram {
  return { rights: "all", flags: 0, license: "GPL", debug: null, ...made };
}
