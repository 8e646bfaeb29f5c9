/**
 * Completion for zsh: a function for each command, by _arguments.
 */

import type { Candidates, CompletedCommand, CompletedOption } from "./index.ts";

/** The text of a file _nslink in a directory of $fpath; it can be sourced as well. */
export function zshCompletion(commands: readonly CompletedCommand[]): string {
  return `#compdef nslink
# Completion of nslink for zsh; made by: nslink completion zsh
_nslink_netns() {
  local -a names
  names=(self /run/netns/*(N:t))
  # Quoted by compadd, whatever is in them.
  compadd -a -- names
}
_nslink_pin() {
  _files -W /sys/fs/bpf -P /sys/fs/bpf/
  _files
}
${commands.map(functionOf).join("")}if [[ "\${funcstack[1]}" == _nslink ]]; then
  _nslink "$@"
else
  compdef _nslink nslink
fi
`;
}

function functionOf(command: CompletedCommand): string {
  const { path, subcommands } = command;
  const places = subcommands.length > 0 ? [] : command.arguments;
  const specs = [
    ...command.options.map(optionSpec),
    ...places.map((each, i) => quoted(`${i + 1}:${action(each)}`)),
    ...(subcommands.length > 0 ? ["'1: :->command'", "'*:: :->rest'"] : []),
  ];
  const dispatch = `  case $state in
    command)
      local -a commands
      commands=(
${subcommands.map(described).join("")}      )
      _describe command commands
      ;;
    rest)
      case $words[1] in
${subcommands
  .filter(({ name }) => name !== "help")
  .map(
    ({ name }) => `        ${name}) ${functionName(path === "" ? name : `${path} ${name}`)} ;;\n`,
  )
  .join("")}      esac
      ;;
  esac
`;
  return `${functionName(path)}() {
  local curcontext=$curcontext state line
  _arguments -C \\
${specs.map((spec) => `    ${spec}`).join(" \\\n")}
${subcommands.length > 0 ? dispatch : ""}}
`;
}

function described({ name, description }: CompletedCommand["subcommands"][number]): string {
  return `        ${quoted(`${name}:${plain(description)}`)}\n`;
}

function functionName(path: string): string {
  return path === "" ? "_nslink" : `_nslink__${path.replaceAll(" ", "__")}`;
}

function optionSpec({ flags, description, value }: CompletedOption): string {
  const text = `[${plain(description)}]${value === null ? "" : `:${action(value)}`}`;
  if (flags.length === 1) return quoted(`${flags[0]}${text}`);
  return `${quoted(`(${flags.join(" ")})`)}{${flags.join(",")}}${quoted(text)}`;
}

/** "message:action" */
function action(candidates: Candidates): string {
  if (typeof candidates !== "string") return `word:(${candidates.join(" ")})`;
  const actions = { file: "_files", netns: "_nslink_netns", pin: "_nslink_pin", any: "" };
  return `${candidates === "any" ? "value" : candidates}:${actions[candidates]}`;
}

/** Colons and brackets mean something in a spec. */
function plain(text: string): string {
  return text.replaceAll(/[[\]:\\]/g, "\\$&");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
