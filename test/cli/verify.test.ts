/** `nslink verify`: users are told the wrong reason, or another than Linux has, if this breaks. */

import { spawnSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeOnLinux } from "../contract/linux_available.ts";
import { Command, expectUsageError, PROJECT } from "./command.ts";

const MISTAKES = "examples/mistakes.bpf.o";
const EVERYTHING = "test/elf/fixtures/everything.v3.o";
/** What is wrong with each program of the example, and the source line that does it. */
const CAUSES: Readonly<Record<string, readonly [string, string, RegExp]>> = {
  unchecked_packet: ["unchecked-packet-access", "EACCES", /header->h_proto/],
  endless_loop: ["endless-loop", "EINVAL", /^while \(bpf_get_prandom_u32/],
  off_by_one: ["unchecked-packet-access", "EACCES", /^return data\[/],
  unchecked_lookup: ["maybe-null", "EACCES", /^\(\*flow\)\+\+;/],
  unbounded_index: ["map-value-bounds", "EACCES", /^values\[ctx->rx_queue_index\]/],
  wrong_verdict: ["return-value", "EINVAL", /local_port == 7/],
};

let nslink: Command;
beforeAll(() => {
  nslink = new Command();
});
afterAll(() => nslink[Symbol.dispose]());

interface Verified {
  readonly program: string;
  readonly verdicts: readonly Readonly<Record<string, unknown>>[];
  readonly differences: readonly string[];
}

async function verdicts(...args: string[]): Promise<readonly Verified[]> {
  const { status, stdout, stderr } = await nslink.run(["verify", ...args, "--json"]);
  expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
  return JSON.parse(stdout);
}

describe("verify", () => {
  test("says of a section whose name isn't known that it isn't", async () => {
    const file = "test/elf/fixtures/sections.o";
    const { status, stdout } = await nslink.run(["verify", file, "--program", "unknown"]);
    expect(stdout).toMatch(/the name of its section, "nobody\/knows", isn't known/);
    expect(stdout).not.toContain("UNSPEC");
    expect(status).toBe(1);
  });

  test("finds each mistake, with its line and what mends it", async () => {
    const programs = await verdicts(MISTAKES);
    expect(programs.map(({ program }) => program).sort()).toEqual(
      [...Object.keys(CAUSES), "mended"].sort(),
    );
    for (const { verdicts: all, differences, program: name } of programs) {
      const { kernel, accepted, refusal, statistics } = all[0] ?? {};
      expect(differences).toEqual([]);
      expect(kernel).toBe("embedded");
      expect(statistics).toMatchObject({ time_us: expect.any(Number) });
      const [cause, errno, text] = CAUSES[name] ?? [];
      expect(accepted).toBe(cause === undefined);
      if (cause === undefined) continue;
      expect(refusal).toMatchObject({
        cause,
        errno,
        mend: expect.stringMatching(/.{20}/),
        instruction: { slot: expect.any(Number), text: expect.any(String) },
        source: { file: "./examples/mistakes.bpf.c", text: expect.stringMatching(text as RegExp) },
      });
    }
  });

  test("says what to compare, and what was known of the registers", async () => {
    const args = ["verify", MISTAKES, "--program", "off_by_one"];
    const { status, stdout } = await nslink.run(args);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^off_by_one \(xdp\)\n {2}✗ refused, EACCES: the packet may end before/);
    expect(stdout).toMatch(/^ {4}instruction {2}5: r1 = \*\(u8 \*\)\(r2 \+ 0\)$/m);
    expect(stdout).toMatch(/^ {4}R2 {11}pkt\(off=13,r=13\)$/m);
    expect(stdout).toMatch(/^ {4}mend {9}compare data \+ 14 with data_end before this access$/m);
  });

  test("an accepted program is exit 0; its log is shown when it is asked for", async () => {
    const mended = [MISTAKES, "--program", "mended"];
    const quiet = await nslink.run(["verify", ...mended]);
    expect(quiet).toMatchObject({ status: 0, stderr: "" });
    expect(quiet.stdout).toMatch(/^ {2}✓ accepted; \d+ instructions walked, \d+ states? \(peak/m);
    expect(quiet.stdout).not.toContain("R1=ctx()");
    const { stdout } = await nslink.run(["verify", ...mended, "--log", "2"]);
    expect(stdout).toContain("0: R1=ctx() R10=fp0");
    expect(stdout).toMatch(/^ {4}; values = bpf_map_lookup_elem.* @ mistakes\.bpf\.c:\d+$/m);
  });

  test("a map that can't be made is said of its program, and the others are asked", async () => {
    const { status, stdout } = await nslink.run(["verify", EVERYTHING]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^ {2}✗ BPF_MAP_CREATE: EINVAL: map seen: /m);
    expect(stdout).toMatch(/^ {2}✓ accepted; /m);
  });

  test("a script's kernel is asked, and a refused program ends the script", async () => {
    const lines = [`verify ${MISTAKES} --program mended`, `verify ${MISTAKES}`, "netns ls"];
    const path = nslink.file("verify.nsl", lines.join("\n"));
    const { status, stdout, stderr } = await nslink.run(["script", path, "--kernel", "embedded"]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^mended \(xdp\)\n {2}✓ accepted; /);
    expect(stderr).toMatch(/:2: this line ends the script\n$/);
  });

  test("what can't be asked is wrong usage", async () => {
    expectUsageError(await nslink.run(["verify", "nowhere"]), /there is no such file/);
    expectUsageError(
      await nslink.run(["verify", MISTAKES, "--program", "nobody"]),
      /holds no program nobody/,
    );
    expectUsageError(await nslink.run(["verify", MISTAKES, "--log", "3"]), /Allowed choices/);
  });
});

await describeOnLinux("verify beside Linux", () => {
  test("both kernels refuse the same, for the same reason, at the same instruction", async () => {
    for (const program of await verdicts(MISTAKES, "--kernel", "both")) {
      expect(program).toMatchObject({ differences: [] });
      expect(program.verdicts.map(({ kernel }) => kernel)).toEqual(["linux", "embedded"]);
    }
  });

  test("a missing right is no verdict, and no difference of the kernels", () => {
    chmodSync(nslink.folder, 0o755);
    const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"];
    const command = [process.execPath, nslink.main, "verify", MISTAKES, "--kernel", "both"];
    const options = { cwd: PROJECT, encoding: "utf8" } as const;
    const words = spawnSync("setpriv", [...nobody, ...command], options);
    expect(words.stdout).toMatch(/linux +- not verified: EPERM: .*CAP_BPF/);
    expect(words.stdout).not.toContain("differ");
    const json = spawnSync("setpriv", [...nobody, ...command, "--json"], options);
    for (const { differences, verdicts: all } of JSON.parse(json.stdout) as readonly Verified[]) {
      expect(differences).toEqual([]);
      expect(all[0]).toMatchObject({ kernel: "linux", accepted: null });
      expect(typeof all[1]?.accepted).toBe("boolean");
    }
    expect(json.status).toBe(1);
  });

  test("Linux's verifier speaks through the same words", async () => {
    const args = ["verify", MISTAKES, "--program", "unchecked_lookup", "--kernel", "linux"];
    const { stdout } = await nslink.run(args);
    expect(stdout).toContain("✗ refused, EACCES: the pointer may be NULL here");
    expect(stdout).toContain("mend         compare r0 with 0 (NULL) before it is used");
  });
});
