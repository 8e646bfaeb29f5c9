/**
 * `doctor`, `script` and `completion`: the machine, scripts and shells.
 */

import { Argument, type Command } from "commander";
import type { Session } from "../session.ts";
import { withKernel, withOperatorOptions } from "./options.ts";

export function addMachineCommands(program: Command, session: Session): void {
  withOperatorOptions(program.command("doctor"), session)
    .description("what works on this machine, what is missing, and how to mend it")
    .action(async (options) => {
      const { doctor } = await import("../doctor.ts");
      await doctor(session, options);
    });

  if (session.isScript) return;

  withKernel(program.command("script"), session, "linux")
    .description("run a file of nslink commands on one kernel")
    .argument("<file>", "commands, one a line; - for standard input")
    .option("--echo", "show each command before it runs")
    .action(async (file, options) => {
      const { script } = await import("../script.ts");
      session.exitCode = await script(session.output, file, options);
    });

  program
    .command("completion")
    .description("print what makes a shell complete nslink's commands")
    .addArgument(new Argument("<shell>", "which shell").choices(["bash", "zsh", "fish"]))
    .action(async (shell) => {
      const { completion } = await import("../completion/index.ts");
      await session.output.write(completion(program, shell));
    });
}
