/**
 * `attach`, `update`, `detach`, `pin`, `unpin`, `ls`, `show`, `explain`, and in scripts `release`.
 */

import type { Command } from "commander";
import type { Session } from "../session.ts";
import { LINK, NETNS, OBJECT, withMapReplacement, withOperatorOptions } from "./options.ts";

export function addLinkCommands(program: Command, session: Session): void {
  addChanges(program, session);
  addLooks(program, session);
}

function addChanges(program: Command, session: Session): void {
  const operator = (name: string): Command => withOperatorOptions(program.command(name), session);

  const attach = withMapReplacement(operator("attach"))
    .description("load a program and link it to a network namespace")
    .argument("<object>", OBJECT)
    .requiredOption("--netns <ref>", NETNS)
    .option("--pin <path>", "pin the link there; without a pin it lives as long as nslink runs")
    .action(async (object, options) => {
      const { attach } = await import("../links.ts");
      await attach(session, object, options);
    });
  if (session.isScript) attach.option("--as <name>", "what the script calls the link: @name");

  withMapReplacement(operator("update"))
    .description("put another program into a link, without a gap")
    .argument("<link>", LINK)
    .argument("<object>", OBJECT)
    .option("--expect <prog>", "only if this is the program now: id, pin, tag:HEX or name:NAME")
    .option("--pin-maps <directory>", "pin the new program's maps there, not beside the link's pin")
    .action(async (link, object, options) => {
      const { update } = await import("../links.ts");
      await update(session, link, object, options);
    });

  operator("detach")
    .description("take a link's program off its network namespace, for good")
    .argument("<link>", LINK)
    .action(async (link, options) => {
      const { detach } = await import("../links.ts");
      await detach(session, link, options);
    });

  operator("pin")
    .description("give a link a name in the BPF file system, which keeps it alive")
    .argument("<link>", LINK)
    .argument("<path>", "below /sys/fs/bpf")
    .action(async (link, path, options) => {
      const { pin } = await import("../links.ts");
      await pin(session, link, path, options);
    });

  operator("unpin")
    .description("take a link's name away; the link goes if nobody else holds it")
    .argument("<pin>", "path of the pin")
    .action(async (path, options) => {
      const { unpin } = await import("../unpin.ts");
      await unpin(session, path, options);
    });

  if (!session.isScript) return;
  program
    .command("release")
    .description("let go of a link that this script holds")
    .argument("<link>", `${LINK}, or @ and its name`)
    .action(async (link) => {
      const { release } = await import("../links.ts");
      await release(session, link);
    });
}

function addLooks(program: Command, session: Session): void {
  const operator = (name: string): Command => withOperatorOptions(program.command(name), session);

  operator("ls")
    .description("every link and every directly attached program of every network namespace")
    .action(async (options) => {
      const { list } = await import("../listing.ts");
      await list(session, options);
    });

  operator("show")
    .description("one link: program, network namespace, state, pins, holders")
    .argument("<link>", LINK)
    .action(async (link, options) => {
      const { show } = await import("../listing.ts");
      await show(session, link, options);
    });

  operator("explain")
    .description("why a link lives, and what would come of it")
    .argument("<link>", LINK)
    .action(async (link, options) => {
      const { explain } = await import("../listing.ts");
      await explain(session, link, options);
    });
}
