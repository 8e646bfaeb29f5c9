/**
 * Who is let in without CAP_BPF is told that everything is closed, or is told nothing of what
 * CAP_BPF would have been for, if this breaks.
 */

import { describe, expect, test } from "vitest";
import * as BPF from "../../src/abi/bpf.ts";
import { assemble } from "../../src/asm/index.ts";
import { examine, formatCheckup } from "../../src/doctor/index.ts";
import { BpfMap, Program, VerifierError } from "../../src/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { thrownBy } from "../thrown.ts";

function task(unprivilegedBpfDisabled: 0 | 1 | 2): EmbeddedKernel {
  return EmbeddedKernel.boot({ unprivilegedBpfDisabled }).task({ capabilities: [] });
}

function load(kernel: EmbeddedKernel, text: string, type = BPF.BPF_PROG_TYPE_SOCKET_FILTER) {
  return Program.load(kernel, { type, instructions: assemble(text), name: "example" });
}

function makeMap(kernel: EmbeddedKernel, type: number, flags: number = 0): BpfMap {
  return BpfMap.create(kernel, { type, keySize: 4, valueSize: 8, maxEntries: 4, flags });
}

const END = "r0 = 0\nexit";

describe("without CAP_BPF, where everybody is let in", () => {
  test("a socket filter and a plain map are made", () => {
    using kernel = task(0);
    load(kernel, END)[Symbol.dispose]();
    makeMap(kernel, BPF.BPF_MAP_TYPE_HASH)[Symbol.dispose]();
  });

  test("a program of another type is refused for its type", () => {
    using kernel = task(0);
    const error = thrownBy(() => load(kernel, END, BPF.BPF_PROG_TYPE_XDP));
    expect([error.reason, error.hint]).toEqual([
      "no-cap-bpf",
      "programs of this type need CAP_BPF",
    ]);
  });

  test("so is a map, and a flag that wants CAP_SYS_ADMIN isn't said to want CAP_BPF", () => {
    using kernel = task(0);
    const error = thrownBy(() => makeMap(kernel, BPF.BPF_MAP_TYPE_LRU_HASH));
    expect([error.reason, error.hint]).toEqual(["no-cap-bpf", "maps of this type need CAP_BPF"]);
    const seeded = thrownBy(() => makeMap(kernel, BPF.BPF_MAP_TYPE_HASH, BPF.BPF_F_ZERO_SEED));
    expect(seeded.reason).not.toBe("no-cap-bpf");
  });

  test.each([
    ["unprivileged-function", `call f\n${END}\nf:\n${END}`],
    ["unprivileged-loop", `r6 = 0\nagain:\nr6 += 1\nif r6 < 9 goto again\n${END}`],
  ])("what the verifier has against it is said by its cause: %s", (cause, text) => {
    using kernel = task(0);
    const error = thrownBy(() => load(kernel, text));
    expect(error.reason).toBe("verifier-rejected");
    expect(error instanceof VerifierError && error.cause?.id).toBe(cause);
  });

  test("the doctor says so", () => {
    using kernel = task(0);
    const lines = formatCheckup(examine(kernel)).join("\n");
    expect(lines).toMatch(/CAP_BPF is missing: loading programs but plain socket filters/);
    expect(lines).toMatch(/unprivileged_bpf_disabled = 0: everybody may load socket filters/);
  });
});

describe.each([1, 2] as const)("without CAP_BPF, where nobody is let in (%i)", (value) => {
  test("the sysctl is what is said to keep a task out", () => {
    using kernel = task(value);
    const refused = [
      thrownBy(() => load(kernel, END)),
      thrownBy(() => makeMap(kernel, BPF.BPF_MAP_TYPE_HASH)),
    ];
    for (const { reason, hint } of refused) {
      expect(reason).toBe("unprivileged-bpf-off");
      expect(hint).toContain(`kernel.unprivileged_bpf_disabled = ${value}`);
    }
    expect(thrownBy(() => makeMap(kernel, BPF.BPF_MAP_TYPE_LRU_HASH)).reason).toBe("no-cap-bpf");
  });
});
