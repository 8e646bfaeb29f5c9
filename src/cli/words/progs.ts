/**
 * `prog attach`, `prog detach`, `prog query`: attachment without a link.
 */

import type { Command } from "commander";
import type { Session } from "../session.ts";
import { NETNS, OBJECT, withMapReplacement, withOperatorOptions } from "./options.ts";

export function addProgCommands(program: Command, session: Session): void {
  const prog = program
    .command("prog")
    .description("programs attached to a network namespace without a link");
  const inNetns = (name: string): Command =>
    withOperatorOptions(prog.command(name), session).requiredOption("--netns <ref>", NETNS);

  withMapReplacement(inNetns("attach"))
    .description("load a flow dissector and attach it, in the place of one that is there")
    .argument("<object>", OBJECT)
    .option("--pin-maps <directory>", "pin the program's maps there")
    .action(async (object, options) => {
      const { attachDirectly } = await import("../progs.ts");
      await attachDirectly(session, object, options);
    });

  inNetns("detach")
    .description("detach a flow dissector")
    .argument("[prog]", "id, pin, tag:HEX or name:NAME; by default the one that is there")
    .action(async (reference, options) => {
      const { detachDirectly } = await import("../progs.ts");
      await detachDirectly(session, reference, options);
    });

  inNetns("query")
    .description("the programs of a network namespace, in the order in which they run")
    .action(async (options) => {
      const { query } = await import("../progs.ts");
      await query(session, options);
    });
}
