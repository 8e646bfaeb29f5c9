/**
 * A command refuses what Linux lets a task do, or is silent about what it couldn't find out, if
 * this breaks: every command under every single capability and none.
 */

import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Collection, Link, loadObject, NetNs } from "../../src/index.ts";
import { takeInventory, unknownText } from "../../src/inventory/index.ts";
import { ALL_CAPABILITIES, type Capability, EmbeddedKernel } from "../../src/kernel/index.ts";
import { describeOnLinux } from "../contract/linux_available.ts";
import { Command, PROJECT, projectFile } from "./command.ts";
import { hasTool, LinuxScene } from "./linux_scene.ts";

const FLOW = "bpf/flow.bpf.o";
const NOBODY = 65_534;

/** Who runs the commands: nobody, with these capabilities. */
const RIGHTS = {
  none: [],
  bpf: ["bpf"],
  net_admin: ["net_admin"],
  perfmon: ["perfmon"],
  sys_admin: ["sys_admin"],
  "bpf and net_admin": ["bpf", "net_admin"],
  "bpf, net_admin and perfmon": ["bpf", "net_admin", "perfmon"],
} as const;
type Rights = keyof typeof RIGHTS;

const SOME: readonly Rights[] = ["sys_admin"];
const QUERY: readonly Rights[] = [
  "net_admin",
  "sys_admin",
  "bpf and net_admin",
  "bpf, net_admin and perfmon",
];
const LOAD: readonly Rights[] = ["sys_admin", "bpf, net_admin and perfmon"];
const ALL = Object.keys(RIGHTS) as Rights[];

interface Row {
  readonly words: (scene: Names) => readonly string[];
  /** With which rights it succeeds; the others are refused, exit code 1. */
  readonly succeeds: readonly Rights[];
  /** What it says then, for each right that is missing. */
  readonly says?: Partial<Record<"sys_admin" | "net_admin", RegExp>>;
}

interface Names {
  readonly netns: string;
  readonly pin: string;
  readonly id: string;
  readonly spare: string;
}

const UNKNOWN_LINKS = /links without a pin .* unknown: needs CAP_SYS_ADMIN/;
const UNKNOWN_ATTACHED = /what is attached unknown: needs CAP_NET_ADMIN/;
const LOOK = { sys_admin: UNKNOWN_LINKS, net_admin: UNKNOWN_ATTACHED };

const ROWS: Readonly<Record<string, Row>> = {
  ls: { words: () => ["ls"], succeeds: ALL, says: LOOK },
  "show PIN": { words: ({ pin }) => ["show", pin], succeeds: ALL, says: LOOK },
  "show ID of a pinned link": { words: ({ id }) => ["show", id], succeeds: ALL, says: LOOK },
  "show ID of no link": { words: () => ["show", "2147483646"], succeeds: [] },
  "explain PIN": { words: ({ pin }) => ["explain", pin], succeeds: ALL, says: LOOK },
  "netns ls": { words: () => ["netns", "ls"], succeeds: ALL, says: LOOK },
  "netns ls --json": { words: () => ["netns", "ls", "--json"], succeeds: ALL, says: LOOK },
  "prog query": {
    words: ({ netns }) => ["prog", "query", "--netns", netns],
    succeeds: QUERY,
    says: { sys_admin: UNKNOWN_LINKS },
  },
  "pin PIN PATH": {
    words: ({ pin, spare }) => ["pin", pin, spare],
    succeeds: ALL,
    says: { sys_admin: /maps are not pinned: finding them needs CAP_SYS_ADMIN/ },
  },
  "update PIN OBJECT": { words: ({ pin }) => ["update", pin, FLOW], succeeds: LOAD },
  "prog attach in one's own namespace": {
    words: ({ spare }) => [
      "prog",
      "attach",
      FLOW,
      "--netns",
      "self",
      "--pin-maps",
      `${spare}-direct`,
    ],
    succeeds: LOAD,
  },
  "netns add": { words: ({ netns }) => ["netns", "add", `${netns}-more`], succeeds: [] },
  "netns del": { words: ({ netns }) => ["netns", "del", netns], succeeds: [] },
  doctor: { words: () => ["doctor"], succeeds: SOME },
  "detach PIN": { words: ({ pin }) => ["detach", pin], succeeds: ALL },
  "unpin PIN": { words: ({ pin }) => ["unpin", pin], succeeds: ALL },
};

/** Runs command lines one after the other in one process: starting one takes longer than most. */
const RUNNER = `
import { describeFailure } from "./dist/cli/failure.js";
import { Output } from "./dist/cli/output.js";
import { parse } from "./dist/cli/program.js";
import { Session } from "./dist/cli/session.js";
const ends = [];
for (const words of JSON.parse(process.argv[2])) {
  let text = "";
  const sink = { write: (part) => ((text += part), true), once() {} };
  const session = new Session({ output: new Output(sink, sink) });
  let status;
  try {
    status = await parse(session, words);
  } catch (error) {
    const failure = describeFailure(error);
    text += failure.text;
    status = failure.exitCode;
  }
  session[Symbol.dispose]();
  ends.push({ status, text });
}
console.log(JSON.stringify(ends));
`;

await describeOnLinux("rights on Linux", () => {
  if (!hasTool("setpriv", "commands under single capabilities")) return;
  let nslink: Command;
  let scene: LinuxScene;
  let runner: string;
  beforeAll(async () => {
    nslink = new Command();
    scene = await LinuxScene.open("rights");
    runner = nslink.file("rights.mjs", RUNNER);
    // Nobody comes here.
    chmodSync(nslink.folder, 0o755);
    chmodSync(scene.bpffs, 0o1777);
  });
  afterAll(() => {
    scene[Symbol.dispose]();
    nslink[Symbol.dispose]();
  });

  /** A pinned link that is nobody's, in a namespace of its own where nothing else is. */
  async function prepare(short: string): Promise<Names> {
    const netns = scene.netns(short);
    const home = scene.pin(short);
    mkdirSync(home);
    const pin = join(home, "link");
    const made = await nslink.run(["attach", FLOW, "--netns", netns, "--pin", pin, "--json"]);
    expect(made).toMatchObject({ status: 0, stderr: "" });
    for (const path of [home, ...readdirSync(home, { recursive: true })]) {
      chownSync(path === home ? home : join(home, `${path}`), NOBODY, NOBODY);
    }
    return { netns, pin, id: `${JSON.parse(made.stdout).id}`, spare: join(home, "spare") };
  }

  describe.each(ALL)("with %s", (rights) => {
    test("every command does what Linux lets it, and says what it can't know", async () => {
      const names = await prepare(`r${ALL.indexOf(rights)}`);
      const drop = ["-all", ...RIGHTS[rights].map((each) => `+${each}`)].join(",");
      const privileges = ["--inh-caps", "--ambient-caps", "--bounding-set"].flatMap((set) => [
        set,
        drop,
      ]);
      const lines = Object.values(ROWS).map(({ words }) => words(names));
      const { stdout, stderr } = spawnSync(
        "ip",
        // Of its own, so that attaching there is nobody else's affair.
        ["netns", "exec", scene.netns(`own${ALL.indexOf(rights)}`), "setpriv"]
          .concat(["--reuid", `${NOBODY}`, "--regid", `${NOBODY}`, "--clear-groups"])
          .concat(privileges, process.execPath, runner, JSON.stringify(lines)),
        { cwd: PROJECT, encoding: "utf8" },
      );
      expect(stderr).toBe("");
      const ends: readonly { status: number; text: string }[] = JSON.parse(stdout);
      expect(ends).toHaveLength(lines.length);
      for (const [i, [title, { succeeds, says = {} }]] of Object.entries(ROWS).entries()) {
        const { status = -1, text = "" } = ends[i] ?? {};
        const wanted = succeeds.includes(rights) ? 0 : 1;
        if (title !== "doctor") expect({ title, status, text }).toMatchObject({ status: wanted });
        if (wanted !== 0) continue;
        const has = new Set<string>(RIGHTS[rights]);
        for (const [right, line] of Object.entries(says)) {
          if (has.has(right) || has.has("sys_admin")) expect(text, title).not.toMatch(line);
          else expect(text, title).toMatch(line);
        }
      }
      await scene.clear();
    });
  });
});

describe("rights on the embedded kernel", () => {
  function prepare(): { kernel: EmbeddedKernel; pin: string } {
    const kernel = EmbeddedKernel.boot();
    const netns = NetNs.create(kernel, "blue");
    const pin = "/sys/fs/bpf/link";
    // Made by the user who looks.
    const owner = kernel.task({ uid: NOBODY });
    const collection = Collection.load(owner, loadObject(projectFile(FLOW)));
    const there = NetNs.open(owner, { name: "blue" });
    Link.attach(collection.program("dissect"), there).pin(pin);
    there[Symbol.dispose]();
    netns[Symbol.dispose]();
    owner[Symbol.dispose]();
    return { kernel, pin };
  }

  test.each([
    [],
    ...ALL_CAPABILITIES.map((each) => [each]),
    ["CAP_BPF", "CAP_NET_ADMIN"],
  ] as Capability[][])("a look with %j", (...capabilities) => {
    const { kernel, pin } = prepare();
    using task = kernel.task({ uid: NOBODY, capabilities });
    const { links, unknown } = takeInventory(task);
    expect(links).toMatchObject([{ state: "attached", pins: [pin] }]);
    const has = (each: Capability): boolean =>
      capabilities.includes(each) || capabilities.includes("CAP_SYS_ADMIN");
    expect(unknown.map(unknownText)).toEqual([
      ...(has("CAP_SYS_ADMIN")
        ? []
        : [
            "links without a pin that this task may open unknown: needs CAP_SYS_ADMIN",
            "names of programs unknown: needs CAP_SYS_ADMIN",
          ]),
      ...(has("CAP_NET_ADMIN") ? [] : ["what is attached unknown: needs CAP_NET_ADMIN"]),
      "holders in other processes unknown: needs CAP_SYS_PTRACE and CAP_DAC_OVERRIDE",
    ]);
    // Without CAP_DAC_OVERRIDE, nobody may not write to /run/netns either: EACCES.
    expect(task.netns.create("red")).toBe(has("CAP_SYS_ADMIN") ? -13 : -1);
    kernel[Symbol.dispose]();
  });
});
