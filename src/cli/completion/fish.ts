/**
 * Completion for fish: a line for each word, with the condition under which it is offered.
 */

import type { Candidates, CompletedCommand, CompletedOption } from "./index.ts";

/** The text of ~/.config/fish/completions/nslink.fish. */
export function fishCompletion(commands: readonly CompletedCommand[]): string {
  return `# Completion of nslink for fish; made by: nslink completion fish
# Whether the line is at a command, or, when that has others below it, exactly there.
function __nslink_at
    set -l words (commandline -opc)
    set -e words[1]
    set -l line (string join ' ' -- (string match -v -- '-*' $words))
    if test "$argv[2]" = exactly
        test "$line" = "$argv[1]"
    else
        string match -q -- "$argv[1] *" "$line "
    end
end
# Names of namespaces, one a line; fish quotes them. A name with a line end in it, or with a tab,
# which would begin a description, can't be offered.
function __nslink_netns
    for path in /run/netns/*
        set -l name (string replace -- /run/netns/ '' $path | string collect)
        string match -qr -- '[[:cntrl:]]' $name; or echo -E -- $name
    end
end
complete -c nslink -f
${commands.map(linesOf).join("")}`;
}

function linesOf(command: CompletedCommand): string {
  const { path, subcommands, options } = command;
  const words = [quoted(path), ...(subcommands.length > 0 ? ["exactly"] : [])];
  const condition = `-n ${quoted(`__nslink_at ${words.join(" ")}`)}`;
  return [
    ...subcommands.map(({ name, description }) => {
      return `complete -c nslink ${condition} -a ${quoted(name)} -d ${quoted(description)}\n`;
    }),
    ...options.map((option) => `complete -c nslink ${condition} ${optionText(option)}\n`),
    ...[...new Set(command.arguments.map(valueText))]
      .filter((text) => text !== "")
      .map((text) => `complete -c nslink ${condition} ${text}\n`),
  ].join("");
}

function optionText({ flags, description, value }: CompletedOption): string {
  const names = flags.map((flag) => {
    return flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
  });
  const parts = [...names, "-d", quoted(description)];
  // A value that is no file: -x.
  if (value !== null)
    parts.push(value === "file" || value === "pin" ? "-r" : "-x", valueText(value));
  return parts.filter((part) => part !== "").join(" ");
}

/** What is offered for a value: -a and words, or -F for files. */
function valueText(candidates: Candidates): string {
  if (typeof candidates !== "string") return `-a ${quoted(candidates.join(" "))}`;
  const texts = {
    file: "-F",
    netns: `-a ${quoted("self (__nslink_netns)")}`,
    pin: `-F -a ${quoted("(__fish_complete_path /sys/fs/bpf/)")}`,
    any: "",
  };
  return texts[candidates];
}

/** In single quotes fish takes a backslash before a quote or a backslash only. */
function quoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, "\\$&")}'`;
}
