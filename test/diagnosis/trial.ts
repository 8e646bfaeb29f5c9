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
  /** What open returns, always. */
  readonly opened?: number;
  /** Texts of files of /proc. */
  readonly texts?: Readonly<Record<string, string>>;
}

/** A kernel like another, but for some answers: a kernel of another age, or in other straits. */
export function lying(kernel: Kernel, { result, opened, texts = {} }: Lies): Kernel {
  return new Proxy(kernel, {
    get(target, name) {
      if (name === "bpf" && result !== undefined) return () => result;
      if (name === "open" && opened !== undefined) return () => opened;
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

/** A refused call, and how it is made once more. */
export interface Refused {
  readonly command: number | string;
  readonly errno: number;
  /** What the call comes to now, with some fields changed; what it opens is closed again. */
  readonly again: (changes: AttrFields) => { readonly result: number; readonly outcome: Outcome };
}

/** A network namespace that has a name. */
export interface Named {
  readonly fd: number;
  readonly name: string;
  /** What a noun would say of it to the diagnosis. */
  readonly about: About;
}

/** A case in which calls fail, and are asked why. */
export class Trial extends Case {
  readonly withCapabilities: WithCapabilities;
  /** The call that was diagnosed last; it can't be made again where it was made up. */
  last: Refused | null = null;

  /** A link that a remedy may be tried on; by default a new one. */
  openLink: number | null = null;
  readonly #kept: Disposable[] = [];

  /** Keeps something to the end of the case. */
  keep(thing: Disposable): void {
    this.#kept.push(thing);
  }

  override end(): void {
    for (const thing of this.#kept) thing[Symbol.dispose]();
    super.end();
  }

  /** A new network namespace, found by its name to the end of the case. */
  named(): Named {
    const name = this.name();
    expect(this.kernel.netns.create(name), name).toBe(0);
    const fd = this.track(this.kernel.netns.open({ name }));
    return { fd, name, about: { netns: name, reference: { name } } };
  }

  constructor(world: World, withCapabilities: WithCapabilities) {
    super(world);
    this.withCapabilities = withCapabilities;
  }

  /** bpf(2) on this task's kernel, which has to refuse it. */
  refused<C extends Command>(command: C, fields: Fields<C>, about: About = {}): Outcome {
    return this.refusedOn(this.kernel, command, fields, about);
  }

  /** The same from inside of a network namespace, now and each time that it is made again. */
  refusedInside<C extends Command>(netns: number, command: C, fields: Fields<C>): Outcome {
    const outcome = this.inside(netns, () => this.refused(command, fields));
    const { last } = this;
    if (last === null) return outcome;
    this.last = { ...last, again: (changes) => this.inside(netns, () => last.again(changes)) };
    return outcome;
  }

  /** The same on another task's kernel. */
  refusedOn<C extends Command>(
    kernel: Kernel,
    command: C,
    fields: Fields<C>,
    about: About = {},
  ): Outcome {
    const layout = LAYOUTS[command] as Layout;
    const make = (values: AttrFields): number => {
      this.remap();
      return kernel.bpf(command, encode(layout, values as Partial<Values<Layout>>));
    };
    const attr = fields as AttrFields;
    return this.why(kernel, command, make(attr), attr, about, make);
  }

  /** A diagnosis that leaves no fd open. */
  why(
    kernel: Kernel,
    command: number | string,
    result: number,
    attr: AttrFields = {},
    about: About = {},
    make: ((attr: AttrFields) => number) | null = null,
  ): Outcome {
    expect(result, "refused").toBeLessThan(0);
    const again = (changes: AttrFields): ReturnType<Refused["again"]> => {
      if (make === null) return madeUp();
      const changed = { ...attr, ...changes };
      const now = make(changed);
      if (now > 0) kernel.close(now);
      const call = { kernel, command, errno: -now, attr: changed, about };
      return { result: now, outcome: now < 0 ? diagnose(call) : null };
    };
    this.last = { command, errno: -result, again: make === null ? madeUp : again };
    const before = nextFd(kernel);
    const diagnosis = diagnose({ kernel, command, errno: -result, attr, about });
    expect(nextFd(kernel), "no fd is left open").toBe(before);
    return diagnosis;
  }
}

/** What stands for a call that can't be made again. */
export function madeUp(): never {
  throw new RangeError("the refusal was made up: nothing mends it");
}

/** The number that the next fd will have, or why there will be none. */
function nextFd(kernel: Kernel): number {
  const fd = kernel.open("/dev/null");
  if (fd >= 0) kernel.close(fd);
  return fd;
}
