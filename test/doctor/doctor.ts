/** What the doctor finds, as root and as nobody in particular: the same for every kernel. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BPF_LINK_DETACH } from "../../src/abi/bpf.ts";
import { EINVAL } from "../../src/abi/errno.ts";
import {
  examine,
  FEATURES,
  formatCheckup,
  probeFeature,
  probeFeatures,
  requireFeature,
} from "../../src/doctor/index.ts";
import { UnsupportedError } from "../../src/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import type { World, WorldKind } from "../contract/world.ts";
import { lying } from "../diagnosis/trial.ts";

/** The same kernel, of which the doctor, who remembers kernels, knows nothing yet. */
function another(kernel: Kernel): Kernel {
  return lying(kernel, {});
}

/** A kernel that doesn't have a command. */
function without(kernel: Kernel, command: number): Kernel {
  const bpf: Kernel["bpf"] = (cmd, attr, size) =>
    cmd === command ? -EINVAL : kernel.bpf(cmd, attr, size);
  return new Proxy(another(kernel), {
    get: (target, name) => (name === "bpf" ? bpf : Reflect.get(target, name)),
  });
}

function nextFd(kernel: Kernel): number {
  const fd = kernel.open("/dev/null");
  kernel.close(fd);
  return fd;
}

/** Registers the tests. */
export function doctor(kind: WorldKind, lacking: readonly string[]): void {
  let world: World;
  beforeAll(async () => {
    world = await kind.open();
  });
  afterAll(() => world.end());

  describe("features", () => {
    test("are there, but for those that are known to be missing", () => {
      const missing = probeFeatures(world.kernel).filter(({ state }) => state !== "present");
      expect(missing.map(({ id }) => id)).toEqual(lacking);
      expect(missing.every(({ state }) => state === "missing")).toBe(true);
    });

    test("are probed once, and without a trace", () => {
      let calls = 0;
      const kernel = another(world.kernel);
      const counting = new Proxy(kernel, {
        get(target, name) {
          if (name === "bpf") calls++;
          return Reflect.get(target, name);
        },
      });
      const before = nextFd(kernel);
      const first = probeFeatures(counting);
      expect(calls).toBeGreaterThanOrEqual(FEATURES.length);
      calls = 0;
      expect(probeFeatures(counting)).toEqual(first);
      expect(calls, "calls the second time").toBe(0);
      expect(nextFd(kernel), "no fd is left open").toBe(before);
    });

    test("that a task may not try are unknown, and are tried again once it may", () => {
      const kernel = another(world.kernel);
      world.unprivileged([], (task) => {
        const unknown = probeFeatures(task === world.kernel ? kernel : task);
        const states = new Map(unknown.map(({ id, state }) => [id, state]));
        expect(states.get("netns-links")).toBe("unknown");
        expect(states.get("link-ids")).toBe("unknown");
        expect(states.get("link-detach"), "needs no right").toBe("present");
        expect(() => requireFeature(task === world.kernel ? kernel : task, "link-ids")).toThrow(
          new UnsupportedError({ feature: "walking all links by id", since: "CAP_SYS_ADMIN" }),
        );
      });
      expect(probeFeature(kernel, "netns-links").state).toBe("present");
    });

    test("that an older kernel lacks name the Linux that has them", () => {
      const old = without(world.kernel, BPF_LINK_DETACH);
      expect(probeFeature(old, "link-detach")).toMatchObject({
        state: "missing",
        since: "Linux 5.9",
      });
      expect(() => requireFeature(old, "link-detach")).toThrow(/BPF_LINK_DETACH.* Linux 5\.9$/);
      expect(() => requireFeature(world.kernel, "link-detach")).not.toThrow();
      expect(() => probeFeature(old, "antigravity")).toThrow(RangeError);
    });
  });

  describe("a checkup", () => {
    test("as root finds no problem here", () => {
      const checkup = examine(another(world.kernel));
      expect(checkup.checks.filter(({ status }) => status === "problem")).toEqual([]);
      expect(checkup.kernel).toBe(world.kernel.name);
      expect(checkup.version).toMatch(/^\d+\.\d+/);
      expect(checkup.capabilities).toContain("CAP_BPF");
      expect(checkup.bpffs).not.toEqual([]);
      expect(checkup.uid).toBe(0);
      expect(checkup.sysctls["kernel.unprivileged_bpf_disabled"]).toBeTypeOf("number");
      expect(JSON.parse(JSON.stringify(checkup)), "plain data").toEqual(checkup);
    });

    test("without capabilities names each that is missing, and what to do", () => {
      const found = world.unprivileged([], (task) =>
        examine(task === world.kernel ? another(task) : task),
      );
      const missing = found.checks.filter(({ id }) => id.startsWith("capability-"));
      expect(missing.map(({ id }) => id)).toEqual([
        "capability-CAP_BPF",
        "capability-CAP_NET_ADMIN",
        "capability-CAP_SYS_ADMIN",
      ]);
      for (const check of missing) expect(check).toMatchObject({ status: "problem" });
      const lines = formatCheckup(found).join("\n");
      expect(lines).toMatch(/^PROBLEM {2}CAP_BPF is missing: .* EPERM\n +-> run it as root/m);
      expect(lines).toMatch(/^note {5}not to be known: .*\n +-> trying needs CAP_SYS_ADMIN$/m);
    });

    test("on an old Linux, in a container, with little to lock, says so", () => {
      const texts = {
        "/proc/sys/kernel/osrelease": "5.4.0-generic\n",
        "/proc/thread-self/limits":
          "Max locked memory         65536                65536    bytes\n",
        "/proc/thread-self/uid_map": "         0     100000      65536\n",
        "/proc/self/mountinfo": "1 0 0:1 / / rw - tmpfs tmpfs rw\n",
        "/proc/sys/net/core/bpf_jit_enable": "0\n",
        "/proc/sys/kernel/unprivileged_bpf_disabled": "0\n",
      };
      const bare: Kernel = new Proxy(lying(world.kernel, { texts }), {
        get: (target, name) =>
          name === "bpffs"
            ? { ...target.bpffs, mounts: () => [] }
            : name === "name"
              ? "linux"
              : Reflect.get(target, name),
      });
      const statuses = new Map(examine(bare).checks.map(({ id, status }) => [id, status]));
      for (const id of ["version", "user-namespace", "memlock", "bpffs"]) {
        expect(statuses.get(id), id).toBe("problem");
      }
      for (const id of ["jit", "unprivileged-bpf"]) expect(statuses.get(id), id).toBe("note");
    });
  });
}
