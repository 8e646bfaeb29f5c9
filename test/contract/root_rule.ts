/**
 * The root rule: a flow dissector in the root namespace is for all namespaces, so there is either
 * one there or there are others elsewhere. These cases touch the root namespace for an instant.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { type Case, outcomeOf, SK_LOOKUP_PROGRAM } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

export const rootRule: Chapter = {
  title: "the root rule",
  rules: (rules) => {
    links(rules);
    programs(rules);
  },
};

/** A packet that any dissector takes. */
const PACKET = { data: new Uint8Array(60), networkOffset: 14, protocol: 0 };

/** A program that hands every packet on to Linux: the machine's own traffic is left alone. */
function harmless(c: Case): number {
  return c.program({ text: `r0 = ${bpf.BPF_FLOW_DISSECTOR_CONTINUE}\nexit` });
}

/** The root namespace. */
function root(c: Case): number {
  return c.track(c.world.openRoot());
}

/**
 * A link in the root namespace. Until every namespace that had something attached is off the
 * list, those of other processes too, it is EEXIST.
 */
async function rootLink(c: Case, program: number): Promise<number> {
  const target_fd = root(c);
  const fields = { prog_fd: program, target_fd, attach_type: bpf.BPF_FLOW_DISSECTOR };
  let result = 0;
  await c.until("a link in the root namespace", () => {
    result = c.call(bpf.BPF_LINK_CREATE, fields);
    return outcomeOf(result) !== "EEXIST";
  });
  expect(outcomeOf(result)).toBe("ok");
  return result;
}

async function rootAttach(c: Case, program: number): Promise<void> {
  let outcome = "";
  await c.until("a program in the root namespace", () => {
    outcome = c.attach(program, root(c));
    return outcome !== "EEXIST";
  });
  expect(outcome).toBe("ok");
}

function links({ ruleOf }: Rules): void {
  ruleOf(
    "rootNetns",
    "something in another namespace keeps the root namespace from having one",
    (c) => {
      const netns = c.netns();
      const program = harmless(c);
      const link = c.link(program, netns);
      expect(c.linking(harmless(c), root(c)), "link, over a link").toBe("EEXIST");
      expect(c.attach(harmless(c), root(c)), "program, over a link").toBe("EEXIST");
      c.close(link);
      expect(c.attach(program, netns)).toBe("ok");
      expect(c.linking(harmless(c), root(c)), "link, over a program").toBe("EEXIST");
      expect(c.attach(harmless(c), root(c)), "program, over a program").toBe("EEXIST");
      expect(c.linking(harmless(c), c.netns()), "a third namespace").toBe("ok");
    },
  );

  ruleOf(
    "rootNetns",
    "a dead namespace counts until its cleanup has taken it off the list",
    async (c) => {
      const netns = c.netns();
      const link = c.link(harmless(c), netns);
      c.close(netns);
      c.close(await rootLink(c, harmless(c)));
      expect(c.linkInfo(link).netns_ino).toBe(0);
    },
  );

  ruleOf(
    "rootNetns",
    "a link in the root namespace keeps all others from having one",
    async (c) => {
      const netns = c.netns();
      const [program, other] = [harmless(c), harmless(c)];
      const link = await rootLink(c, program);
      const seen = {
        secondInRoot: c.linking(other, root(c)),
        linkElsewhere: c.linking(other, netns),
        attachElsewhere: c.attach(other, netns),
        skLookup: c.linking(c.program(SK_LOOKUP_PROGRAM), netns, bpf.BPF_SK_LOOKUP),
        query: c.attached(netns),
        dissected: c.kernel.netns.dissect(netns, PACKET, 0),
        update: c.outcome(bpf.BPF_LINK_UPDATE, { link_fd: link, new_prog_fd: other }),
      };
      c.close(link);
      expect(seen).toEqual({
        secondInRoot: "E2BIG",
        linkElsewhere: "EEXIST",
        attachElsewhere: "EEXIST",
        skLookup: "ok",
        query: [],
        dissected: expect.objectContaining({ verdict: "continue", programId: c.progId(program) }),
        update: "ok",
      });
      expect(c.linking(other, netns)).toBe("ok");
    },
  );

  ruleOf("rootNetns", "LINK_DETACH in the root namespace lets the others in again", async (c) => {
    const netns = c.netns();
    const link = await rootLink(c, harmless(c));
    c.must(bpf.BPF_LINK_DETACH, { link_fd: link });
    expect(c.linking(harmless(c), netns)).toBe("ok");
  });
}

function programs({ ruleOf }: Rules): void {
  ruleOf(
    "rootNetns",
    "a program attached to the root namespace directly counts as a link does",
    async (c) => {
      const netns = c.netns();
      const [program, other] = [harmless(c), harmless(c)];
      await rootAttach(c, program);
      const seen = {
        linkElsewhere: c.linking(other, netns),
        attachElsewhere: c.attach(other, netns),
        linkInRoot: c.linking(other, root(c)),
        replace: c.attach(other, root(c)),
        detach: c.detach(other, root(c)),
      };
      expect(seen).toEqual({
        linkElsewhere: "EEXIST",
        attachElsewhere: "EEXIST",
        linkInRoot: "EEXIST",
        replace: "ok",
        detach: "ok",
      });
      expect(c.linking(other, netns)).toBe("ok");
    },
  );
}
