/**
 * `nslink prog attach | detach | query`: programs on a namespace without a link, and what is there.
 */

import { BPF_FLOW_DISSECTOR, BPF_PROG_DETACH, BPF_SK_LOOKUP } from "../abi/bpf.ts";
import { ENOENT, EPERM } from "../abi/errno.ts";
import { BpfError } from "../errors.ts";
import { takeInventory, unknownText } from "../inventory/index.ts";
import type { Kernel } from "../kernel.ts";
import { NetNs } from "../netns.ts";
import { Program } from "../program.ts";
import { attachTypeName, unknownAsJson } from "./as_json.ts";
import type { OperatorOptions } from "./links.ts";
import { keepMaps } from "./map_pins.ts";
import { loadProgram, netnsName, netnsReference, openProgram } from "./references.ts";
import type { Session } from "./session.ts";
import type { Column } from "./text.ts";

interface NamespaceOptions extends OperatorOptions {
  readonly netns: string;
}

export interface ProgAttachOptions extends NamespaceOptions {
  readonly replaceMap?: readonly string[];
  readonly pinMaps?: string;
}

/** Attaches a program: it stays until it is detached or replaced, or the namespace dies. */
export async function attachDirectly(
  session: Session,
  object: string,
  options: ProgAttachOptions,
): Promise<void> {
  const kernel = await session.kernel(options.kernel);
  using netns = NetNs.open(kernel, netnsReference(options.netns));
  const loaded = await loadProgram(kernel, object, options.replaceMap);
  session.keep(loaded);
  const maps = keepMaps(session, kernel, loaded, options.pinMaps);
  try {
    netns.enter(() => loaded.program.attach());
  } catch (error) {
    maps.undo();
    throw error;
  }
  const { id } = loaded.program.info;
  const { inode } = netns;
  const text = `program ${id} attached to ${netnsName(netns.reference)} (inode ${inode})`;
  session.changed(text);
  if (options.json === true) {
    await session.output.json({ program_id: id, netns_inode: inode, maps: maps.paths });
    return;
  }
  await session.output.lines([text]);
}

/** Detaches a program; without a name for it, the one that is there. */
export async function detachDirectly(
  session: Session,
  reference: string | undefined,
  options: NamespaceOptions,
): Promise<void> {
  const kernel = await session.kernel(options.kernel);
  using netns = NetNs.open(kernel, netnsReference(options.netns));
  const [attached] = netns.query();
  const text = reference ?? attached?.toString();
  if (text === undefined) {
    throw new BpfError(
      BPF_PROG_DETACH,
      ENOENT,
      `nothing is attached to ${netnsName(netns.reference)}`,
    );
  }
  using program = openProgram(kernel, text, attached);
  netns.enter(() => program.detach());
  const { id } = program.info;
  const done = `program ${id} detached from ${netnsName(netns.reference)} (inode ${netns.inode})`;
  session.changed(done);
  if (options.json === true) {
    await session.output.json({ program_id: id, netns_inode: netns.inode });
    return;
  }
  await session.output.lines([done]);
}

const COLUMNS: readonly Column[] = [
  { title: "program", align: "right" },
  { title: "name", folds: true },
  { title: "tag" },
  { title: "type" },
  { title: "attached", folds: true },
];

/** Lists the programs of a namespace, in the order in which they run. */
export async function query(session: Session, options: NamespaceOptions): Promise<void> {
  const kernel = await session.kernel(options.kernel);
  using netns = NetNs.open(kernel, netnsReference(options.netns));
  const { inode } = netns;
  const inventory = takeInventory(kernel, { linkFds: session.linkFds });
  // Who is attached has been asked by then, or refused.
  const unknown = inventory.unknown.filter(({ what }) => what !== "attachments");
  const knowsLinks = unknown.every(({ what }) => what !== "links");
  const links = inventory.links.filter((link) => link.namespace?.inode === inode);
  const programs = [BPF_FLOW_DISSECTOR, BPF_SK_LOOKUP].flatMap((attachType) => {
    // Several links may have the same program: each place in the order has a link of its own.
    const rest = links.filter((link) => link.attachType === attachType);
    return netns.query(attachType).map((id) => {
      const at = rest.findIndex((link) => link.program.id === id);
      const [link = null] = at < 0 ? [] : rest.splice(at, 1);
      const { name, tag } = link?.program ?? describeProgram(kernel, id);
      return { id, name, tag, attach_type: attachTypeName(attachType), link_id: link?.id ?? null };
    });
  });
  if (options.json === true) {
    await session.output.json({ netns_inode: inode, programs, ...unknownAsJson(unknown) });
    return;
  }
  if (programs.length === 0) {
    await session.output.lines([
      `nothing is attached to ${netnsName(netns.reference)} (inode ${inode})`,
    ]);
    return;
  }
  const rows = programs.map(({ id, name, tag, attach_type: type, link_id: linkId }) => {
    const how = knowsLinks ? "directly" : "unknown";
    return [`${id}`, name || "-", tag || "-", type, linkId === null ? how : `by link ${linkId}`];
  });
  await session.output.table(COLUMNS, rows);
  await session.output.lines(unknown.map(unknownText));
}

/** Both "" for a program that went, and for one that this task may not open. */
function describeProgram(kernel: Kernel, id: number): { name: string; tag: string } {
  try {
    using program = Program.fromId(kernel, id);
    return program.info;
  } catch (error) {
    if (!(error instanceof BpfError && (error.errno === ENOENT || error.errno === EPERM))) {
      throw error;
    }
    return { name: "", tag: "" };
  }
}
