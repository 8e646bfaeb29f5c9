/** The command as a whole: the demo, objects shown, usage, and what only a terminal sees. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assemble } from "../../src/asm/index.ts";
import { Output } from "../../src/cli/output.ts";
import { Progress } from "../../src/cli/progress.ts";
import { table } from "../../src/cli/text.ts";
import { FLOW } from "../nouns/stage.ts";
import { Command, expectUsageError, projectFile } from "./command.ts";

const OBJECT = "bpf/flow.bpf.o";
const EVERYTHING = "test/elf/fixtures/everything.v3.o";

let nslink: Command;
beforeAll(() => {
  nslink = new Command();
});
afterAll(() => nslink[Symbol.dispose]());

async function succeeds(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await nslink.run(args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

describe("demo", () => {
  test("tells a link's whole life, and all of it is so", async () => {
    const lines = (await succeeds("demo")).split("\n").map((line) => line.trim());
    const story: readonly RegExp[] = [
      /^network namespace blue created, inode \d+$/,
      /^flow\.bpf\.o loaded: 7 programs, of which dissect comes first, id 1$/,
      /^flow-v2\.bpf\.o loaded: 7 programs, of which dissect comes first, id 8$/,
      /^✓ link 1 attaches program 1 to blue$/,
      /^✓ a second link is refused: BPF_LINK_CREATE: E2BIG: .*\(id 1, program 1\)/,
      /^✓ a direct attach is refused: BPF_PROG_ATTACH: EEXIST: /,
      /^✓ a direct detach is refused: BPF_PROG_DETACH: EINVAL: /,
      /^✓ 478 packets of examples\/traffic\.pcap dissected: /,
      /^✓ LINK_UPDATE after packet 239: program 1 dissected 239, program 8 239, lost 0$/,
      /^✓ program 8 counted \d+ IP packets in its map proto_packets: \d+ TCP, /,
      /^✓ blue died; link 1 is defunct: inode 0, still holding program 8$/,
      /^✓ an update is refused: BPF_LINK_UPDATE: ENOLINK: link 1 is defunct: /,
      /^✓ the last fd of link 1 closed: the link is gone$/,
      /^10 checks, all of it so$/,
    ];
    let at = 0;
    for (const sentence of story) {
      const found = lines.findIndex((line, i) => i >= at && sentence.test(line));
      expect(found, `${sentence}`).toBeGreaterThanOrEqual(at);
      at = found + 1;
    }
    expect(lines.filter((line) => line.startsWith("✗"))).toEqual([]);
  });

  test("ends with 1 when something isn't so", () => {
    using other = new Command();
    // A kernel that gives the wrong reason.
    other.patch("kernel/bpf/net_namespace.js", (code) => code.replaceAll("-E2BIG", "-EEXIST"));
    const { status, stdout } = other.shell("nslink demo");
    expect(stdout).toMatch(/✗ a second link is refused: BPF_LINK_CREATE: EEXIST/);
    expect(stdout).toMatch(/\n\d+ checks, NOT all of it so\n$/);
    expect(status).toBe(1);
  });
});

describe("inspect", () => {
  test("lists programs, maps and sections", async () => {
    const text = await succeeds("inspect", EVERYTHING);
    expect(text).toMatch(/^program +type +section +insns +calls +maps +runs on\n/);
    expect(text).toMatch(
      /^dissect +flow_dissector +flow_dissector +\d+ +bump_twice, bump +\S.* jit, [\d,]+ bytes$/m,
    );
    expect(text).toMatch(/^pass +xdp +\?xdp\.frags +\d+ +scale +\.rodata +jit, [\d,]+ bytes$/m);
    expect(text).toMatch(/^flows +hash +4 +12 +128 +pinned by name$/m);
    expect(text).toMatch(/^\.rodata +array +4 +32 +1 +32 bytes, frozen$/m);
    expect(text).toMatch(/^\.bss +72 +yes$/m);
    expect(text).toMatch(/^license Dual BSD\/GPL; BTF [\d,]+ bytes\n$/m);
  });

  test("--json has the same for programs", async () => {
    const object = JSON.parse(await succeeds("inspect", OBJECT, "--json"));
    const fields = ["license", "btf_bytes", "programs", "maps", "sections"];
    expect(Object.keys(object)).toEqual(fields);
    expect(object.license).toBe("Apache-2.0");
    expect(object.programs.map(({ name }: { name: string }) => name)).toEqual([
      ...FLOW.programs.keys(),
    ]);
    expect(object.programs[0]).toMatchObject({
      name: "dissect",
      section: "flow_dissector",
      type: "BPF_PROG_TYPE_FLOW_DISSECTOR",
      maps: ["next_program"],
      runs_on: { engine: "jit", reason: null, code: { functions: 1, dispatched: 0 } },
    });
    expect(object.maps).toEqual([
      {
        name: "next_program",
        type: "BPF_MAP_TYPE_PROG_ARRAY",
        key_size: 4,
        value_size: 4,
        max_entries: 6,
        flags: 0,
        pinning: "none",
        frozen: false,
        contents: "6 programs",
      },
    ]);
  });

  test("names that a terminal would obey are made harmless", async () => {
    const bytes = Buffer.from(projectFile(OBJECT));
    for (let at = bytes.indexOf("parse_mpls"); at >= 0; at = bytes.indexOf("parse_mpls")) {
      bytes.write("par\x1b[2Jmpl", at, "latin1");
    }
    const path = nslink.file("rude.o", bytes);
    const text = await succeeds("inspect", path);
    expect(text).toContain("par\\x1b[2Jmpl");
    expect(text).not.toContain("\x1b");
    expect(await succeeds("disasm", path)).not.toContain("\x1b");
    const { stderr } = await nslink.run(["disasm", path, "--program", "x\x1b[2J"]);
    expect(stderr).not.toContain("\x1b");
  });
});

describe("disasm", () => {
  test("shows each instruction below its source line", async () => {
    const text = await succeeds("disasm", OBJECT);
    expect(text).toMatch(/^dissect:\n; /);
    expect(text).toMatch(/^; .+ @ \.\/bpf\/dissector\.h:\d+$/m);
    expect(text).toMatch(/^ +\d+: [0-9a-f]{16} {2}r\d = map_fd\[.*\] {2}# next_program$/m);
    expect(text, "a line that the compiler couldn't see").toMatch(/^; @ bpf\/bpf_helpers\.h:\d+$/m);
    for (const name of FLOW.programs.keys()) expect(text).toContain(`${name}:\n`);
  });

  test("--program shows one, and what is shown is what the program is", async () => {
    const text = await succeeds("disasm", OBJECT, "--program", "parse_mpls");
    expect(text).toMatch(/^parse_mpls:\n/);
    expect(text).not.toContain("parse_ipv4:\n");
    const [program] = JSON.parse(
      await succeeds("disasm", OBJECT, "--program", "parse_mpls", "--json"),
    );
    expect(program).toMatchObject({ program: "parse_mpls", section: "flow_dissector" });
    const hex = program.instructions.map(({ bytes }: { bytes: string }) => bytes).join("");
    const { instructions } = FLOW.programs.get("parse_mpls") ?? {};
    expect(hex).toBe(Buffer.from(instructions ?? []).toString("hex"));
    for (const { slot, text: line } of program.instructions) {
      expect(text).toMatch(new RegExp(`^ +${slot}: [0-9a-f]{16}  ${escaped(line)}`, "m"));
    }
  });

  test("--json has source lines, maps and functions where they are known", async () => {
    const programs = JSON.parse(await succeeds("disasm", EVERYTHING, "--json"));
    const lines = programs.flatMap(({ instructions }: { instructions: object[] }) => instructions);
    const some = (field: string): unknown => lines.find((line: object) => field in line);
    expect(some("source")).toMatchObject({
      source: { file: expect.stringMatching(/everything\.bpf\.c$/), line: expect.any(Number) },
    });
    expect(some("map")).toMatchObject({ slot: expect.any(Number), map: expect.any(String) });
    expect(some("subprogram")).toMatchObject({ slot: 0 });
  });

  test("--wasm shows the compiled code of each instruction, and --json the same", async () => {
    const text = await succeeds("disasm", OBJECT, "--program", "parse_mpls", "--wasm");
    expect(text).toMatch(/^parse_mpls: [\d,]+ bytes of WebAssembly$/m);
    expect(text).toMatch(/^; .+ @ \.\/bpf\/dissector\.h:\d+\n +\d+: .+\n +[0-9a-f]+: 20/m);
    const [program] = JSON.parse(
      await succeeds("disasm", OBJECT, "--program", "parse_mpls", "--wasm", "--json"),
    );
    expect(program.functions[0]).toMatchObject({ name: "parse_mpls", flow: "structured" });
    const slots = new Set();
    for (const { code } of program.functions) {
      for (const { offset, bytes, text: line, slot } of code) {
        const pattern = `^ +${offset.toString(16)}: ${bytes} +${escaped(line)}$`;
        expect(text).toMatch(new RegExp(pattern, "m"));
        if (slot !== undefined) slots.add(slot);
      }
    }
    expect(slots.size).toBeGreaterThan(20);
  });

  test("shows a fixture of every instruction set", async () => {
    for (const version of ["v1", "v2", "v3", "v4"]) {
      const text = await succeeds("disasm", `test/elf/fixtures/everything.${version}.o`);
      expect(text.split("\n").length).toBeGreaterThan(200);
    }
  });
});

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

describe("usage", () => {
  test("--help names every command, and a command's help its options", async () => {
    const help = await succeeds("--help");
    for (const command of [
      ...["attach", "update", "detach", "pin", "unpin", "ls", "show", "explain", "prog", "netns"],
      ...["run", "demo", "inspect", "disasm", "doctor", "script", "completion"],
    ]) {
      expect(help).toMatch(new RegExp(`^  ${command} `, "m"));
    }
    const run = await succeeds("run", "--help");
    for (const option of ["--program", "--json", "--summary", "--flags", "--limit"]) {
      expect(run).toContain(option);
    }
    expect(await succeeds("help", "run")).toBe(run);
  });

  test("--version says which this is", async () => {
    const { version } = JSON.parse(Buffer.from(projectFile("package.json")).toString());
    expect(await succeeds("--version")).toBe(`${version}\n`);
  });

  test("no command at all shows the help, and is wrong", async () => {
    const { status, stdout, stderr } = await nslink.run([]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/^Usage: nslink /);
  });

  test("what there isn't is one line and exit 2", async () => {
    expectUsageError(await nslink.run(["link"]), /unknown command 'link'/);
    expectUsageError(await nslink.run(["inspct"]), /'inspct' \(Did you mean inspect\?\)/);
    expectUsageError(await nslink.run(["inspect"]), /missing required argument 'object'/);
    expectUsageError(await nslink.run(["inspect", "nowhere"]), /object nowhere: there is no such/);
    expectUsageError(await nslink.run(["inspect", OBJECT, "--program"]), /unknown option/);
    expectUsageError(await nslink.run(["demo", "more"]), /too many arguments for 'demo'/);
    expectUsageError(
      await nslink.run(["disasm", OBJECT, "--program", "nobody"]),
      /bpf\/flow\.bpf\.o holds no program nobody; it holds dissect, /,
    );
    expectUsageError(await nslink.run(["disasm", "package.json"]), /package.json: .*not an ELF/);
  });

  test("a program that the kernel refuses is exit 1, with the end of the log", async () => {
    const bytes = Buffer.from(projectFile(OBJECT));
    const exit = Buffer.from(assemble("exit"));
    const { instructions } = FLOW.programs.get("dissect") ?? {};
    const entry = bytes.indexOf(Buffer.from(instructions ?? []).subarray(0, 16));
    const end = bytes.indexOf(exit, entry);
    bytes.set(assemble("goto +32000"), end);
    const path = nslink.file("stray.o", bytes);
    const { status, stdout, stderr } = await nslink.run(["run", path, "examples/traffic.pcap"]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(
      /^nslink: BPF_PROG_LOAD: EINVAL: program dissect was rejected: .+\n {2}/,
    );
  });
});

/** Back to the start of the line, and clear it. */
const CLEAR_LINE = "\r\x1b[K";

/** Whether there is a script(1) that gives a command a terminal; a BSD's takes other options. */
const hasTerminal = spawnSync("script", ["--version"], { encoding: "utf8" }).stdout?.includes(
  "util-linux",
);
if (!hasTerminal) console.warn("NOT RUN: the progress bar: there is no script(1) of util-linux");

describe("colours", () => {
  const painted = (isTTY: boolean, environment: NodeJS.ProcessEnv): string => {
    const sink = { isTTY, write: () => true, once: () => {} };
    return new Output(sink, sink, environment).paint("red", "x");
  };

  test("are for terminals that show them", () => {
    expect(painted(true, {})).toBe("\x1b[31mx\x1b[0m");
    expect(painted(true, { TERM: "xterm", NO_COLOR: "" })).toBe("\x1b[31mx\x1b[0m");
    expect(painted(true, { NO_COLOR: "1" })).toBe("x");
    expect(painted(true, { TERM: "dumb" })).toBe("x");
    expect(painted(false, {})).toBe("x");
  });

  test("leave columns as wide as they are, and names can't bring their own", () => {
    const paint = (cell: string): string => `\x1b[31m${cell}\x1b[0m`;
    const text = table(
      [{ title: "a", paint }, { title: "b", align: "right", paint }, { title: "c" }],
      [
        ["x\x1b[2J", "1", "y\nz"],
        ["long", "", "\t"],
      ],
    );
    expect(text).toBe(
      [
        "a         b  c",
        "\x1b[31mx\\x1b[2J\x1b[0m  \x1b[31m1\x1b[0m  y\\nz",
        "\x1b[31mlong\x1b[0m       \x1b[31m\x1b[0m  \\t",
        "",
      ].join("\n"),
    );
  });
});

describe("progress", () => {
  /** Pieces of a capture that are offered at most before a bar is given up. */
  const MAX_PIECES = 100_000;

  test.skipIf(!hasTerminal)("is shown on a terminal, and taken away", async () => {
    const fifo = join(nslink.folder, "fifo");
    expect(spawnSync("mkfifo", [fifo]).status).toBe(0);
    const run = `'${process.execPath}' '${nslink.main}' run ${OBJECT} - --summary <'${fifo}'`;
    const child = spawn("script", ["-qec", run, "/dev/null"], { stdio: ["ignore", "pipe", 2] });
    let shown = "";
    child.stdout?.on("data", (part: Buffer) => {
      shown += part;
    });
    const closed = once(child, "close");
    const capture = projectFile("examples/traffic.pcap");
    const input = createWriteStream(fifo);
    input.write(capture);
    // The command takes what comes for as long as it takes until it shows how far it is.
    for (let pieces = 0; !shown.includes(" packets") && pieces < MAX_PIECES; pieces++) {
      if (!input.write(capture.subarray(24))) await once(input, "drain");
      await nextTurn();
    }
    input.end();
    expect(await closed).toEqual([0, null]);
    const [bar, ...more] = shown.split(CLEAR_LINE).filter((part) => part !== "");
    expect(bar).toMatch(/^[\d,]+ packets$/);
    expect(more.at(-1)).toMatch(/^packets +bytes +protocol +flow\r\n/);
  });

  test("grows with what is done, ten times a second at most, and not for short work", () => {
    const written: string[] = [];
    let now = 0;
    const terminal = { isTTY: true, write: (text: string) => written.push(text) };
    const progress = new Progress(1000, terminal, () => now);
    for (now = 0; now <= 1000; now += 10) progress.update(now, `${now} packets`);
    progress.clear();
    progress.clear();
    expect(written).toHaveLength(9);
    expect(written[0]).toBe(`${CLEAR_LINE}[${"#".repeat(9)}${" ".repeat(21)}]  30 % 300 packets`);
    expect(written[7]).toBe(`${CLEAR_LINE}[${"#".repeat(30)}] 100 % 1000 packets`);
    expect(written[8]).toBe(CLEAR_LINE);
  });

  test("is not shown where there is no terminal", () => {
    const written: string[] = [];
    let now = 0;
    const progress = new Progress(1000, { write: (text) => written.push(text) }, () => now);
    now = 5000;
    progress.update(500, "");
    progress.clear();
    expect(written).toEqual([]);
  });
});
