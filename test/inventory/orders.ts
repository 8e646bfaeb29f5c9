/**
 * Every order of {close, unpin, detach, netns del}: what `explain` foretold before each step has to
 * be what came.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { BpfError } from "../../src/errors.ts";
import {
  type Explanation,
  explain,
  type LinkEntry,
  type LinkEvent,
  type LinkOutcome,
  listLinks,
} from "../../src/inventory/index.ts";
import { type Case, SK_LOOKUP_PROGRAM } from "../contract/case.ts";
import type { Chapter } from "../contract/rules.ts";
import type { Holder } from "../contract/world.ts";

type Step = "close" | "otherCloses" | "unpin" | "unpinOther" | "detach" | "netnsDel";

export const orders: Chapter = {
  title: "what explain foretells comes true, in every order of",
  rules: ({ rule }) => {
    const four: readonly Step[] = ["close", "unpin", "detach", "netnsDel"];
    rule("close, unpin, detach, netns del of a flow dissector link", (c) =>
      inEveryOrder(c, four, bpf.BPF_FLOW_DISSECTOR),
    );
    rule("the same of an sk_lookup link between two others", (c) =>
      inEveryOrder(c, four, bpf.BPF_SK_LOOKUP),
    );
    rule("close by two processes, detach, netns del", (c) =>
      inEveryOrder(c, ["close", "otherCloses", "detach", "netnsDel"], bpf.BPF_FLOW_DISSECTOR),
    );
    rule("close and two unpins, detach", (c) =>
      inEveryOrder(c, ["close", "unpin", "unpinOther", "detach"], bpf.BPF_SK_LOOKUP),
    );
    rule("close and unpin with nothing else", (c) =>
      inEveryOrder(c, ["close", "unpin"], bpf.BPF_FLOW_DISSECTOR),
    );
  },
};

async function inEveryOrder(c: Case, steps: readonly Step[], attachType: number): Promise<void> {
  for (const order of permutations(steps)) {
    const story = await Story.begin(c, order, attachType);
    for (const step of order) await story.take(step);
    await story.end();
    // Other tests may wait for a moment in which no namespace has anything attached.
    await c.cleanedUp();
  }
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((first, i) =>
    permutations(items.toSpliced(i, 1)).map((rest) => [first, ...rest]),
  );
}

/** One link's life in one order of steps. */
class Story {
  readonly #c: Case;
  readonly #what: string;
  readonly #name: string;
  readonly #attachType: number;
  readonly #id: number;
  readonly #pins: readonly string[];
  readonly #neighbours: readonly number[];
  #fd: number | null;
  #other: Holder | null;
  #earlier: readonly LinkEntry[] = [];

  private constructor(c: Case, what: string, made: Made) {
    this.#c = c;
    this.#what = what;
    this.#name = made.name;
    this.#attachType = made.attachType;
    this.#fd = made.fd;
    this.#id = c.linkId(made.fd);
    this.#pins = made.pins;
    this.#neighbours = made.neighbours;
    this.#other = made.other;
    this.#earlier = listLinks(c.kernel);
  }

  static async begin(c: Case, order: readonly Step[], attachType: number): Promise<Story> {
    const name = c.name();
    expect(c.kernel.netns.create(name)).toBe(0);
    const netns = c.track(c.kernel.netns.open({ name }));
    const lookup = attachType === bpf.BPF_SK_LOOKUP;
    const options = lookup ? SK_LOOKUP_PROGRAM : {};
    const link = async (): Promise<number> => {
      const program = c.program(options);
      let fd = -1;
      // A test of the root rule may stand in the way for an instant.
      await c.until("a link", () => {
        const fields = { prog_fd: program, target_fd: netns, attach_type: attachType };
        fd = c.call(bpf.BPF_LINK_CREATE, fields);
        return fd >= 0;
      });
      c.close(program);
      return fd;
    };
    const before = lookup ? [await link()] : [];
    const fd = await link();
    const neighbours = lookup ? [...before, await link()] : [];
    const pins = order.filter((step) => step.startsWith("unpin")).map(() => c.pin(fd));
    const other = order.includes("otherCloses") ? await c.world.holder(fd) : null;
    c.close(netns);
    return new Story(c, order.join(", "), { name, attachType, fd, pins, neighbours, other });
  }

  async take(step: Step): Promise<void> {
    const explanation = this.#explain();
    if (explanation === null) {
      await this.#do(step);
      expect(this.#explain(), `${this.#what}: ${step} of what is gone`).toBeNull();
      return;
    }
    expect(this.#observed(explanation.now), `before ${step}`).toEqual(shape(explanation.now));
    const foretold = foretelling(explanation, this.#event(step, explanation));
    await this.#do(step);
    let observed: Observed | null = null;
    const what = `${this.#what}: ${step}`;
    await this.#c
      .until(what, () => {
        observed = this.#observed(foretold);
        return JSON.stringify(observed) === JSON.stringify(shape(foretold));
      })
      .catch(() => expect(observed, what).toEqual(shape(foretold)));
    this.#freshLookAgrees(foretold);
  }

  async end(): Promise<void> {
    const c = this.#c;
    if (this.#fd !== null) c.close(this.#fd);
    await this.#other?.release();
    for (const path of this.#pins) c.unpin(path);
    for (const fd of this.#neighbours) c.close(fd);
    c.kernel.netns.remove(this.#name);
    await c.until("the link goes", () => this.#explain() === null);
  }

  #explain(): Explanation | null {
    try {
      return explain(this.#c.kernel, this.#id, { earlier: this.#earlier });
    } catch (error) {
      expect(error).toBeInstanceOf(BpfError);
      expect(error).toMatchObject({ code: "ENOENT" });
      return null;
    }
  }

  #event(step: Step, { link }: Explanation): LinkEvent {
    const { pid } = this.#c.world;
    switch (step) {
      case "close":
        return { kind: "close", pid };
      case "otherCloses":
        return { kind: "close", pid: link.holders.find((each) => each.pid !== pid)?.pid ?? -1 };
      case "unpin":
        return { kind: "unpin", path: this.#pins[0] ?? "" };
      case "unpinOther":
        return { kind: "unpin", path: this.#pins[1] ?? "" };
      case "detach":
        return { kind: "detach" };
      case "netnsDel":
        return { kind: "netnsDeath" };
    }
  }

  async #do(step: Step): Promise<void> {
    const c = this.#c;
    switch (step) {
      case "close":
        if (this.#fd !== null) c.close(this.#fd);
        this.#fd = null;
        return;
      case "otherCloses":
        await this.#other?.release();
        this.#other = null;
        return;
      case "unpin":
      case "unpinOther":
        expect(c.unpin(this.#pins[step === "unpin" ? 0 : 1] ?? "")).toBe(0);
        return;
      case "detach": {
        const fd = c.call(bpf.BPF_LINK_GET_FD_BY_ID, { id: this.#id });
        if (fd < 0) return;
        c.must(bpf.BPF_LINK_DETACH, { link_fd: fd });
        c.close(fd);
        return;
      }
      case "netnsDel":
        expect(c.kernel.netns.remove(this.#name)).toBe(0);
    }
  }

  /** What there is now, of that which an outcome says something about. */
  #observed({ packets }: LinkOutcome): Observed {
    const links = listLinks(this.#c.kernel, { earlier: this.#earlier });
    const link = links.find(({ id }) => id === this.#id);
    if (link !== undefined) this.#earlier = links;
    const programIds = packets === null ? null : this.#attached();
    if (link === undefined) return { state: "gone", pins: [], holders: [], programIds };
    const { state, pins, holders } = link;
    return { state, pins, holders, programIds };
  }

  /** Ids of the programs attached to the namespace; null when it is dead. */
  #attached(): readonly number[] | null {
    const fd = this.#c.kernel.netns.open({ name: this.#name });
    if (fd < 0) return null;
    const ids = this.#c.attached(fd, this.#attachType);
    this.#c.kernel.close(fd);
    return ids;
  }

  /** Somebody who looks for the first time can't tell a detached link from a defunct one. */
  #freshLookAgrees({ state }: LinkOutcome): void {
    const fresh = listLinks(this.#c.kernel).find(({ id }) => id === this.#id)?.state ?? "gone";
    expect(fresh, this.#what).toBe(state === "detached" ? "defunct" : state);
  }
}

interface Made {
  readonly name: string;
  readonly attachType: number;
  readonly fd: number;
  readonly pins: readonly string[];
  readonly neighbours: readonly number[];
  readonly other: Holder | null;
}

/** The part of an outcome that can be seen from outside. */
interface Observed extends Pick<LinkOutcome, "state" | "pins" | "holders"> {
  /** Null where nothing is said about packets. */
  readonly programIds: readonly number[] | null;
}

function foretelling({ now, foretold }: Explanation, event: LinkEvent): LinkOutcome {
  const found = foretold.find((each) => JSON.stringify(each.event) === JSON.stringify(event));
  if (found !== undefined) return found.outcome;
  // A link that is off its namespace already doesn't care for its death.
  expect(event.kind).toBe("netnsDeath");
  expect(["detached", "defunct"]).toContain(now.state);
  return now;
}

function shape({ state, pins, holders, packets }: LinkOutcome): Observed {
  // While the root namespace has a program, by a test of the root rule, no other has.
  const programIds = packets?.by === "rootProgram" ? [] : packets?.programIds;
  return { state, pins, holders, programIds: programIds ?? null };
}
