/**
 * `nslink completion`: what makes a shell complete nslink's words, made from the words themselves.
 */

import type { Argument, Command, Option } from "commander";
import { bashCompletion } from "./bash.ts";
import { fishCompletion } from "./fish.ts";
import { zshCompletion } from "./zsh.ts";

/** What can stand in a place, for a shell to look up. */
export type Candidates =
  /** One of these words. */
  | readonly string[]
  /** A file. */
  | "file"
  /** A name under /run/netns. */
  | "netns"
  /** A path below /sys/fs/bpf. */
  | "pin"
  /** Anything: the shell can't know. */
  | "any";

/** An option of a command. */
export interface CompletedOption {
  /** "--json", "-h". */
  readonly flags: readonly string[];
  readonly description: string;
  /** What its value may be; null for an option without a value. */
  readonly value: Candidates | null;
}

/** A command, as far as completion is concerned. */
export interface CompletedCommand {
  /** The words that lead to it, without "nslink": "netns add". */
  readonly path: string;
  readonly description: string;
  readonly options: readonly CompletedOption[];
  /** What its arguments may be, in order. */
  readonly arguments: readonly Candidates[];
  /** The commands below it. */
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
}

/** The shells that completion is made for. */
export type Shell = "bash" | "zsh" | "fish";

const SHELLS: Readonly<Record<Shell, (commands: readonly CompletedCommand[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** A shell's completion of a program's commands. */
export function completion(program: Command, shell: Shell): string {
  return SHELLS[shell](commandsOf(program, []));
}

function commandsOf(command: Command, path: readonly string[]): CompletedCommand[] {
  const help = command.createHelp();
  const subcommands = help.visibleCommands(command);
  return [
    {
      path: path.join(" "),
      description: command.description(),
      options: help.visibleOptions(command).map(completedOption),
      arguments: command.registeredArguments.map(candidatesOfArgument),
      subcommands: subcommands.map((each) => ({
        name: each.name(),
        description: each.description(),
      })),
    },
    ...subcommands
      .filter((each) => each.name() !== "help")
      .flatMap((each) => commandsOf(each, [...path, each.name()])),
  ];
}

function completedOption(option: Option): CompletedOption {
  const { short, long, description } = option;
  const flags = [short, long].filter((flag) => flag !== undefined && flag !== null);
  if (!option.required && !option.optional) return { flags, description, value: null };
  return { flags, description, value: option.argChoices ?? candidatesOf(option.flags) };
}

function candidatesOfArgument(argument: Argument): Candidates {
  return argument.argChoices ?? candidatesOf(`<${argument.name()}>`);
}

/** By the word that stands for the value: <object>, <ref>. */
const CANDIDATES: ReadonlyMap<string, Candidates> = new Map<string, Candidates>([
  ["object", "file"],
  ["capture", "file"],
  ["file", "file"],
  ["path", "file"],
  ["directory", "file"],
  ["netns", "netns"],
  ["ref", "netns"],
  ["link", "pin"],
  ["pin", "pin"],
  ["prog", "pin"],
]);

function candidatesOf(text: string): Candidates {
  return CANDIDATES.get(/[<[]([^>\]]+)[>\]]/.exec(text)?.[1] ?? "") ?? "any";
}
