/**
 * Breaks when Linux answers any of 50,000 random calls otherwise than the embedded kernel does.
 */

import { beforeAll, describe, expect, test } from "vitest";
import { BPF_LINK_UPDATE, BPF_PROG_QUERY } from "../../src/abi/bpf.ts";
import { describeOnLinux } from "../contract/linux_available.ts";
import { seedSetting } from "../settings.ts";
import { play, replay } from "./episode.ts";
import { FOUND } from "./found.ts";
import { type FuzzOutcome, fuzz } from "./fuzz.ts";
import type { Operation } from "./operation.ts";
import { embeddedStage, linuxStage, type Stage } from "./worlds.ts";

const CALLS = 50_000;
const EMBEDDED_CALLS = 5_000;
/** Other calls in each run, by default; the seed is printed. */
const SEED = seedSetting("NSLINK_FUZZ_SEED");

function show({ calls, explained, differences }: FuzzOutcome, name: string): void {
  const reasons = [...explained].map(([reason, count]) => `\n  explained ${count}: ${reason}`);
  console.log(`${calls} calls on ${name}, seed ${SEED}${reasons.join("")}`);
  expect(differences.join("\n\n")).toBe("");
  expect(calls).toBeGreaterThanOrEqual(EMBEDDED_CALLS);
}

describe("the embedded kernel", () => {
  const stages = {
    tried: embeddedStage(),
    oracle: embeddedStage(),
  };

  test("gives the same answers to the same calls", async () => {
    show(await fuzz(stages, { seed: SEED, calls: EMBEDDED_CALLS }), "two embedded kernels");
  });

  test("a seed makes up the same calls again", async () => {
    const [once, again] = [await play(stages, SEED, 500), await play(stages, SEED, 500)];
    expect(once.operations).toEqual(again.operations);
    expect(new Set(once.operations.map((each) => each.do)).size).toBeGreaterThan(5);
  });

  test.each(FOUND)("$what", async ({ operations, result }) => {
    const subject = stages.tried.open();
    expect(operations.map((each) => subject.execute(each).result).at(-1)).toBe(result);
    stages.tried.clear(subject);
  });

  test("a kernel that says yes and does nothing is found out, in a few calls", async () => {
    const tried = lyingStage();
    const outcome = await fuzz({ ...stages, tried }, { seed: 3, calls: 20_000, maxDifferences: 1 });
    const [difference = ""] = outcome.differences;
    expect(difference).toContain(`cmd: ${BPF_LINK_UPDATE}`);
    expect(difference.split("\n").filter((line) => line.includes("{ do:")).length).toBeLessThan(12);
  });
});

/** An embedded kernel whose LINK_UPDATE does nothing. */
function lyingStage(): Stage {
  const honest = embeddedStage();
  return {
    ...honest,
    open() {
      const subject = honest.open();
      const execute = subject.execute.bind(subject);
      subject.execute = (operation: Operation) => {
        const isUpdate = operation.do === "bpf" && operation.cmd === BPF_LINK_UPDATE;
        if (!isUpdate) return execute(operation);
        const answer = execute({ ...operation, cmd: BPF_PROG_QUERY });
        return { ...answer, result: "0" };
      };
      return subject;
    },
  };
}

await describeOnLinux("random calls on Linux", async () => {
  // Not before it is known that koffi can be loaded.
  const { traces } = await import("../contract/linux_world.ts");
  const before = traces();
  let linux: Stage;
  beforeAll(async () => {
    linux = await linuxStage();
  });

  test.each(FOUND)("$what", async ({ operations, result }) => {
    const stages = { tried: embeddedStage(linux.settings), oracle: linux };
    expect((await replay(stages, operations)).difference).toBeNull();
    const subject = linux.open();
    expect(operations.map((each) => subject.execute(each).result).at(-1)).toBe(result);
    linux.clear(subject);
  });

  test("every answer is the embedded kernel's too", async () => {
    const stages = { tried: embeddedStage(linux.settings), oracle: linux };
    show(await fuzz(stages, { seed: SEED, calls: CALLS }), "the embedded kernel and Linux");
  });

  test("nothing is left behind: no fd, mount, name or change of namespace", async () => {
    await linux.close();
    expect(traces()).toEqual(before);
  });
});
