/** Scripts: the same lines on both kernels come to the same; what may fail, and how it is told. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { shellWords, WordsError } from "../../src/cli/shell_words.ts";
import { describeOnLinux } from "../contract/linux_available.ts";
import { Command, type Ended, expectUsageError } from "./command.ts";
import { LinuxScene } from "./linux_scene.ts";

const FLOW = "bpf/flow.bpf.o";

let nslink: Command;
beforeAll(() => {
  nslink = new Command();
});
afterAll(() => nslink[Symbol.dispose]());

async function script(text: string, ...options: string[]): Promise<Ended> {
  const args = ["script", "-", ...(options.length > 0 ? options : ["--kernel", "embedded"])];
  return nslink.run(args, Buffer.from(text));
}

describe("words", () => {
  test.each([
    ["", []],
    ["  \t ", []],
    ["# only a comment", []],
    ["netns ls", ["netns", "ls"]],
    ["  a\tb  # c", ["a", "b"]],
    ["a#b #c", ["a#b"]],
    [`'a b' "c d"`, ["a b", "c d"]],
    [`a'b'"c"d`, ["abcd"]],
    [`'' ""`, ["", ""]],
    [`a\\ b \\# \\'`, ["a b", "#", "'"]],
    [`"a\\"b\\\\c\\d"`, [`a"b\\c\\d`]],
    [`'a\\b"c'`, [`a\\b"c`]],
    [`'#' x`, ["#", "x"]],
    ["a\r", ["a"]],
  ])("of %j", (line, words) => {
    expect(shellWords(line)).toEqual(words);
  });

  test.each([`'a`, `"a`, `a "b\\"`, "a\\"])("are not to be had of %j", (line) => {
    expect(() => shellWords(line)).toThrow(WordsError);
  });
});

describe("a script", () => {
  test("runs on one embedded kernel, which lives through it", async () => {
    const { status, stdout, stderr } = await script(`
      netns add blue   # inside of this script only
      attach ${FLOW} --netns blue --as first
      prog query --netns blue
      netns ls
    `);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toBe(
      [
        "network namespace blue created (inode 4026531840)",
        "link 1: program 1 attached to blue (inode 4026531840)",
        "this script holds it until it ends, or releases it",
        "program  name     tag               type            attached",
        "      1  dissect  8b292f77fb0f68ae  flow_dissector  by link 1",
        "namespace       inode  processes  held by  attached",
        "root       4026531833          1  -        -",
        "blue       4026531840          0  -        link 1",
        "",
      ].join("\n"),
    );
  });

  test("shows its lines with --echo", async () => {
    const { stdout } = await script("netns add blue\n", "--kernel", "embedded", "--echo");
    expect(stdout).toMatch(/^> netns add blue\nnetwork namespace blue created/);
  });

  test("ends at the first line that fails, and says which that is", async () => {
    const wrong = async (line: string, status: number, complaint: RegExp): Promise<void> => {
      const end = await script(`netns add blue\n\n${line}\nnetns add green\n`);
      expect(end.stderr).toMatch(complaint);
      expect(end.status).toBe(status);
      expect(end.stdout).not.toContain("green");
    };
    await wrong("netns add blue", 1, /^nslink: standard input:3: netns.create: EEXIST/);
    await wrong("netns del 'x", 2, /^nslink: standard input:3: a quote is not closed\n$/);
    await wrong("netns foo", 2, /unknown command 'foo'[\s\S]*standard input:3: /);
    await wrong("attach nowhere --netns blue", 2, /:3: cannot read object nowhere/);
    await wrong("ls --kernel linux", 2, /unknown option '--kernel'/);
    await wrong("script -", 2, /unknown command 'script'/);
    await wrong("show @first", 2, /:3: this script holds no link that it calls first/);
  });

  test("expects refusals, and for which reason", async () => {
    const { status, stdout } = await script(`
      netns add blue
      ! netns add blue
      !EEXIST netns add blue
      !ENOENT attach ${FLOW} --netns green
    `);
    expect(status).toBe(0);
    expect(stdout.split("\n").slice(1)).toEqual([
      "refused: netns.create: EEXIST",
      "refused: netns.create: EEXIST",
      "refused: netns.open: ENOENT",
      "",
    ]);
    const wrong = async (line: string, exit: number, complaint: RegExp): Promise<void> => {
      const end = await script(`netns add blue\n${line}\n`);
      expect(end.stderr).toMatch(complaint);
      expect(end.status).toBe(exit);
    };
    await wrong("! netns add green", 1, /:2: the kernel had to refuse this, and didn't/);
    await wrong("!EPERM netns add blue", 1, /:2: netns.create: EEXIST: [\s\S]*EPERM was due/);
    await wrong("!EWHAT netns add blue", 2, /:2: EWHAT is no errno that Linux knows/);
    await wrong("! attach nowhere --netns blue", 2, /:2: cannot read object nowhere/);
  });

  test("that can't be read is wrong usage", async () => {
    expectUsageError(await nslink.run(["script", "nowhere"]), /script nowhere: there is no such/);
    expectUsageError(await nslink.run(["script", "bpf"]), /script bpf: it is a directory/);
  });
});

await describeOnLinux("the same script on both kernels", () => {
  let scene: LinuxScene;
  beforeAll(async () => {
    scene = await LinuxScene.open("script");
  });
  afterAll(async () => {
    await scene.clear();
    scene[Symbol.dispose]();
  });

  /**
   * Ids and inodes become N, fds and pids too; the holder's name is each kernel's own, and so is
   * how wide a column of ids is.
   */
  function comparable(text: string): string {
    return text
      .replaceAll(/\b(?:init|nslink script -)(?= \(|"|\))/g, "HOLDER")
      .replaceAll(/\d+/g, "N")
      .replaceAll(/ +/g, " ")
      .replaceAll(/^ /gm, "");
  }

  test("comes to the same", async () => {
    const [blue, green] = [scene.name("blue"), scene.name("green")];
    // Where BPF's file system is, on either kernel.
    const lines = (pin: string): string => `
      netns add ${blue}
      netns add ${green}
      attach ${FLOW} --netns ${blue} --as first
      !E2BIG attach ${FLOW} --netns ${blue}
      !EEXIST prog attach ${FLOW} --netns ${blue}
      !EINVAL prog detach --netns ${blue}
      show @first
      explain @first
      explain @first --json
      update @first bpf/flow-v2.bpf.o --expect name:dissect
      !EPERM update @first ${FLOW} --expect name:parse_mpls
      !EINVAL update @first test/elf/fixtures/minimal.o
      prog query --netns ${blue}
      pin @first ${pin}
      !EEXIST pin @first ${pin}
      explain @first
      release @first
      show ${pin} --json
      detach ${pin}
      detach ${pin}
      show ${pin}
      !ENOLINK update ${pin} ${FLOW}
      unpin ${pin}
      !ENOENT unpin ${pin}
      !ENOENT show ${pin}
      attach ${FLOW} --netns ${green} --pin ${pin} --json
      netns del ${green}
      show ${pin}
      explain ${pin}
      unpin ${pin}
      prog attach ${FLOW} --netns ${blue}
      !ENOENT prog attach id:4294967295 --netns ${blue}
      !EEXIST attach ${FLOW} --netns ${blue}
      prog query --netns ${blue} --json
      prog detach --netns ${blue}
      !ENOENT prog detach --netns ${blue}
      attach test/elf/fixtures/minimal.o --netns ${blue}
      attach test/elf/fixtures/minimal.o --netns ${blue} --as second
      prog query --netns ${blue}
      release @second
      prog query --netns ${blue}
      netns del ${blue}
      !ENOENT netns del ${blue}
    `;
    const run = async (kernel: string, pin: string): Promise<string> => {
      const { status, stdout, stderr } = await script(lines(pin), "--kernel", kernel, "--echo");
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      return comparable(stdout.replaceAll(pin, "/PIN"));
    };
    const linux = await run("linux", scene.pin("link"));
    expect(linux.split("\n").length).toBeGreaterThan(150);
    expect(linux).toBe(await run("embedded", "/sys/fs/bpf/link"));
    expect(scene.pins()).toEqual([]);
    expect(scene.links()).toEqual([]);
  });
});
