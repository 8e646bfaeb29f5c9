/** A kernel says of itself in /proc/sys what it isn't, or doesn't keep to it, if this breaks. */

import { describe, expect, test } from "vitest";
import { BPF_PROG_TYPE_SOCKET_FILTER } from "../../src/abi/bpf.ts";
import { ENOENT, EPERM } from "../../src/abi/errno.ts";
import { loadSmallest } from "../../src/diagnosis/programs.ts";
import { examine, formatCheckup } from "../../src/doctor/index.ts";
import { type BootOptions, EmbeddedKernel } from "../../src/kernel/index.ts";

function sysctl(options: BootOptions, path: string): string | number {
  using kernel = EmbeddedKernel.boot(options);
  return kernel.readText(`/proc/sys/${path}`);
}

describe("kernel.unprivileged_bpf_disabled", () => {
  test("is 2 by default, and otherwise what the kernel was booted with", () => {
    expect(sysctl({}, "kernel/unprivileged_bpf_disabled")).toBe("2\n");
    for (const unprivilegedBpfDisabled of [0, 1, 2] as const) {
      const text = sysctl({ unprivilegedBpfDisabled }, "kernel/unprivileged_bpf_disabled");
      expect(text).toBe(`${unprivilegedBpfDisabled}\n`);
    }
  });

  test.each([
    [0, 0],
    [1, -EPERM],
    [2, -EPERM],
  ] as const)("%i: a socket filter without capabilities is %i", (value, result) => {
    using kernel = EmbeddedKernel.boot({ unprivilegedBpfDisabled: value });
    using task = kernel.task({ capabilities: [] });
    expect(Math.min(loadSmallest(task, BPF_PROG_TYPE_SOCKET_FILTER), 0)).toBe(result);
  });
});

describe("net.core.bpf_jit_enable and bpf_jit_harden", () => {
  test.each([
    ["the JIT", {}, "1\n", "0\n"],
    ["the hardened JIT", { hardened: true }, "1\n", "2\n"],
    ["the interpreter", { engine: "interpreter" }, "0\n", "0\n"],
    [
      "an interpreter that is asked to be hard",
      { engine: "interpreter", hardened: true },
      "0\n",
      "0\n",
    ],
  ] as const)("follow the engine: %s", (_engine, options, enable, harden) => {
    expect(sysctl(options, "net/core/bpf_jit_enable")).toBe(enable);
    expect(sysctl(options, "net/core/bpf_jit_harden")).toBe(harden);
  });

  test("which the doctor says", () => {
    const said = (options: BootOptions): string => {
      using kernel = EmbeddedKernel.boot(options);
      return formatCheckup(examine(kernel)).join("\n");
    };
    expect(said({})).toContain("programs are compiled (JIT)");
    expect(said({ engine: "interpreter" })).toContain("programs are interpreted");
  });
});

test("a file that isn't there is ENOENT", () => {
  expect(sysctl({}, "kernel/unprivileged_bpf_enabled")).toBe(-ENOENT);
});
