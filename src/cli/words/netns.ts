/**
 * `netns ls`, `netns add`, `netns del`.
 */

import type { Command } from "commander";
import type { Session } from "../session.ts";
import { withOperatorOptions } from "./options.ts";

export function addNetnsCommands(program: Command, session: Session): void {
  const netns = program.command("netns").description("network namespaces");
  const operator = (name: string): Command => withOperatorOptions(netns.command(name), session);

  operator("ls")
    .description("every network namespace that can be found, and what is attached to it")
    .action(async (options) => {
      const { listNamespaces } = await import("../netns.ts");
      await listNamespaces(session, options);
    });

  operator("add")
    .description("create a network namespace with a name, as ip netns add does")
    .argument("<name>", "its name")
    .action(async (name, options) => {
      const { addNamespace } = await import("../netns.ts");
      await addNamespace(session, name, options);
    });

  operator("del")
    .description("take a network namespace's name away, as ip netns del does")
    .argument("<netns>", "its name")
    .action(async (name, options) => {
      const { deleteNamespace } = await import("../netns.ts");
      await deleteNamespace(session, name, options);
    });
}
