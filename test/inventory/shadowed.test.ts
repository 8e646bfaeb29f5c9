/**
 * The root rule leaves no link shadowed, whatever the order of events; and on a kernel that broke
 * the rule, the inventory would say so.
 */

import { describe, expect, test } from "vitest";
import { PROG_QUERY } from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { writeField } from "../../src/abi/layout.ts";
import { explain, listDirect, listLinks } from "../../src/inventory/index.ts";
import { EmbeddedKernel, ManualScheduler } from "../../src/kernel/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { Case } from "../contract/case.ts";
import { turnAfter } from "../turn.ts";

/** A machine whose deferred work waits until it is told to go on. */
class Stepped {
  readonly scheduler: ManualScheduler = new ManualScheduler();
  readonly kernel: EmbeddedKernel = EmbeddedKernel.boot({ scheduler: this.scheduler });
  readonly c: Case = new Case({
    kernel: this.kernel,
    pinDirectory: "/sys/fs/bpf",
    bpffsRoot: "/sys/fs/bpf",
    withReadOnly: () => {
      throw new RangeError("nothing here is read-only");
    },
    pid: this.kernel.pid,
    namePrefix: "stepped-",
    openRoot: () => this.kernel.netns.open({ pid: 1 }),
    unprivileged: (_, call) => call(this.kernel, []),
    withFullTable: (_, call) => call(this.kernel, []),
    holder: () => Promise.reject(new RangeError("nobody else is here")),
    turn: () => Promise.resolve(),
    end: () => Promise.resolve(),
  });
  readonly root: number = this.kernel.netns.open({ pid: 1 });
  readonly blue: number = this.c.netns();
  readonly #program: number = this.c.program();
  #link: number = -1;
  #isBlueOpen: boolean = true;

  /** Each says whether it changed anything. */
  readonly moves: readonly (() => boolean)[] = [
    () => {
      const fields = { prog_fd: this.#program, attach_type: bpf.BPF_FLOW_DISSECTOR };
      const fd = this.c.call(bpf.BPF_LINK_CREATE, { ...fields, target_fd: this.blue });
      if (fd >= 0) this.#link = fd;
      return fd >= 0;
    },
    () => this.c.linking(this.#program, this.root) === "ok",
    () => this.#isBlueOpen && this.c.attach(this.#program, this.blue) === "ok",
    () => this.c.attach(this.#program, this.root) === "ok",
    () => this.c.detach(this.#program, this.root) === "ok",
    () => this.c.outcome(bpf.BPF_LINK_DETACH, { link_fd: this.#link }) === "ok",
    () => {
      if (!this.#isBlueOpen) return false;
      this.#isBlueOpen = false;
      this.c.close(this.blue);
      return true;
    },
    () => {
      const { length } = this.scheduler.waiting;
      if (length > 0) this.scheduler.step();
      return length > 0;
    },
  ];
}

/** How many moves are made in a row. */
const MOVES = 5;

describe("shadowed", () => {
  test("no sequence of attachments, detachments and deaths leads there", async () => {
    const seen = new Set<string>();
    let taken = 0;
    /** Takes a path on a new machine. @returns whether its last move changed anything. */
    const leadsOn = async (path: readonly number[]): Promise<boolean> => {
      await turnAfter(++taken);
      const machine = new Stepped();
      const changed = path.map((move) => machine.moves[move]?.());
      for (const { state } of listLinks(machine.kernel)) seen.add(state);
      for (const { state } of listDirect(machine.kernel)) seen.add(state);
      return changed.at(-1) === true;
    };
    const count = new Stepped().moves.length;
    let paths: readonly (readonly number[])[] = [[]];
    for (let length = 1; length <= MOVES; length++) {
      const longer: (readonly number[])[] = [];
      for (const path of paths) {
        for (let move = 0; move < count; move++) {
          // What a move that changed nothing leads to, the path without it leads to.
          if (await leadsOn([...path, move])) longer.push([...path, move]);
        }
      }
      paths = longer;
    }
    expect([...seen].sort()).toEqual(["attached", "defunct"]);
    console.info(`${taken} sequences, of which ${paths.length} changed something ${MOVES} times`);
    expect(paths.length).toBeGreaterThan(100);
  });

  test("a dying namespace's link is defunct when the root namespace gets its own", () => {
    const { c, kernel, scheduler, blue, root } = new Stepped();
    const link = c.link(c.program(), blue);
    c.close(blue);
    expect(c.linking(c.program(), root)).toBe("EEXIST");
    expect(scheduler.waiting).toEqual(["cleanup_net: unlist"]);
    scheduler.step();
    // Off the list, and pre_exit has not run: both are attached, but no link says so.
    expect(scheduler.waiting).toEqual(["cleanup_net: pre_exit"]);
    expect(c.linking(c.program(), root)).toBe("ok");
    expect(listLinks(kernel).map(({ state }) => state)).toEqual(["defunct", "attached"]);
    expect(explain(kernel, c.linkId(link)).now.packets).toBeNull();
  });

  test("the root namespace's link is told from others: it can't die, and others meet it", () => {
    const { c, kernel, blue, root } = new Stepped();
    const link = c.link(c.program(), root);
    const lookup = c.program({
      type: bpf.BPF_PROG_TYPE_SK_LOOKUP,
      expectedAttachType: bpf.BPF_SK_LOOKUP,
      text: "r0 = 1\nexit",
    });
    const other = c.link(lookup, blue, bpf.BPF_SK_LOOKUP);
    const { now, foretold, link: entry } = explain(kernel, c.linkId(link));
    expect(entry.namespace?.isRoot).toBe(true);
    expect(now.packets?.by).toBe("program");
    expect(foretold.map(({ event }) => event.kind)).toEqual(["close", "detach"]);
    expect(foretold.map(({ outcome }) => outcome.packets?.by)).toEqual(["linux", "linux"]);
    // The root rule is about flow dissectors only.
    const explained = explain(kernel, c.linkId(other));
    expect(explained.link.state).toBe("attached");
    expect(explained.now.packets).toEqual({ by: "program", programIds: [c.progId(lookup)] });
  });

  test("a kernel that had both would be said to shadow the other's", () => {
    const { c, kernel, blue } = new Stepped();
    const link = c.link(c.program(), blue);
    const direct = c.netns();
    expect(c.attach(c.program(), direct)).toBe("ok");
    const rulebreaker = withProgramInRoot(kernel, 4711);
    const states = listLinks(rulebreaker).map(({ state }) => state);
    expect(states).toEqual(["shadowed"]);
    expect(listDirect(rulebreaker).map(({ state, program }) => [state, program.id])).toEqual([
      ["attached", 4711],
      ["shadowed", expect.any(Number)],
    ]);
    const { now, foretold } = explain(rulebreaker, c.linkId(link));
    expect(now).toMatchObject({
      state: "shadowed",
      packets: { by: "rootProgram", programIds: [4711] },
    });
    const detached = foretold.find(({ event }) => event.kind === "detach")?.outcome;
    expect(detached).toMatchObject({ state: "detached", packets: now.packets });
  });
});

/** A kernel that claims to have a flow dissector attached to its root namespace. */
function withProgramInRoot(kernel: EmbeddedKernel, programId: number): Kernel {
  const rootInode = kernel.netns.list().find(({ isRoot }) => isRoot)?.inode;
  let lastBuffer = new Uint8Array(0);
  const claims: Pick<Kernel, "bpf" | "addressOf"> = {
    bpf(cmd, attr, size) {
      const result = kernel.bpf(cmd, attr, size);
      if (cmd !== bpf.BPF_PROG_QUERY || attr === null) return result;
      const view = new DataView(attr.buffer);
      const target = view.getUint32(PROG_QUERY.target_fd[0], true);
      if (kernel.netns.inode(target) !== rootInode) return result;
      if (view.getUint32(PROG_QUERY.attach_type[0], true) !== bpf.BPF_FLOW_DISSECTOR) return result;
      writeField(view, PROG_QUERY.prog_cnt, 1);
      new DataView(lastBuffer.buffer).setUint32(0, programId, true);
      return result;
    },
    addressOf(buffer) {
      lastBuffer = buffer.length === 0 ? lastBuffer : (buffer as Uint8Array<ArrayBuffer>);
      return kernel.addressOf(buffer);
    },
  };
  return new Proxy<Kernel>(kernel, {
    get(target, key) {
      if (key === "bpf" || key === "addressOf") return claims[key];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
