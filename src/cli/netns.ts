/**
 * `nslink netns`: network namespaces.
 */

import { type NamespaceEntry, takeInventory, unknownText } from "../inventory/index.ts";
import { NetNs } from "../netns.ts";
import { namespaceAsJson } from "./as_json.ts";
import type { OperatorOptions } from "./links.ts";
import { attachedText, holdersText, namespaceText } from "./listing.ts";
import type { Session } from "./session.ts";
import type { Column } from "./text.ts";

const COLUMNS: readonly Column[] = [
  { title: "namespace", folds: true },
  { title: "inode", align: "right" },
  { title: "processes", align: "right" },
  { title: "held by", folds: true },
  { title: "attached", folds: true },
];

/** Lists every namespace that can be found, and what is attached to it. */
export async function listNamespaces(session: Session, options: OperatorOptions): Promise<void> {
  const kernel = await session.kernel(options.kernel);
  const { namespaces, links, direct, unknown } = takeInventory(kernel, {
    linkFds: session.linkFds,
  });
  const linksOf = ({ inode }: NamespaceEntry): number[] =>
    links.filter((link) => link.namespace?.inode === inode).map(({ id }) => id);
  const directOf = ({ inode }: NamespaceEntry): number[] =>
    direct.filter(({ namespace }) => namespace.inode === inode).map(({ program }) => program.id);

  if (options.json === true) {
    const entries = namespaces.map((namespace) => ({
      ...namespaceAsJson(namespace),
      link_ids: linksOf(namespace),
      direct_program_ids: directOf(namespace),
    }));
    await session.output.json(entries);
    for (const each of unknown) session.output.complain(unknownText(each));
    return;
  }
  const rows = namespaces.map((namespace) => [
    namespaceText(namespace),
    `${namespace.inode}`,
    `${namespace.pids.length}`,
    holdersText(namespace.holders),
    attachedText(linksOf(namespace), directOf(namespace)),
  ]);
  await session.output.table(COLUMNS, rows);
  await session.output.lines(unknown.map(unknownText));
}

/** Creates namespaces that have names. */
export async function addNamespace(
  session: Session,
  name: string,
  options: OperatorOptions,
): Promise<void> {
  const kernel = await session.kernel(options.kernel);
  using netns = NetNs.create(kernel, name);
  const { inode } = netns;
  const text = `network namespace ${name} created (inode ${inode})`;
  session.changed(text);
  if (options.json === true) await session.output.json({ name, inode });
  else await session.output.lines([text]);
}

/** Takes a name away, and with it the namespace if nothing else holds it. */
export async function deleteNamespace(
  session: Session,
  name: string,
  options: OperatorOptions,
): Promise<void> {
  const kernel = await session.kernel(options.kernel);
  NetNs.remove(kernel, name);
  const text = `network namespace ${name} removed`;
  session.changed(text);
  if (options.json === true) await session.output.json({ name });
  else await session.output.lines([text]);
}
