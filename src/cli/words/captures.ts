/**
 * `run`, `demo`, `verify`, `inspect`, `disasm`: captures and objects.
 */

import { type Command, Option } from "commander";
import { EXIT_REFUSED } from "../failure.ts";
import { KERNEL_NAMES, type Session } from "../session.ts";
import { count, threads, u32, withKernel } from "./options.ts";

export function addCaptureCommands(program: Command, session: Session): void {
  withKernel(program.command("run"), session, "embedded")
    .description("attach a flow dissector by a link and dissect a capture with it")
    .argument("<object>", "BPF object file, as clang -target bpf writes it")
    .argument("<capture>", "pcap or pcapng file, or - for standard input")
    .option("--program <name>", "which program; by default the object's first flow dissector")
    .option("--json", "a line of JSON for each packet")
    .option("--summary", "no line for each packet")
    .option(
      "--flags <n>",
      "input flags: 1 PARSE_1ST_FRAG, 2 STOP_AT_FLOW_LABEL, 4 STOP_AT_ENCAP",
      u32,
    )
    .option("--limit <n>", "stop after so many packets", count)
    .option("--jobs <n>", "dissect on so many threads", threads)
    .option(
      "--max-instructions <n>",
      "end when a packet's run takes more instructions; exit code 1",
      count,
    )
    .action(async (object, capture, options) => {
      const { run } = await import("../run.ts");
      await run(session, object, capture, options);
    });

  withKernel(program.command("demo"), session, "embedded")
    .description(
      "a link's whole life: attach, dissect, update under traffic, outlive the namespace",
    )
    .action(async (options) => {
      const { demo } = await import("../demo.ts");
      if (!(await demo(session, options))) session.exitCode = EXIT_REFUSED;
    });

  const verify = program
    .command("verify")
    .description("whether an object's programs are accepted, and what is wrong where they aren't")
    .argument("<object>", "BPF object file")
    .option("--program <name>", "only this program")
    .addOption(
      new Option("--log [level]", "show the verifier's log: 1 its last path, 2 all of them")
        .choices(["1", "2"])
        .preset("1"),
    )
    .option("--json", "as JSON")
    .action(async (object, options) => {
      const { verify: run } = await import("../verify.ts");
      await run(session, object, options);
    });
  if (!session.isScript) {
    verify.addOption(
      new Option("--kernel <kernel>", "whose verifier, or both to compare them")
        .choices([...KERNEL_NAMES, "both"])
        .default("embedded"),
    );
  }

  program
    .command("inspect")
    .description("what an object holds: programs, maps, sections")
    .argument("<object>", "BPF object file")
    .option("--json", "as JSON")
    .action(async (object, options) => {
      const { inspect } = await import("../inspect.ts");
      await inspect(session, object, options);
    });

  program
    .command("disasm")
    .description("the instructions of an object's programs, with their source lines")
    .argument("<object>", "BPF object file")
    .option("--program <name>", "only this program")
    .option("--wasm", "with the WebAssembly that they are compiled to")
    .option("--json", "as JSON")
    .action(async (object, options) => {
      const { disasm } = await import("../disasm.ts");
      await disasm(session, object, options);
    });
}
