/**
 * `nslink demo`: a link's whole life, told from what the kernel answers. Every sentence is checked;
 * one that isn't so is marked, and the command fails.
 */

import { fileURLToPath } from "node:url";
import { BPF_FLOW_KEYS_SIZE } from "../abi/flow_keys.ts";
import { perCpu, u32, u64 } from "../codec.ts";
import { Collection } from "../collection.ts";
import { BpfError } from "../errors.ts";
import type { Kernel } from "../kernel.ts";
import { Link } from "../link.ts";
import type { BpfMap } from "../map.ts";
import type { NetNs } from "../netns.ts";
import { networkFrame, readCapture } from "../packet/index.ts";
import type { Program } from "../program.ts";
import { openCapture, readObject } from "./files.ts";
import { FlowTable } from "./flow_table.ts";
import { ipProtocolName } from "./flows.ts";
import type { Output } from "./output.ts";
import { privateNamespace } from "./private_namespace.ts";
import type { KernelName, Session } from "./session.ts";
import { counted, table } from "./text.ts";
import { waitFor } from "./wait.ts";

const CAPTURE = "examples/traffic.pcap";
/** The program of either object that packets come to first. */
const ENTRY = "dissect";
/** The map of flow-v2.bpf.c that counts packets by IP protocol. */
const COUNTERS = "proto_packets";
/** Flows shown of the capture's many. */
const FLOWS_SHOWN = 6;

/** What the story calls each kernel. */
const KERNELS: Readonly<Record<KernelName, string>> = {
  embedded: "kernel booted: embedded, in this process, without root",
  linux: "this machine's kernel: linux, as root, in namespaces of its own",
};

/** Tells the story; false when something in it wasn't so. */
export async function demo(
  session: Session,
  options: { readonly kernel: KernelName },
): Promise<boolean> {
  const [first, second] = await Promise.all([
    readObject(shipped("bpf/flow.bpf.o")),
    readObject(shipped("bpf/flow-v2.bpf.o")),
  ]);
  const kernel = await session.kernel(options.kernel);
  const story = new Story(session.output);
  await story.chapter("A program, a namespace, a link");
  story.tell(KERNELS[kernel.name]);
  using netns = privateNamespace(kernel, "blue");
  const name = netns.label;
  story.tell(`network namespace ${name} created, inode ${netns.inode}`);
  using old = Collection.load(kernel, first);
  using young = Collection.load(kernel, second);
  const before = old.program(ENTRY);
  const after = young.program(ENTRY);
  story.tell(`flow.bpf.o loaded: ${described(old, before)}`);
  story.tell(`flow-v2.bpf.o loaded: ${described(young, after)}`);
  using link = Link.attach(before, netns);
  const { id } = link.info;
  story.check(
    netns.query().join() === `${before.info.id}` && link.info.netnsInode === netns.inode,
    `link ${id} attaches program ${before.info.id} to ${name}`,
  );

  await story.chapter("What the link excludes");
  story.refused("a second link", "E2BIG", () => Link.attach(after, netns));
  story.refused("a direct attach", "EEXIST", () => netns.enter(() => after.attach()));
  story.refused("a direct detach", "EINVAL", () => netns.enter(() => before.detach()));

  await story.chapter("Update under traffic");
  await traffic(story, { netns, link, before, after, counters: young.map(COUNTERS) });

  await story.chapter("The namespace dies, the link stays behind");
  netns[Symbol.dispose]();
  await waitFor(() => link.info.netnsInode === 0);
  const orphan = link.info;
  story.check(
    orphan.netnsInode === 0 && orphan.id === id && orphan.programId === after.info.id,
    `${name} died; link ${id} is defunct: inode ${orphan.netnsInode}, still holding program ` +
      `${orphan.programId}`,
  );
  story.refused("an update", "ENOLINK", () => link.update(before));
  link[Symbol.dispose]();
  story.check(
    await waitFor(() => isGone(kernel, id)),
    `the last fd of link ${id} closed: the link is gone`,
  );
  return story.end();
}

/** Who takes part when packets come. */
interface Scene {
  readonly netns: NetNs;
  readonly link: Link;
  readonly before: Program;
  readonly after: Program;
  /** Where the second program counts packets. */
  readonly counters: BpfMap;
}

/** The capture goes by, and the program is swapped in its middle. */
async function traffic(
  story: Story,
  { netns, link, before, after, counters }: Scene,
): Promise<void> {
  const frames = [];
  await using capture = await openCapture(shipped(CAPTURE));
  for await (const packet of readCapture(capture.chunks)) {
    const frame = networkFrame(packet);
    if (frame.data !== null) frames.push({ ...frame, data: frame.data.slice() });
  }
  const flows = new FlowTable();
  const keysBytes = new Uint8Array(BPF_FLOW_KEYS_SIZE);
  const seenBy = new Map<number | null, number>();
  const verdicts = new Map<string, number>();
  const middle = frames.length >> 1;
  let understood = 0;
  for (const [i, frame] of frames.entries()) {
    if (i === middle) link.update(after, { expect: before });
    const { programId, verdict, keys } = netns.dissect(frame, 0, keysBytes);
    const isIp = verdict === "ok" && keys !== null && keys.addr_proto !== 0;
    if (isIp && programId === after.info.id) understood++;
    seenBy.set(programId, (seenBy.get(programId) ?? 0) + 1);
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    if (verdict === "ok") flows.addKeys(keysBytes, frame.data.length);
  }
  const [olds = 0, news = 0] = [before, after].map(({ info }) => seenBy.get(info.id) ?? 0);
  const lost = frames.length - olds - news;
  const tally = [...verdicts].map(([verdict, count]) => `${count} ${verdict}`).join(", ");
  story.check(
    (verdicts.get("ok") ?? 0) > 0,
    `${counted(frames.length, "packet")} of ${CAPTURE} dissected: ${tally}`,
  );
  story.check(
    olds === middle && lost === 0 && link.info.programId === after.info.id,
    `LINK_UPDATE after packet ${middle}: program ${before.info.id} dissected ${olds}, ` +
      `program ${after.info.id} ${news}, lost ${lost}`,
  );
  const counts = protocolCounts(counters);
  const total = counts.reduce((sum, { packets }) => sum + packets, 0);
  story.check(
    total > 0 && total === understood,
    `program ${after.info.id} counted ${counted(total, "IP packet")} in its map ` +
      `${counters.info.name}: ` +
      counts.map(({ protocol, packets }) => `${packets} ${protocol}`).join(", "),
  );
  story.quote(
    table(
      [{ title: "packets", align: "right" }, { title: "protocol" }, { title: "flow" }],
      flows.largest(FLOWS_SHOWN).map((flow) => [`${flow.packets}`, flow.protocol, flow.endpoints]),
    ),
  );
  story.tell(`and ${counted(flows.size - FLOWS_SHOWN, "smaller flow")}`);
}

/** What a program has counted by IP protocol, the largest first. */
function protocolCounts(counters: BpfMap): { protocol: string; packets: number }[] {
  const perProtocol = counters.as(u32, perCpu(u64, counters.kernel.possibleCpus));
  return [...perProtocol]
    .map(([protocol, perCpus]) => ({
      protocol: ipProtocolName(protocol),
      packets: Number(perCpus.reduce((sum, packets) => sum + packets, 0n)),
    }))
    .filter(({ packets }) => packets > 0)
    .sort((a, b) => b.packets - a.packets);
}

/** A file that comes with the package. */
function shipped(name: string): string {
  return fileURLToPath(new URL(`../../${name}`, import.meta.url));
}

function described({ programs }: Collection, { info }: Program): string {
  return `${counted(programs.size, "program")}, of which ${info.name} comes first, id ${info.id}`;
}

function isGone(kernel: Kernel, id: number): boolean {
  try {
    using _link = Link.fromId(kernel, id);
    return false;
  } catch (error) {
    return error instanceof BpfError && error.code === "ENOENT";
  }
}

/** What is told, line by line, and whether all of it held. */
class Story {
  readonly #output: Output;
  readonly #lines: string[] = [];
  #held: boolean = true;
  #checks: number = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  /** Begins a chapter, and hands out what was told before. */
  async chapter(title: string): Promise<void> {
    await this.#flush();
    this.#lines.push("", this.#output.paint("bold", title));
  }

  tell(line: string): void {
    this.#lines.push(`    ${line}`);
  }

  quote(text: string): void {
    for (const line of text.trimEnd().split("\n")) this.#lines.push(`      ${line}`);
  }

  check(holds: boolean, line: string): void {
    this.#checks++;
    this.#held &&= holds;
    const mark = holds ? this.#output.paint("green", "✓") : this.#output.paint("red", "✗");
    this.#lines.push(`  ${mark} ${line}`);
  }

  /** Does what must be refused, and says how it was. */
  refused(what: string, code: string, call: () => unknown): void {
    try {
      call();
      this.check(false, `${what} went through, where ${code} was due`);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      this.check(error.code === code, `${what} is refused: ${error.message}`);
    }
  }

  async #flush(): Promise<void> {
    await this.#output.write(
      this.#lines
        .splice(0)
        .map((line) => `${line}\n`)
        .join(""),
    );
  }

  async end(): Promise<boolean> {
    const verdict = this.#held ? "all of it so" : "NOT all of it so";
    this.#lines.push("", `${counted(this.#checks, "check")}, ${verdict}`);
    await this.#flush();
    return this.#held;
  }
}
