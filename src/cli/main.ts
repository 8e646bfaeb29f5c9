#!/usr/bin/env node
/**
 * The nslink command: its words, its options, its exit codes. What a command does is loaded when
 * it is asked for, so that asking for little is fast.
 */

import { readFileSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { EXIT_DONE, EXIT_REFUSED, EXIT_USAGE, report, UsageError } from "./failure.ts";

/** @returns the exit code. */
async function main(): Promise<number> {
  const program = new Command("nslink")
    .description("BPF programs on network namespaces, on Linux's rules and without Linux.")
    .version(version(), "-V, --version", "print the version")
    .configureOutput({ outputError: (text, write) => write(asOneLine(text)) })
    .exitOverride();
  let exitCode: number = EXIT_DONE;

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
      if (!(await demo())) exitCode = EXIT_REFUSED;
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

  try {
    await program.parseAsync();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has said it already, or shown the help that was asked for.
    return error.exitCode === 0 ? EXIT_DONE : EXIT_USAGE;
  }
  return exitCode;
}

function version(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return String(JSON.parse(manifest).version);
}

/** Commander's "error: …\n(Did you mean …?)" in the way of all other errors. */
function asOneLine(text: string): string {
  return `${text
    .trim()
    .replace(/^error: /, "nslink: ")
    .replaceAll("\n", " ")}\n`;
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
  const range = max === Number.MAX_SAFE_INTEGER ? `${min} up` : `${min} to ${max}`;
  throw new InvalidArgumentError(`It must be a whole number from ${range}.`);
}

// A reader that has seen enough, such as head(1), closes the pipe: nothing is wrong then.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(EXIT_DONE);
  process.exit(report(new UsageError(`cannot write standard output: ${error.message}`)));
});

try {
  process.exitCode = await main();
} catch (error) {
  process.exitCode = report(error);
}
