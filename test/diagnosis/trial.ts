/**
 * Where refusals are brought about: a case of the contract's, whose failed calls are diagnosed.
 */

import { expect } from "vitest";
import { encode, type Layout, type Values } from "../../src/abi/layout.ts";
import type { About, AttrFields } from "../../src/diagnosis/cause.ts";
import { type Diagnosis, diagnose } from "../../src/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { Case, type Command, type Fields, LAYOUTS } from "../contract/case.ts";
import type { World } from "../contract/world.ts";

/** What was diagnosed, or null. */
export type Outcome = Diagnosis | null;

/** What a kernel is made to say that it wouldn't say by itself. */
export interface Lies {
  /** What bpf(2) returns, always. */
  readonly result?: number;
  /** Texts of files of /proc. */
  readonly texts?: Readonly<Record<string, string>>;
}

/** A kernel like another, but for some answers: a kernel of another age, or in other straits. */
export function lying(kernel: Kernel, { result, texts = {} }: Lies): Kernel {
  return new Proxy(kernel, {
    get(target, name) {
      if (name === "bpf" && result !== undefined) return () => result;
      if (name === "readText") return (path: string) => texts[path] ?? target.readText(path);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Runs a synchronous function as a task that has these capabilities and no others. */
export type WithCapabilities = <T>(
  capabilities: readonly Capability[],
  call: (kernel: Kernel) => T,
) => T;

/** The capabilities that BPF asks for one by one. */
export type Capability = "CAP_BPF" | "CAP_NET_ADMIN" | "CAP_PERFMON";

/** A case in which calls fail, and are asked why. */
export class Trial extends Case {
  readonly withCapabilities: WithCapabilities;

  constructor(world: World, withCapabilities: WithCapabilities) {
    super(world);
    this.withCapabilities = withCapabilities;
  }

  /** bpf(2) on this task's kernel, which has to refuse it. */
  refused<C extends Command>(command: C, fields: Fields<C>, about: About = {}): Outcome {
    return this.refusedOn(this.kernel, command, fields, about);
  }

  /** The same on another task's kernel. */
  refusedOn<C extends Command>(
    kernel: Kernel,
    command: C,
    fields: Fields<C>,
    about: About = {},
  ): Outcome {
    const values = fields as Partial<Values<Layout>>;
    const result = kernel.bpf(command, encode(LAYOUTS[command] as Layout, values));
    return this.why(kernel, command, result, fields as AttrFields, about);
  }

  /** A diagnosis that leaves no fd open. */
  why(
    kernel: Kernel,
    command: number | string,
    result: number,
    attr: AttrFields = {},
    about: About = {},
  ): Outcome {
    expect(result, "refused").toBeLessThan(0);
    const before = nextFd(kernel);
    const diagnosis = diagnose({ kernel, command, errno: -result, attr, about });
    expect(nextFd(kernel), "no fd is left open").toBe(before);
    return diagnosis;
  }
}

/** The number that the next fd will have, or why there will be none. */
function nextFd(kernel: Kernel): number {
  const fd = kernel.open("/dev/null");
  if (fd >= 0) kernel.close(fd);
  return fd;
}
