/**
 * Every order of a few calls and every step of deferred work: the kernel's answers and what can be
 * seen afterwards against the rules, and nothing left over at the end.
 */

import { describe, expect, test } from "vitest";
import { turnAfter } from "../turn.ts";
import { MachineUnderTest, type Place } from "./machine_under_test.ts";
import { type Action, Rules } from "./rules.ts";

const PROGRAMS = 2;
const MAX_LINKS = 2;
const TWO_MORTALS: readonly Place[] = ["mortal", "mortal"];
const INIT_AND_MORTAL: readonly Place[] = ["init", "mortal"];

function rulesFor(places: readonly Place[]): Rules {
  return new Rules(places.map((place) => place === "init"));
}

function rulesAfter(places: readonly Place[], path: readonly Action[]): Rules {
  const rules = rulesFor(places);
  for (const action of path) rules.take(action);
  return rules;
}

function describePath(path: readonly Action[]): string {
  return path.map((action) => JSON.stringify(action)).join(" ");
}

/** Compares all that can be seen. Returns what is wrong, or null. */
function difference(machine: MachineUnderTest, rules: Rules): string | null {
  for (const [link, { open }] of rules.links.entries()) {
    const [seen, due] = open ? [machine.view(link), rules.view(link)] : [null, null];
    if (seen?.prog !== due?.prog || seen?.ns !== due?.ns) {
      return `link ${link} shows ${JSON.stringify(seen)}, not ${JSON.stringify(due)}`;
    }
  }
  const init = rules.namespaces.findIndex(({ root }) => root);
  const rootProg = init < 0 ? undefined : rules.attached(init)[0];
  for (const [ns, { stage }] of rules.namespaces.entries()) {
    if (stage !== "alive") continue;
    const [seen, due] = [machine.attached(ns), rules.attached(ns)];
    if (seen.join() !== due.join()) return `query of ${ns} shows ${seen}, not ${due}`;
    const by = machine.dissectedBy(ns);
    if (by !== (rootProg ?? due[0] ?? null)) return `a packet in ${ns} meets program ${by}`;
  }
  return machine.waiting.length > 0 === rules.workWaits ? null : `work waits: ${machine.waiting}`;
}

/**
 * Takes a path on a fresh machine; what went wrong, or null. What can be seen is compared at its
 * end: every shorter path is taken by itself before.
 */
function failureOf(places: readonly Place[], path: readonly Action[]): string | null {
  const machine = new MachineUnderTest(PROGRAMS, places);
  const rules = rulesFor(places);
  for (const action of path) {
    const [seen, due] = [machine.take(action), rules.take(action)];
    if (seen !== due) return `${describePath(path)}: answered ${seen}, not ${due}`;
  }
  const wrong = difference(machine, rules);
  if (wrong !== null) return `${describePath(path)}: ${wrong}`;
  const left = machine.finish();
  return left.length === 0 ? null : `${describePath(path)}: left over ${left.join(", ")}`;
}

/** All paths of a length, one after the other. */
function* paths(places: readonly Place[], length: number): Generator<Action[]> {
  if (length === 0) {
    yield [];
    return;
  }
  for (const path of paths(places, length - 1)) {
    const rules = rulesAfter(places, path);
    for (const action of rules.possible(PROGRAMS, MAX_LINKS)) yield [...path, action];
  }
}

describe.each([
  ["two namespaces that can die", TWO_MORTALS],
  ["the initial namespace and one that can die", INIT_AND_MORTAL],
])("over %s", (_, places) => {
  test("every sequence of three calls and steps keeps the rules, and leaves nothing", async () => {
    let taken = 0;
    for (const length of [1, 2, 3]) {
      for (const path of paths(places, length)) {
        await turnAfter(++taken);
        const failure = failureOf(places, path);
        if (failure !== null) expect.fail(failure);
      }
    }
    expect(taken).toBeGreaterThan(1000);
  });

  test("every state that can be reached answers every call as the rules have it", async () => {
    let taken = 0;
    const seen = new Set([rulesFor(places).fingerprint]);
    const frontier: Action[][] = [[]];
    for (let path = frontier.shift(); path !== undefined; path = frontier.shift()) {
      for (const action of rulesAfter(places, path).possible(PROGRAMS, MAX_LINKS)) {
        await turnAfter(++taken);
        const longer = [...path, action];
        const failure = failureOf(places, longer);
        if (failure !== null) expect.fail(failure);
        const { fingerprint } = rulesAfter(places, longer);
        if (seen.has(fingerprint)) continue;
        seen.add(fingerprint);
        frontier.push(longer);
      }
    }
    expect(seen.size).toBeGreaterThan(100);
  });
});

/** Where inside LINK_CREATE another CPU can come in. */
const POINTS = ["link_create: primed", "link_create: attached"] as const;

describe.each(POINTS)("a call that comes in at %s", (point) => {
  test("sees a link that is neither open nor free, and both calls keep to the rules", () => {
    const outer: Action = { do: "create", ns: 0, prog: 0 };
    const inner = rulesFor(TWO_MORTALS)
      .possible(PROGRAMS, MAX_LINKS)
      .filter((action) => action.do !== "putNs" || action.ns !== 0);
    for (const action of inner) {
      const machine = new MachineUnderTest(PROGRAMS, TWO_MORTALS);
      const rules = rulesFor(TWO_MORTALS);
      let answers: readonly number[] = [];
      let isBeingMade = false;
      const result = machine.takeInterrupted(outer, point, () => {
        isBeingMade = machine.newestLinkIsBeingMade();
        // The mutex decides: before it is taken the inner call wins, after it the outer one has.
        if (point === "link_create: attached") answers = [0, machine.take(action)];
        else answers = [machine.take(action)];
      });
      const order = point === "link_create: attached" ? [outer, action] : [action, outer];
      const due = order.map((each) => rules.take(each));
      const got = point === "link_create: attached" ? answers : [...answers, result];
      expect([action, ...got]).toEqual([action, ...due]);
      expect(isBeingMade).toBe(true);
      expect([action, machine.finish()]).toEqual([action, []]);
    }
  });
});
