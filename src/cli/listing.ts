/**
 * `nslink ls | show | explain`: what is attached where, who holds it, and what would come of it.
 */

import {
  type DirectEntry,
  formatExplanation,
  type Holder,
  type LinkEntry,
  type LinkState,
  type NamespaceEntry,
  type ProgramEntry,
  explain as takeExplanation,
  unknownText,
} from "../inventory/index.ts";
import {
  attachTypeName,
  directAsJson,
  explanationAsJson,
  linkAsJson,
  unknownAsJson,
} from "./as_json.ts";
import { asUsage } from "./failure.ts";
import type { OperatorOptions } from "./links.ts";
import type { Colour, Output } from "./output.ts";
import { linkReference } from "./references.ts";
import type { Session } from "./session.ts";
import { type Column, table } from "./text.ts";

const STATE_COLOURS: Readonly<Record<LinkState, Colour>> = {
  attached: "green",
  shadowed: "yellow",
  defunct: "red",
  detached: "red",
};

/** Lists every link of every namespace, and every program that is attached without one. */
export async function list(session: Session, options: OperatorOptions): Promise<void> {
  const kernel = await session.kernel(options.kernel);
  const { links, direct, unknown } = await session.look(kernel);
  const { output } = session;
  if (options.json === true) {
    await output.json({
      links: links.map(linkAsJson),
      direct: direct.map(directAsJson),
      ...unknownAsJson(unknown),
    });
    return;
  }
  if (links.length + direct.length === 0) {
    const seen = unknown.length === 0 ? "" : " as far as can be seen";
    await output.lines([`nothing is attached to any network namespace${seen}`]);
  } else {
    const rows = [...links.map(linkRow), ...direct.map(directRow)];
    await output.table(listColumns(output), rows);
  }
  await output.lines(unknown.map(unknownText));
}

function listColumns(output: Output): readonly Column[] {
  const isState = (text: string): text is LinkState => text in STATE_COLOURS;
  const paint = (cell: string): string =>
    isState(cell) ? output.paint(STATE_COLOURS[cell], cell) : cell;
  return [
    { title: "link", align: "right" },
    { title: "type" },
    { title: "program", folds: true },
    { title: "tag" },
    { title: "namespace", folds: true },
    { title: "inode", align: "right" },
    { title: "state", paint },
    { title: "pins", folds: true },
    { title: "held by", folds: true },
  ];
}

function linkRow({ id, pins, holders, ...rest }: LinkEntry): string[] {
  return [`${id}`, ...sharedCells(rest), pins.join(", ") || "-", holdersText(holders)];
}

function directRow(entry: DirectEntry): string[] {
  return ["direct", ...sharedCells(entry), "-", "its namespace"];
}

function sharedCells({
  attachType,
  program,
  namespace,
  state,
}: Pick<LinkEntry, "attachType" | "program" | "namespace" | "state">): string[] {
  return [
    attachTypeName(attachType),
    programText(program),
    program.tag || "-",
    namespace === null ? "-" : namespaceText(namespace),
    namespace === null ? "-" : `${namespace.inode}`,
    state,
  ];
}

/** Shows one link. */
export async function show(
  session: Session,
  reference: string,
  options: OperatorOptions,
): Promise<void> {
  const { link, unknown } = await explanation(session, reference, options);
  const { output } = session;
  if (options.json === true) {
    await output.json({ ...linkAsJson(link), ...unknownAsJson(unknown) });
    return;
  }
  const { id, attachType, program, namespace, state, pins, holders } = link;
  await output.write(
    facts([
      ["link", `${id}`],
      ["type", attachTypeName(attachType)],
      ["program", `${programText(program)}, tag ${program.tag || "unknown"}`],
      [
        "namespace",
        namespace === null ? "none" : `${namespaceText(namespace)}, inode ${namespace.inode}`,
      ],
      ["state", state],
      ["pins", pins.join(", ") || "none"],
      ["held by", holdersText(holders)],
    ]),
  );
  await output.lines(unknown.map(unknownText));
}

/** Names and values, below each other. */
function facts(rows: readonly (readonly [string, string])[]): string {
  const [, ...lines] = table([{ title: "" }, { title: "" }], rows).split("\n");
  return lines.join("\n");
}

/** Says why a link lives, and what would come of it. */
export async function explain(
  session: Session,
  reference: string,
  options: OperatorOptions,
): Promise<void> {
  const explained = await explanation(session, reference, options);
  if (options.json === true) await session.output.json(explanationAsJson(explained));
  else await session.output.lines(formatExplanation(explained));
}

async function explanation(
  session: Session,
  reference: string,
  options: OperatorOptions,
): Promise<ReturnType<typeof takeExplanation>> {
  const kernel = await session.kernel(options.kernel);
  const link = linkReference(session, reference);
  return asUsage(() =>
    takeExplanation(kernel, link, { earlier: session.lastLook, linkFds: session.linkFds }),
  );
}

/** "12 dissect" */
function programText({ id, name }: ProgramEntry): string {
  return name === "" ? `${id}` : `${id} ${name}`;
}

/** The shortest way to name a namespace: "blue", "pid:7". */
export function namespaceText({ names, pids, isRoot }: NamespaceEntry): string {
  if (names.length > 0) return names.join(", ");
  if (isRoot) return "root";
  const [pid] = pids;
  return pid === undefined ? "-" : `pid:${pid}`;
}

/** How many holders are named before the rest are counted. */
const MAX_HOLDERS_NAMED = 3;

/** "nslink (123), other (124)" */
export function holdersText(holders: readonly Holder[]): string {
  if (holders.length === 0) return "-";
  const named = holders.slice(0, MAX_HOLDERS_NAMED);
  const more = holders.length - named.length;
  const text = named.map(({ pid, command }) => `${command} (${pid})`).join(", ");
  return more === 0 ? text : `${text} and ${more} more`;
}

/** "link 7, program 12 directly" */
export function attachedText(linkIds: readonly number[], programIds: readonly number[]): string {
  const parts = [
    ...linkIds.map((id) => `link ${id}`),
    ...programIds.map((id) => `program ${id} directly`),
  ];
  return parts.join(", ") || "-";
}
