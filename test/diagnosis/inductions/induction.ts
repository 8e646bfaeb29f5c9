/**
 * What it is to bring a cause about, and what several of them take.
 */

import * as bpf from "../../../src/abi/bpf.ts";
import { until } from "../../contract/world.ts";
import type { Outcome, Trial } from "../trial.ts";

/** Brings a cause about and returns what was diagnosed. */
export interface Induction {
  /** Why it can't be brought about on a kernel, for those where it can't. */
  readonly notOn?: Readonly<Partial<Record<"embedded" | "linux", string>>>;
  /** Why what is said to help isn't run on a kernel. */
  readonly remediesNotOn?: Readonly<Partial<Record<"embedded" | "linux", string>>>;
  readonly induce: (t: Trial) => Outcome | Promise<Outcome>;
  /** What the hint has to say beside its general words. */
  readonly says?: RegExp;
}

/** Inductions by the ids of their causes. */
export type Inductions = Readonly<Record<string, Induction>>;

/** A user who has nothing. */
export const NOBODY = 65_534;

/** The attr of a direct attachment, or of its end. */
export function direct(program: number): { attach_bpf_fd: number; attach_type: number } {
  return { attach_bpf_fd: program, attach_type: bpf.BPF_FLOW_DISSECTOR };
}

/** A link, as soon as the root rule lets us: another test may have the root for an instant. */
export async function patientLink(t: Trial, program: number, netns: number): Promise<number> {
  const fields = { prog_fd: program, target_fd: netns, attach_type: bpf.BPF_FLOW_DISSECTOR };
  let link = -1;
  await until(t.world, "the root rule lets us", () => {
    link = t.call(bpf.BPF_LINK_CREATE, fields);
    return link >= 0;
  });
  return link;
}

/** Attaches a program without a link, as soon as the root rule lets us. */
export async function attachDirectly(t: Trial, program: number, netns: number): Promise<void> {
  await until(t.world, "the root rule lets us", () =>
    t.inside(netns, () => t.call(bpf.BPF_PROG_ATTACH, direct(program)) === 0),
  );
}
