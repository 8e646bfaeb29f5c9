/**
 * Commands that remove, pin or attach, given what they are not for: each is refused, as root and as
 * nobody, and nothing is touched. All of it on throwaway files.
 */

import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeOnLinux } from "../contract/linux_available.ts";
import { Command, type Ended, PROJECT } from "./command.ts";
import { LinuxScene, tool } from "./linux_scene.ts";

const FLOW = "bpf/flow.bpf.o";
const NOBODY = 65534;

let nslink: Command;
beforeAll(() => {
  nslink = new Command();
  chmodSync(nslink.folder, 0o755);
});
afterAll(() => nslink[Symbol.dispose]());

/** Every file below a directory, with what is in it: what must stay as it is. */
function contents(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => {
      const stats = lstatSync(join(directory, name));
      const isPlain = stats.isFile() && stats.size > 0 && stats.size < 4096;
      return `${name} ${stats.mode} ${isPlain ? readFileSync(join(directory, name)) : ""}`;
    });
}

function asNobody(args: readonly string[]): Ended {
  const ids = ["--reuid", `${NOBODY}`, "--regid", `${NOBODY}`, "--clear-groups"];
  const words = [...ids, process.execPath, nslink.main, ...args];
  const { status, stdout, stderr } = spawnSync("setpriv", words, { encoding: "utf8" });
  return { status, stdout, stderr };
}

await describeOnLinux("wrong arguments on Linux", () => {
  let scene: LinuxScene;
  let folder: string;
  let server: Server;
  beforeAll(async () => {
    scene = await LinuxScene.open("wrong");
    chmodSync(scene.bpffs, 0o1777);
    folder = mkdtempSync(join(tmpdir(), "nslink-wrong-"));
    chmodSync(folder, 0o755);
    const at = (name: string): string => join(folder, name);
    writeFileSync(at("file"), "precious");
    mkdirSync(at("file-maps/1"), { recursive: true });
    writeFileSync(at("file-maps/1/x"), "precious");
    mkdirSync(at("dir"));
    symlinkSync("file", at("symlink"));
    symlinkSync("nowhere", at("dangling"));
    symlinkSync(scene.pin("link"), at("to-link"));
    expect(tool("mkfifo", at("fifo")).status).toBe(0);
    expect(tool("mknod", at("device"), "c", "1", "3").status).toBe(0);
    server = createServer().listen(at("socket"));
    const { status, stderr } = await nslink.run([
      ...["attach", FLOW, "--netns", scene.netns("wrong"), "--pin", scene.pin("link")],
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    mkdirSync(scene.pin("dir"));
    symlinkSync("link", scene.pin("symlink"));
    symlinkSync("nowhere", scene.pin("dangling"));
    const [map = ""] = scene.pins().filter((path) => path.includes("-maps/"));
    expect(tool("bpftool", "map", "pin", "pinned", scene.pin(map), scene.pin("map")).status).toBe(
      0,
    );
    const { program } = JSON.parse(
      (await nslink.run(["show", scene.pin("link"), "--json"])).stdout,
    );
    const pinned = tool("bpftool", "prog", "pin", "id", `${program.id}`, scene.pin("program"));
    expect(pinned).toMatchObject({ status: 0 });
  });
  afterAll(async () => {
    server.close();
    rmSync(folder, { recursive: true });
    await scene.clear();
    scene[Symbol.dispose]();
  });

  /** A path, and what it is said to be. */
  const wrong = (): [path: string, said: RegExp][] => [
    [
      join(folder, "file"),
      /EINVAL: \S+ is not a pinned link: it is a regular file, and not in a B/,
    ],
    [join(folder, "dir"), /is not a pinned link: it is a directory/],
    [`${join(folder, "dir")}/`, /is not a pinned link: it is a directory/],
    [join(folder, "symlink"), /is not a pinned link: it is a symbolic link/],
    [join(folder, "dangling"), /is not a pinned link: it is a symbolic link/],
    [join(folder, "to-link"), /is not a pinned link: it is a symbolic link/],
    [join(folder, "fifo"), /is not a pinned link: it is a FIFO/],
    [join(folder, "device"), /is not a pinned link: it is a character device/],
    [join(folder, "socket"), /is not a pinned link: it is a socket/],
    [join(folder, "missing"), /ENOENT: nothing is pinned at/],
    [join(folder, "missing/x"), /ENOENT: nothing is pinned at/],
    [join(folder, "file/x"), /ENOTDIR: /],
    [scene.pin("dir"), /is not a pinned link: it is a directory$/m],
    [scene.pin("symlink"), /is not a pinned link: it is a symbolic link$/m],
    [scene.pin("dangling"), /is not a pinned link: it is a symbolic link$/m],
    [`${scene.pin("link")}/`, /is not a pinned link: a path that ends with \/ is a directory's/],
    [scene.pin("link-maps"), /is not a pinned link: it is a directory/],
    [scene.pin("none"), /ENOENT: nothing is pinned at/],
    [scene.pin("a.b"), /ENOENT: nothing is pinned at/],
    [scene.bpffs, /is not a pinned link: it is a directory/],
    ["package.json", /is not a pinned link: it is a regular file/],
    [".", /is not a pinned link: it is a directory/],
    ["..", /is not a pinned link: it is a directory/],
    ["/", /is not a pinned link: it is a directory/],
    ["", /ENOENT: the path is empty/],
  ];

  async function untouched(run: () => Promise<Ended> | Ended): Promise<Ended> {
    const before = [contents(folder), contents(scene.bpffs)];
    const ended = await run();
    expect([contents(folder), contents(scene.bpffs)]).toEqual(before);
    expect(scene.links()).toMatchObject([{ state: "attached" }]);
    return ended;
  }

  test("unpin removes nothing but pins of links", async () => {
    for (const [i, [path, said]] of wrong().entries()) {
      const asRoot = nslink.run.bind(nslink);
      for (const run of i % 4 === 0 ? [asRoot, asNobody] : [asRoot]) {
        const { status, stdout, stderr } = await untouched(() => run(["unpin", path]));
        expect({ path, status, stdout }).toEqual({ path, status: 1, stdout: "" });
        expect(stderr, path).toMatch(said);
      }
    }
    // What only its owner may open.
    for (const [name, said] of [
      ["map", "a map"],
      ["program", "a program"],
    ] as const) {
      const path = scene.pin(name);
      const { status, stderr } = await untouched(() => nslink.run(["unpin", path]));
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr:
          `nslink: bpffs.unlink: EINVAL: ${path} is not a pinned link: ` +
          `it is the pin of ${said}\n`,
      });
    }
    for (const name of ["map", "program", "link"]) {
      const { status, stderr } = await untouched(() => asNobody(["unpin", scene.pin(name)]));
      expect(status).toBe(1);
      expect(stderr).toMatch(/EACCES: .*belongs to another user/);
    }
  });

  test("attach and pin make nothing but pins in BPF file systems", async () => {
    const netns = scene.netns("other");
    const link = scene.pin("link");
    const paths = [
      ...[join(folder, "new"), join(folder, "file"), join(folder, "dir/new"), `${folder}/`],
      ...[join(folder, "symlink"), join(folder, "dangling"), join(folder, "to-link")],
      ...[scene.pin("dir"), scene.pin("symlink"), scene.pin("dangling"), scene.pin("new/")],
      ...[scene.pin("link"), `${scene.pin("link")}/`, scene.pin("a.b"), scene.pin("none/x")],
      ...[scene.pin("link/x"), "", ".", "/"],
    ];
    for (const path of paths) {
      const pinned = await untouched(() => nslink.run(["pin", link, path]));
      expect({ path, status: pinned.status }).toEqual({ path, status: 1 });
      expect(pinned.stderr, path).toMatch(/^nslink: (BPF_OBJ_PIN|bpffs.mkdir): E[A-Z]+: ./);
      if (path.startsWith(scene.bpffs)) continue;
      const attached = await untouched(() =>
        nslink.run(["attach", FLOW, "--netns", netns, "--pin", path]),
      );
      expect({ path, status: attached.status }).toEqual({ path, status: 1 });
    }
    for (const directory of ["file", "dir/maps", "symlink", "dangling", "device"]) {
      const args = ["prog", "attach", FLOW, "--netns", netns, "--pin-maps"];
      const { status } = await untouched(() => nslink.run([...args, join(folder, directory)]));
      expect({ directory, status }).toEqual({ directory, status: 1 });
    }
  });

  test("a prog array is pinned, whatever its name", async () => {
    const netns = scene.netns("names");
    const pin = scene.pin("names");
    for (const name of ["next.program", "../program/x", "\x1b[31m\nprog\xffx"]) {
      const object = Buffer.from(
        readFileSync(join(PROJECT, FLOW)).toString("latin1").replaceAll("next_program", name),
        "latin1",
      );
      const path = nslink.file("names.o", object);
      const { status, stdout } = await nslink.run([
        ...["attach", path, "--netns", netns, "--pin", pin, "--json"],
      ]);
      expect({ name, status }).toEqual({ name, status: 0 });
      const { maps } = JSON.parse(stdout);
      expect(maps).toHaveLength(1);
      expect(maps[0]).toMatch(/names-maps\/[0-9]+\/[ -~]+-[0-9]+$/);
      expect(lstatSync(maps[0]).isFile()).toBe(true);
      expect(await nslink.run(["unpin", pin])).toMatchObject({ status: 0, stderr: "" });
      expect(existsSync(`${pin}-maps`)).toBe(false);
    }
  });

  test("the doctor says ok to nothing that it can't know without /proc", () => {
    const hidden = ["-m", "sh", "-c", `mount -t tmpfs none /proc; exec "$@"`, "sh"];
    const doctor = [process.execPath, nslink.main, "doctor", "--json"];
    const { checks, ...facts } = JSON.parse(tool("unshare", ...hidden, ...doctor).stdout);
    const unknown = (id: string): object => ({
      id,
      status: "note",
      text: expect.stringMatching(/^not to be known without \/proc: /),
      fix: "mount -t proc proc /proc",
    });
    expect(checks.slice(0, 8)).toEqual(
      [
        ...["version", "capabilities", "user-namespace", "unprivileged-bpf", "memlock", "jit"],
        ...["bpffs", "root-namespace"],
      ].map(unknown),
    );
    expect(facts).toMatchObject({
      ...{ version: null, uid: null, capabilities: null, in_user_namespace: null, jit: null },
      ...{ bpffs: null, root_namespace_in_sight: null, memlock_bytes: null },
    });
  });

  test("directories beside a pin that nslink didn't make stay", async () => {
    const pin = scene.pin("mine");
    mkdirSync(`${pin}-maps/other`, { recursive: true });
    const netns = scene.netns("mine");
    expect(await nslink.run(["attach", FLOW, "--netns", netns, "--pin", pin])).toMatchObject({
      status: 0,
    });
    expect(
      tool("bpftool", "map", "pin", "pinned", scene.pin("map"), `${pin}-maps/kept`),
    ).toMatchObject({ status: 0 });
    const { status, stderr } = await nslink.run(["unpin", pin]);
    expect(status).toBe(0);
    expect(stderr).toBe(`nslink: note: ${pin}-maps stays: not all in it is this link's\n`);
    expect(readdirSync(`${pin}-maps`).sort()).toEqual(["kept", "other"]);
    rmSync(`${pin}-maps`, { recursive: true });
    // Whoever can remove what is in a directory could put other maps there.
    mkdirSync(`${pin}-maps`);
    expect(tool("chown", `${NOBODY}`, `${pin}-maps`).status).toBe(0);
    const refused = await nslink.run(["attach", FLOW, "--netns", netns, "--pin", pin]);
    expect(refused).toMatchObject({ status: 1 });
    expect(refused.stderr).toMatch(/EEXIST: .* is no directory that nslink made for maps/);
    expect(existsSync(pin)).toBe(false);
    rmSync(`${pin}-maps`, { recursive: true });
  });

  test("netns del takes nothing but namespaces and empty files away", async () => {
    const name = scene.name("del");
    const path = `/run/netns/${name}`;
    const attempts: [make: () => unknown, undo?: () => unknown][] = [
      [() => writeFileSync(path, "precious")],
      [() => mkdirSync(path)],
      [() => symlinkSync(join(folder, "file"), path)],
      [() => symlinkSync(`/run/netns/${scene.netns("target")}`, path)],
      [() => tool("mkfifo", path)],
      [
        () => {
          writeFileSync(path, "");
          expect(tool("mount", "--bind", "/proc/self/ns/uts", path).status).toBe(0);
        },
        () => tool("umount", path),
      ],
    ];
    for (const [make, undo] of attempts) {
      make();
      const before = lstatSync(path);
      for (const run of [nslink.run.bind(nslink), asNobody]) {
        const { status, stderr } = await run(["netns", "del", name]);
        expect(status).toBe(1);
        expect(stderr).toMatch(/netns.remove: EINVAL: .* is no network namespace|EPERM/);
        expect(lstatSync(path).ino).toBe(before.ino);
      }
      undo?.();
      rmSync(path, { recursive: true });
    }
    writeFileSync(path, "");
    expect(await nslink.run(["netns", "del", name])).toMatchObject({ status: 0 });
    expect(existsSync(path)).toBe(false);
  });

  test("what is done is told when standard output can't be written", async () => {
    const pin = scene.pin("full");
    const netns = scene.netns("full");
    const name = scene.name("made");
    const done: [args: string, said: RegExp][] = [
      [`attach ${FLOW} --netns ${netns} --pin ${pin}`, /link \d+: .* attached .*, pinned at /],
      [`update ${pin} ${FLOW} --json`, /link \d+: program \d+ in place of \d+/],
      [`pin ${pin} ${pin}2`, /link \d+ pinned at /],
      [`detach ${pin}`, /link \d+: program \d+ is off its namespace/],
      [`unpin ${pin}2`, /full2 unpinned/],
      [`unpin ${pin} --json`, /full unpinned; link \d+ is gone/],
      [`prog attach ${FLOW} --netns ${netns} --pin-maps ${pin}3`, /program \d+ attached to /],
      [`prog detach --netns ${netns}`, /program \d+ detached from /],
      [`netns add ${name}`, /network namespace \S+ created/],
      [`netns del ${name} --json`, /network namespace \S+ removed/],
    ];
    for (const [args, said] of done) {
      const { status, stderr } = nslink.shell(`nslink ${args} > /dev/full`);
      expect({ args, status, stderr }).toEqual({ args, status: 2, stderr: expect.any(String) });
      const [first, second, ...rest] = stderr.split("\n");
      expect(first).toMatch(/cannot write standard output: ENOSPC/);
      expect(second).toMatch(/^nslink: but this is done: /);
      expect(second).toMatch(said);
      expect(rest).toEqual([""]);
    }
    const { status, stderr } = nslink.shell("nslink ls > /dev/full");
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: "nslink: cannot write standard output: ENOSPC: no space left on device, write\n",
    });
  });
});
