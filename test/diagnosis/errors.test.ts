/** What library users get of a diagnosis: fields of the error, and nothing to pay without one. */

import { describe, expect, test } from "vitest";
import { assemble } from "../../src/asm/index.ts";
import {
  BPF_MAP_TYPE_HASH,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BpfError,
  BpfMap,
  CAUSES,
  diagnose,
  type Kernel,
  Link,
  NetNs,
  Program,
  remedyWords,
  VerifierError,
} from "../../src/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { thrownBy } from "../thrown.ts";

function dissector(kernel: Kernel, text: string = "r0 = 0\nexit"): Program {
  const type = BPF_PROG_TYPE_FLOW_DISSECTOR;
  return Program.load(kernel, { type, instructions: assemble(text), name: "example" });
}

/** A kernel that counts the calls to it. */
function counted(kernel: Kernel): { readonly kernel: Kernel; readonly calls: string[] } {
  const calls: string[] = [];
  const proxy = new Proxy(kernel, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...given: unknown[]) => {
        calls.push(String(name));
        return value.apply(target, given);
      };
    },
  });
  return { kernel: proxy, calls };
}

describe("an error", () => {
  test("has the call, the errno, the reason, the words and the commands to run", () => {
    using kernel = EmbeddedKernel.boot();
    using netns = NetNs.create(kernel, "blue");
    using program = dissector(kernel);
    using link = Link.attach(program, netns);
    const error = thrownBy(() => Link.attach(program, netns));
    const { id } = link.info;
    expect(error.message).toBe(
      `BPF_LINK_CREATE: E2BIG: netns blue already has a flow dissector link ` +
        `(id ${id}, program ${program.info.id}); update that link, or detach it first`,
    );
    expect(error).toMatchObject({
      command: "BPF_LINK_CREATE",
      errno: 7,
      code: "E2BIG",
      reason: "occupied-by-link",
      remedies: [
        { action: "update-link", link: id },
        { action: "detach-link", link: id },
      ],
    });
    expect(error.remedies.map((remedy) => remedyWords(remedy))).toEqual([
      `Link.fromId(kernel, ${id}).update(program)`,
      `Link.fromId(kernel, ${id}).detach()`,
    ]);
  });

  test("of the verifier's has its reason too, and the whole log", () => {
    using kernel = EmbeddedKernel.boot();
    const error = thrownBy(() => dissector(kernel, "call 9999\nexit"));
    expect(error).toBeInstanceOf(VerifierError);
    expect(error.reason).toBe("helper-missing");
    expect((error as VerifierError).log).toContain("unknown#9999");
    expect(error.message).toMatch(
      /program example was rejected: .*; this kernel has no such helper/,
    );
  });

  test("without a diagnosis has no reason and no commands", () => {
    const error = new BpfError("open", -2);
    expect(error).toMatchObject({ hint: "", reason: null, remedies: [] });
  });
});

describe("a diagnosis", () => {
  test("costs nothing where nothing is refused: no more than the call itself", () => {
    using kernel = EmbeddedKernel.boot();
    const { kernel: watched, calls } = counted(kernel);
    using netns = NetNs.create(watched, "blue");
    using program = dissector(watched);
    calls.splice(0);
    using _link = Link.attach(program, netns);
    expect(calls).toEqual(["bpf"]);
    const options = { type: BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 4, maxEntries: 1 };
    using map = BpfMap.create(watched, options);
    calls.splice(0);
    map.set(new Uint8Array(4), new Uint8Array(4));
    expect(calls.filter((name) => name !== "addressOf")).toEqual(["bpf"]);
  });

  test("of a kernel that fails at everything is none, and throws nothing", () => {
    const broken = new Proxy({} as Kernel, {
      get: () => () => {
        throw new RangeError("broken");
      },
    });
    for (const { commands, errnos, id } of CAUSES) {
      const command = commands?.[0] ?? 0;
      const errno = errnos[0] ?? 0;
      const call = { kernel: broken, command, errno, attr: {}, about: {} };
      expect(() => diagnose(call), id).not.toThrow();
    }
  });

  test("of an errno that no cause has is null", () => {
    using kernel = EmbeddedKernel.boot();
    expect(diagnose({ kernel, command: 28, errno: 4095, attr: {}, about: {} })).toBeNull();
  });
});

describe("the causes", () => {
  test("are told apart by their ids, which are words with dashes", () => {
    const ids = CAUSES.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => !/^[a-z]+(-[a-z]+)*$/.test(id))).toEqual([]);
    expect(ids.length).toBeGreaterThanOrEqual(30);
  });

  test("name calls, errnos and what they are", () => {
    for (const { id, title, commands, errnos } of CAUSES) {
      expect(title, id).toMatch(/^[^.]+(\.\d[^.]*)?$/);
      expect(errnos.length, id).toBeGreaterThan(0);
      expect(commands === null || commands.length > 0, id).toBe(true);
    }
  });
});
