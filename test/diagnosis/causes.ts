/**
 * Every cause, brought about and found out: the same table for every kernel.
 */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { remedyCommand } from "../../src/cli/remedies.ts";
import { CAUSES, remedyWords } from "../../src/index.ts";
import type { Remedy } from "../../src/remedy.ts";
import { Command } from "../cli/command.ts";
import type { World, WorldKind } from "../contract/world.ts";
import { INDUCTIONS } from "./inductions/index.ts";
import type { Induction } from "./inductions/induction.ts";
import { NEIGHBOURS } from "./neighbours.ts";
import { runRemedy } from "./remedied.ts";
import { type Outcome, Trial, type WithCapabilities } from "./trial.ts";

/** Remedies after which the refused call, made again, isn't refused for this reason any more. */
const MENDS: ReadonlySet<Remedy["action"]> = new Set<Remedy["action"]>([
  "detach-link",
  "detach-program",
  "unpin",
  "make-directory",
  "add-netns",
  "remove-netns",
]);

/** Makes the refused call again with the fields that are said to be right. */
function mendByFields(t: Trial, id: string, diagnosis: Outcome): void {
  const changes: Record<string, number> = {};
  for (const remedy of diagnosis?.remedies ?? []) {
    if (remedy.action === "set-field") changes[remedy.field] ??= remedy.value;
  }
  if (Object.keys(changes).length === 0 || t.last === null) return;
  const now = t.last.again(changes);
  expect(now.outcome?.reason ?? null, JSON.stringify(changes)).not.toBe(id);
}

/** What is said, without what is another from run to run: ids, fds, names, paths. */
function worded(t: Trial, diagnosis: Outcome): object {
  const plain = (text: string | null): string | null =>
    text
      ?.replaceAll(t.world.pinDirectory, "PINS")
      .replaceAll(t.world.namePrefix, "NAME")
      .replaceAll(/contract\d+/g, "contract")
      .replaceAll(/while others do: .*?; /g, "while others do: …; ")
      .replaceAll(/(?<=unprivileged_bpf_disabled = |RLIMIT_NOFILE: |ulimit -n )\d+/g, "N")
      .replaceAll(/(?<=NAME|pin|\/ns|netns )\d+/g, "N")
      .replaceAll(/(?<=\b(?:id|program|link|fd|netns|detach|update|show|explain) )\d+/g, "N")
      .replaceAll(/(?<=--expect )\d+/g, "N")
      .replaceAll(/(?<=fromId\(kernel, |explain\(kernel, |pid:|"pid":)\d+/g, "N") ?? null;
  return {
    hint: plain(diagnosis?.hint ?? null),
    // How many links of others there are to detach is the machine's business.
    remedies: diagnosis?.remedies.slice(0, 2).map((remedy) => ({
      action: remedy.action,
      command: plain(remedyCommand(remedy)),
      words: plain(remedyWords(remedy)),
    })),
  };
}

/** What a kernel adds to the contract's world. */
export interface Surroundings {
  readonly kind: WorldKind;
  readonly kernel: "embedded" | "linux";
  readonly withCapabilities: (world: World) => WithCapabilities;
}

/** Registers a test for each cause that can be brought about on a kernel. */
export function causes({ kind, kernel, withCapabilities }: Surroundings): void {
  let world: World;
  let command: Command | null = null;
  beforeAll(async () => {
    world = await kind.open();
    if (kernel === "linux") command = new Command();
  });
  afterAll(async () => {
    command?.[Symbol.dispose]();
    await world.end();
  });

  function newTrial(): Trial & Disposable {
    const trial = new Trial(world, withCapabilities(world));
    return Object.assign(trial, { [Symbol.dispose]: () => trial.end() });
  }

  for (const id of new Set(CAUSES.map((cause) => cause.id))) {
    const induction = INDUCTIONS[id];
    const reason = induction?.notOn?.[kernel];
    if (reason !== undefined) {
      test.skip(`${id}: ${reason}`, () => {});
      console.warn(`cause ${id} is not brought about on ${kernel}: ${reason}`);
      continue;
    }
    test(id, async () => {
      expect(induction, "is brought about somewhere").toBeDefined();
      using trial = newTrial();
      const diagnosis = await induction?.induce(trial);
      expect(diagnosis?.reason, diagnosis?.hint).toBe(id);
      expect(diagnosis?.hint).toMatch(induction?.says ?? /./);
      expect(diagnosis?.hint, "a sentence without its full stop").toMatch(/^[^A-Z].*[^.]$/s);
      // The library says it as well as the command line: neither's own words belong there.
      expect(diagnosis?.hint).not.toMatch(/\bnslink (?!knows)|\bdispos|\b[A-Z][a-z]+\.[a-z]+\(/);
      // Linux's differ by what else is on the machine.
      if (kernel === "embedded") {
        expect(worded(trial, diagnosis ?? null)).toMatchSnapshot("words");
      }
    });

    test(`${id}, where it isn't the reason`, async () => {
      const neighbour = NEIGHBOURS[id];
      expect(neighbour, "there is a case beside it").toBeDefined();
      using trial = newTrial();
      const outcome = await neighbour?.show(trial);
      expect(outcome?.reason, outcome?.hint).not.toBe(id);
      const { command, errno } = trial.last ?? { command: -1, errno: -1 };
      const cause = CAUSES.find((each) => each.id === id);
      const isCandidate =
        cause?.errnos.includes(errno) && (cause.commands?.includes(command) ?? true);
      expect(isCandidate, "the cause is looked for").toBe(neighbour?.byDefinition === undefined);
      if (kernel === "embedded") expect(outcome?.reason ?? null).toMatchSnapshot("reason");
    });

    const dangerous = induction?.remediesNotOn?.[kernel];
    if (dangerous !== undefined) {
      console.warn(`what is said to help against ${id} isn't run on ${kernel}: ${dangerous}`);
      test.skip(`${id}: what is said to help helps: ${dangerous}`, () => {});
      continue;
    }
    test(`${id}: what is said to help helps`, async () => {
      const all = await induced(induction, async (trial, diagnosis) => {
        mendByFields(trial, id, diagnosis);
        return diagnosis?.remedies ?? [];
      });
      for (const [i, { action }] of all.entries()) {
        if (action !== "set-field") {
          await induced(induction, (trial, diagnosis) => mend(trial, id, diagnosis, i));
        }
      }
    });
  }

  /** Brings a cause about in a case of its own. */
  async function induced<T>(
    induction: Induction | undefined,
    use: (t: Trial, diagnosis: Outcome) => Promise<T>,
  ): Promise<T> {
    using trial = newTrial();
    return await use(trial, (await induction?.induce(trial)) ?? null);
  }

  /** Runs a remedy, and makes the refused call again where it should be taken now. */
  async function mend(t: Trial, id: string, diagnosis: Outcome, i: number): Promise<void> {
    const remedy = diagnosis?.remedies[i];
    const { last } = t;
    if (remedy === undefined) return;
    const outcome = await runRemedy(t, remedy, command);
    if ("skipped" in outcome) {
      console.warn(`${id}: ${remedy.action} isn't run: ${outcome.skipped}`);
    } else if (last !== null && MENDS.has(remedy.action)) {
      const now = last.again({});
      expect(now.outcome?.reason ?? null, `after ${outcome.ran}`).not.toBe(id);
    }
  }

  describe("a diagnosis", () => {
    test("there is an induction for no other cause", () => {
      const known = new Set(CAUSES.map(({ id }) => id));
      expect(Object.keys(INDUCTIONS).filter((id) => !known.has(id))).toEqual([]);
    });
  });
}
