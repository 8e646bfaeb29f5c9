/**
 * `nslink run --jobs`: if this fails, a capture comes to something else when threads share it, or
 * threads that count in the same map lose counts.
 */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Dissection } from "../../src/cli/dissection.ts";
import { CaptureScanner, networkFrame, readCapture } from "../../src/packet/index.ts";
import { Command, expectUsageError, projectFile } from "./command.ts";

const OBJECT = "bpf/flow.bpf.o";
/** Helpers that are JavaScript, for some packets. */
const COUNTING_OBJECT = "bpf/flow-v2.bpf.o";
const EXAMPLE = projectFile("examples/traffic.pcap");
const FILE_HEADER = 24;
/** Enough for several chunks, whose ends cut packets. */
const TIMES = 20;
const THREADS = 3;

const BPF_MAP_TYPE_HASH = 1;
const BPF_MAP_TYPE_ARRAY = 2;
const BPF_MAP_TYPE_PERCPU_ARRAY = 6;
const BPF_PROG_TYPE_FLOW_DISSECTOR = 22;

let nslink: Command;
let capture: string;
beforeAll(() => {
  nslink = new Command();
  capture = nslink.file("long.pcap", longCapture());
});
afterAll(() => nslink[Symbol.dispose]());

function longCapture(): Uint8Array {
  const packets = EXAMPLE.subarray(FILE_HEADER);
  const bytes = new Uint8Array(FILE_HEADER + TIMES * packets.length);
  bytes.set(EXAMPLE.subarray(0, FILE_HEADER));
  for (let i = 0; i < TIMES; i++) bytes.set(packets, FILE_HEADER + i * packets.length);
  return bytes;
}

/** Takes a capture through, so many bytes at a time. */
async function dissectAll(
  dissection: Dissection,
  capture: Uint8Array,
  pieceBytes: number,
): Promise<void> {
  const scanner = new CaptureScanner(dissection.sink);
  for (let at = 0; at < capture.length; at += pieceBytes) {
    const piece = capture.subarray(at, at + pieceBytes);
    dissection.begin(piece, Number.POSITIVE_INFINITY);
    scanner.push(piece);
    await dissection.end();
  }
  await dissection.finish();
}

describe("the output", () => {
  test("is the same, byte for byte", async () => {
    for (const [object, ...format] of [
      ...[[OBJECT, "--json"], [OBJECT], [OBJECT, "--summary"]],
      [COUNTING_OBJECT, "--json"],
    ] as [string, ...string[]][]) {
      const args = ["run", object, capture, ...format];
      const alone = await nslink.run(args);
      expect(alone.status).toBe(0);
      expect(alone.stdout.length).toBeGreaterThan(500);
      // Text of megabytes makes no readable difference.
      const together = await nslink.run([...args, "--jobs", `${THREADS}`]);
      expect(together.stderr).toBe("");
      expect(together.status).toBe(0);
      expect(together.stdout === alone.stdout, `${args.join(" ")} is the same`).toBe(true);
    }
  });

  test("is the same with a limit, and of a capture that breaks off or is damaged", async () => {
    const cut = nslink.file("cut.pcap", longCapture().subarray(0, 700_001));
    const garbage = longCapture();
    garbage.fill(0xff, 600_000, 600_100);
    const broken = nslink.file("damaged.pcap", garbage);
    for (const args of [[capture, "--limit", "5000"], [cut], [broken], ["/dev/null"]]) {
      const alone = await nslink.run(["run", OBJECT, ...args]);
      const together = await nslink.run(["run", OBJECT, ...args, "--jobs", `${THREADS}`]);
      expect(together.stderr).toBe(alone.stderr);
      expect(together.status).toBe(alone.status);
      expect(together.stdout === alone.stdout, `${args.join(" ")} is the same`).toBe(true);
    }
  });

  test("comes from one thread where programs can't be spread, which is said", async () => {
    // The kernel of a script is as its first command wants it.
    const summary = `run ${OBJECT} ${capture} --summary`;
    const script = nslink.file("script", `${summary} --limit 1\n${summary} --jobs 2\n`);
    const { status, stdout, stderr } = await nslink.run(["script", script, "--kernel", "embedded"]);
    expect(stderr).toBe("nslink: note: on one thread instead of 2: the kernel has one CPU\n");
    expect(stdout).toContain(`${(478 * TIMES).toLocaleString("en")} packets`);
    expect(status).toBe(0);
  });

  test("is a complaint when there can't be so many threads", async () => {
    for (const jobs of ["0", "257", "all"]) {
      const ended = await nslink.run(["run", OBJECT, capture, "--jobs", jobs]);
      expectUsageError(ended, /--jobs.*whole number from 1 to 256/);
    }
  });
});

/** The modules that a command is built of: the threads run them, too. */
async function built(
  command: Command = nslink,
): Promise<
  typeof import("../../src/index.ts") &
    typeof import("../../src/kernel/index.ts") &
    typeof import("../../src/asm/index.ts") &
    typeof import("../../src/cli/dissection.ts") &
    typeof import("../../src/cli/spread.ts") &
    typeof import("../../src/cli/report.ts")
> {
  const cli = ["dissection", "spread", "report"].map((file) => `cli/${file}`);
  const files = ["index", "kernel/index", "asm/index", ...cli];
  const modules = files.map((file) => {
    return import(/* @vite-ignore */ pathToFileURL(join(command.folder, `dist/${file}.js`)).href);
  });
  return Object.assign({}, ...(await Promise.all(modules)));
}

/** Adds 1 to what `r0` points to, as the text says, unless there is nothing there. */
const lookUp = (map: string, add: string): string => `
  *(u32 *)(r10 - 4) = 0
  r1 = map_fd[${map}]
  r2 = r10
  r2 += -4
  call bpf_map_lookup_elem
  if r0 == 0 goto out
  ${add}`;

test("threads that count in the same maps and call the kernel lose no packet", async () => {
  const { EmbeddedKernel, BpfMap, Program, NetNs, Link, assemble, SpreadDissection, Report } =
    await built();
  using kernel = EmbeddedKernel.boot({ sharedMemory: true, possibleCpus: THREADS });
  const create = (type: number): ReturnType<typeof BpfMap.create> =>
    BpfMap.create(kernel, { type, keySize: 4, valueSize: 8, maxEntries: 64 });
  using total = create(BPF_MAP_TYPE_ARRAY);
  using fetched = create(BPF_MAP_TYPE_ARRAY);
  using perCpu = create(BPF_MAP_TYPE_PERCPU_ARRAY);
  using byLength = create(BPF_MAP_TYPE_HASH);
  const instructions = assemble(
    `r6 = *(u32 *)(r1 + 76)
    r7 = *(u32 *)(r1 + 80)
    r7 -= r6
    call bpf_ktime_get_ns
    ${lookUp("total", "r1 = 1\nlock *(u64 *)(r0 + 0) += r1")}
    ${lookUp(
      "fetched",
      // Compares and swaps until nobody came in between.
      `r8 = r0
      r0 = *(u64 *)(r8 + 0)
      again:
      r9 = r0
      r2 = r0
      r2 += 1
      may_goto out
      r0 = cmpxchg_64(r8 + 0, r0, r2)
      if r0 != r9 goto again`,
    )}
    ${lookUp("perCpu", "r1 = *(u64 *)(r0 + 0)\nr1 += 1\n*(u64 *)(r0 + 0) = r1")}
    r7 &= 31
    *(u32 *)(r10 - 4) = r7
    *(u64 *)(r10 - 16) = 0
    r1 = map_fd[byLength]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 != 0 goto found
    r1 = map_fd[byLength]
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 1
    call bpf_map_update_elem
    r1 = map_fd[byLength]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    found:
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    out:
    r0 = 0
    exit`,
    {
      constants: {
        total: total.fd,
        fetched: fetched.fd,
        perCpu: perCpu.fd,
        byLength: byLength.fd,
      },
    },
  );
  using netns = NetNs.create(kernel, "counts");
  using program = Program.load(kernel, {
    type: BPF_PROG_TYPE_FLOW_DISSECTOR,
    instructions,
    license: "GPL",
  });
  using _link = Link.attach(program, netns);
  const spread = kernel.spread(netns.fd, THREADS);
  if (typeof spread !== "object") expect.fail(`not spread: ${spread}`);
  const report = new Report("summary");
  const how = { spread, threads: THREADS, format: "summary" } as const;
  using dissection = new SpreadDissection(kernel, { netns, report, flags: 0 }, how);
  await dissectAll(dissection, longCapture(), 50_000);

  const packets = BigInt(478 * TIMES);
  expect(report.tally.count("ok")).toBe(Number(packets));
  const sum = (value: Uint8Array | undefined): bigint =>
    new BigUint64Array(value?.slice().buffer ?? new ArrayBuffer(0)).reduce((a, b) => a + b, 0n);
  const zero = new Uint8Array(4);
  expect(sum(total.get(zero))).toBe(packets);
  expect(sum(fetched.get(zero))).toBe(packets);
  const counts = new BigUint64Array(perCpu.get(zero)?.slice().buffer ?? new ArrayBuffer(0));
  expect(counts).toHaveLength(THREADS);
  expect(counts.reduce((a, b) => a + b, 0n)).toBe(packets);
  expect(
    [...counts].every((count) => count > 0n),
    "each thread had some",
  ).toBe(true);

  const expected = new Map<number, bigint>();
  for await (const packet of readCapture([EXAMPLE])) {
    const { data } = networkFrame(packet);
    if (data === null) continue;
    const key = data.length & 31;
    expected.set(key, (expected.get(key) ?? 0n) + BigInt(TIMES));
  }
  const found = [...byLength].map(([key, value]): [number, bigint] => [key[0] ?? 0, sum(value)]);
  expect(new Map(found.sort(([a], [b]) => a - b))).toEqual(
    new Map([...expected].sort(([a], [b]) => a - b)),
  );
});

test("threads tell why a program was stopped, in the order of the capture", async () => {
  using trusting = new Command();
  trusting.patch("kernel/verifier/verify.js", (code) => code.replace("walkAll(env, false);", ""));
  const modules = await built(trusting);
  const { EmbeddedKernel, Program, NetNs, Link, assemble, Report } = modules;
  using kernel = EmbeddedKernel.boot({ sharedMemory: true, possibleCpus: THREADS });
  // Reads from beyond all memory for some packets, calls a helper with nonsense for others.
  const instructions = assemble(
    `r6 = *(u32 *)(r1 + 76)
    r2 = *(u8 *)(r6 + 53)
    r3 = 0xfffffff0 ll
    if r2 > 0x80 goto helper
    if r2 > 0x20 goto out
    r0 = *(u64 *)(r3 + 0)
    helper:
    r1 = 1
    r2 = r10
    call bpf_map_lookup_elem
    out:
    r0 = 0
    exit`,
  );
  const load = (): ReturnType<typeof Program.load> =>
    Program.load(kernel, { type: BPF_PROG_TYPE_FLOW_DISSECTOR, instructions, license: "GPL" });
  const faultsOn = async (threads: number): Promise<{ faults: number; last: string }> => {
    using netns = NetNs.create(kernel, `faults${threads}`);
    using program = load();
    using _link = Link.attach(program, netns);
    const report = new Report("summary");
    const options = { netns, report, flags: 0 };
    const spread = threads === 1 ? null : kernel.spread(netns.fd, threads);
    if (typeof spread !== "object") expect.fail(`not spread: ${spread}`);
    using dissection =
      spread === null
        ? new modules.PagedDissection(kernel, options)
        : new modules.SpreadDissection(kernel, options, { spread, threads, format: "summary" });
    await dissectAll(dissection, EXAMPLE, 5_000);
    const description = kernel.describeProgram(program.fd);
    if (typeof description === "number") expect.fail(`errno ${description}`);
    expect(description.faults).toBe(report.tally.count("stopped"));
    return { faults: description.faults, last: `${description.lastFault}`.replace(/^\D+\d+/, "") };
  };
  const alone = await faultsOn(1);
  expect(alone.faults).toBeGreaterThan(10);
  expect(alone.last).toMatch(/, instruction \d+: /);
  expect(await faultsOn(THREADS)).toEqual(alone);
});
