/**
 * What a cause of a refusal is: data, with a question to the kernel that tells it from the others.
 */

import type { Kernel, NetNsReference } from "../kernel.ts";
import type { Remedy } from "../remedy.ts";
import type { ProgramLine, VerdictExplanation } from "../verdict/index.ts";

export type { Diagnosis } from "../errors.ts";

/** Fields of a `union bpf_attr` by name, in the kernel's spelling. */
export type AttrFields = Readonly<Record<string, number | bigint | Uint8Array | undefined>>;

/** What the caller knows of its call that can't be read from the attr's addresses and fds. */
export interface About {
  /** What the caller calls the namespace, in messages. */
  readonly netns?: string;
  /** How the caller found the namespace. */
  readonly reference?: NetNsReference;
  /** The path that was given. */
  readonly path?: string;
  /** What the verifier, or the parser of BTF, wrote. */
  readonly log?: string;
  /** What the verifier's log comes to, where somebody has read it already. */
  readonly verdict?: VerdictExplanation;
  /** The section that the program comes from, and the known name that comes nearest to it. */
  readonly section?: { readonly name: string; readonly nearest: string | null };
  /** The whole name of a program; the attr has the first 15 bytes. */
  readonly name?: string;
  /** The instructions of a program, 8 bytes a slot. */
  readonly instructions?: Uint8Array;
  /** Where its instructions come from, ordered by slot. */
  readonly lines?: readonly ProgramLine[];
  /** The value that was to be stored in a map. */
  readonly value?: Uint8Array;
}

/** A call that a kernel refused. */
export interface FailedCall {
  readonly kernel: Kernel;
  /** BPF_… by number, or the name of another call of the seam: "netns.open". */
  readonly command: number | string;
  /** Linux's error number, positive. */
  readonly errno: number;
  /** Fields left out are zero. */
  readonly attr: AttrFields;
  readonly about: About;
}

/** What a question to the kernel brought to light. */
export interface Finding {
  /** Why, and what to do about it, as one sentence without its full stop. */
  readonly hint: string;
  /** What to do, the best first. */
  readonly remedies?: readonly Remedy[];
}

/** One reason for which calls are refused. */
export interface Cause {
  /** Stable, for programs to compare with: "occupied-by-link". */
  readonly id: string;
  /** What it is, in general; a {@link Finding} has the names and numbers. */
  readonly title: string;
  /** The calls that it can befall; null for any. */
  readonly commands: readonly (number | string)[] | null;
  readonly errnos: readonly number[];
  /** Looks whether this is it. May throw or be wrong about what has just changed, never change. */
  readonly find: (call: FailedCall) => Finding | null;
}

/** The namespace that a call is about, as the caller found it. */
export function referenceOf({ about }: FailedCall): NetNsReference | null {
  return about.reference ?? null;
}

/** A field of the attr as a number; 0 when it was left out. */
export function field({ attr }: FailedCall, name: string): number {
  const value = attr[name];
  return value === undefined || value instanceof Uint8Array ? 0 : Number(value);
}
