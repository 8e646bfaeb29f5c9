/**
 * A machine whose mounts and processes aren't those of this one is misread if this breaks: what
 * others have is given as text.
 */

import { describe, expect, test } from "vitest";
import { parseMounts } from "../../src/linux/mounts.ts";
import { isKernelThreadStat } from "../../src/linux/root.ts";

describe("mountinfo", () => {
  const MOUNTINFO = [
    "24 29 0:22 / /proc rw,nosuid shared:5 - proc proc rw",
    "31 24 0:27 / /sys/fs/bpf rw,nosuid,nodev,noexec,relatime shared:9 - bpf bpf rw,mode=700",
    "90 29 0:45 / /mnt/two\\040words\\011and\\134more\\012 rw,relatime - bpf bpf rw",
    "91 29 0:45 /a\\040b /opt/b rw,relatime shared:7 master:3 - bpf none rw",
    "92 29 0:46 / /mnt/bpf rw,relatime - bpffs bpf rw",
    "93 29 0:4 net:[4026531840] /run/netns/blue rw shared:12 - nsfs nsfs rw",
    "94 29 0:47 / /mnt/ümläut\\043 rw - bpf bpf\\0402 rw",
    "",
  ].join("\n");

  test("blanks, tabs, newlines and backslashes are what they stand for", () => {
    expect(parseMounts(MOUNTINFO, "bpf")).toEqual([
      { path: "/sys/fs/bpf", device: "0:27", root: "/" },
      { path: "/mnt/two words\tand\\more\n", device: "0:45", root: "/" },
      { path: "/opt/b", device: "0:45", root: "/a b" },
      { path: "/mnt/ümläut#", device: "0:47", root: "/" },
    ]);
  });

  test("other file systems are left out, and those whose names begin alike", () => {
    expect(parseMounts(MOUNTINFO, "nsfs")).toEqual([
      { path: "/run/netns/blue", device: "0:4", root: "net:[4026531840]" },
    ]);
    expect(parseMounts(MOUNTINFO, "bp")).toEqual([]);
    expect(parseMounts("", "bpf")).toEqual([]);
  });
});

describe("process 2", () => {
  const AFTER = "0 -1 0 0 0 0 0 0 0 20 0 1 0 3 0 0";

  test.each([
    ["a kernel thread", "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0", true],
    ["a shell in a container", "2 (sh) S 1 2 1 34816 9 4194560 0 0", false],
    ["a process with all other flags", `2 (sh) S 1 2 1 0 -1 ${0xffdf_ffff} 0 0`, false],
    [
      "one whose name looks like fields",
      "2 (a) S 0 0 0 0 -1 2129984) R 1 2 1 0 9 4194560 0",
      false,
    ],
    ["a thread with brackets in its name", "2 ((kworker) x) S 0 0 0 0 -1 2097152 0 0", true],
  ])("is %s", (_what, stat, expected) => {
    expect(isKernelThreadStat(`${stat} ${AFTER}\n`)).toBe(expected);
  });
});
