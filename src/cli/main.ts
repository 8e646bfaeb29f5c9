#!/usr/bin/env node
/**
 * The nslink command: its words, its options, its exit codes. What a command does is loaded when
 * it is asked for, so that asking for little is fast.
 */

import { Command, CommanderError, InvalidArgumentError } from "commander";
import { exitCodeOf, messageOf } from "./failure.ts";

/** 0: done. 1: refused by the kernel, or a story that didn't hold. 2: wrong usage or files. */
async function main(): Promise<number> {
  const program = new Command("nslink")
    .description("BPF programs on network namespaces, on Linux's rules and without Linux.")
    .exitOverride();
  let exitCode = 0;

  program
    .command("run")
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
    .action(async (object, capture, options) => {
      const { run } = await import("./run.ts");
      await run(object, capture, options);
    });

  program
    .command("demo")
    .description(
      "a link's whole life: attach, dissect, update under traffic, outlive the namespace",
    )
    .action(async () => {
      const { demo } = await import("./demo.ts");
      exitCode = (await demo()) ? 0 : 1;
    });

  program
    .command("inspect")
    .description("what an object holds: programs, maps, sections")
    .argument("<object>", "BPF object file")
    .option("--json", "as JSON")
    .action(async (object, options) => {
      const { inspect } = await import("./inspect.ts");
      await inspect(object, options);
    });

  program
    .command("disasm")
    .description("the instructions of an object's programs, with their source lines")
    .argument("<object>", "BPF object file")
    .option("--program <name>", "only this program")
    .option("--json", "as JSON")
    .action(async (object, options) => {
      const { disasm } = await import("./disasm.ts");
      await disasm(object, options);
    });

  await program.parseAsync();
  return exitCode;
}

function u32(text: string): number {
  return integer(text, 0, 0xffff_ffff);
}

function count(text: string): number {
  return integer(text, 1, Number.MAX_SAFE_INTEGER);
}

function integer(text: string, min: number, max: number): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
}

// A reader that has seen enough, such as head(1), closes the pipe: nothing is wrong then.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : 2);
});

try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said it already.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    process.stderr.write(`nslink: ${messageOf(error)}\n`);
    process.exitCode = exitCodeOf(error);
  }
}
