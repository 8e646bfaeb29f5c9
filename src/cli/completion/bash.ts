/**
 * Completion for bash: one function, which walks the line to know where it is.
 */

import type { Candidates, CompletedCommand } from "./index.ts";

/** The text that `source <(nslink completion bash)` reads. */
export function bashCompletion(commands: readonly CompletedCommand[]): string {
  return `# Completion of nslink for bash; made by: nslink completion bash
_nslink() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous='' at='' place=0 word words i kind=''
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n $previous ]]; then
      previous=''
      continue
    fi
    case "$at $word" in
${commands.map(optionsWithValues).join("")}      *)
        case "$at $word" in
${commands.flatMap(steps).join("")}          *' -'*) ;;
          *) place=$((place + 1)) ;;
        esac
        ;;
    esac
  done
  if [[ -n $previous ]]; then
    case "$at $previous" in
${commands.map(optionValues).join("")}    esac
  elif [[ $current == -* ]]; then
    case "$at" in
${commands.map(optionWords).join("")}    esac
  else
    case "$at $place" in
${commands.map(argumentWords).join("")}    esac
  fi
  case $kind in
    words:*)
      read -ra words <<< "\${kind#words:}"
      _nslink_offer "\${words[@]}"
      ;;
    netns)
      words=(self)
      # A pattern that nothing matches stays as it is, and then leads nowhere.
      for word in /run/netns/*; do
        [[ -e $word || -L $word ]] && words+=("\${word##*/}")
      done
      _nslink_offer "\${words[@]}"
      ;;
    pin) _nslink_files "\${current:-/sys/fs/bpf/}" ;;
    file) _nslink_files "$current" ;;
  esac
}
# Offers the words that begin as the word on the line does. What is offered becomes part of a line
# that is run, so each word is quoted, and none is expanded here (as compgen -W would).
_nslink_offer() {
  local word quoted bare=\${current#[\\'\\"]}
  for word in "$@"; do
    printf -v quoted %q "$word"
    case $quoted in
      "$word") [[ $word == "$bare"* ]] ;;
      # Nothing may stand before such a quote.
      "$'"*) [[ -z $current ]] ;;
      *) [[ $quoted == "$current"* ]] ;;
    esac && COMPREPLY+=("$quoted")
  done
}
# Offers files; readline quotes their names. A name of several lines comes in parts, which are none.
_nslink_files() {
  local word
  while IFS= read -r word; do
    [[ -e $word || -L $word || $word == '~'* ]] && COMPREPLY+=("$word")
  done < <(compgen -f -- "$1")
  compopt -o filenames
}
complete -F _nslink nslink
`;
}

/** Options whose value is the next word. */
function optionsWithValues({ path, options }: CompletedCommand): string {
  const flags = options.filter(({ value }) => value !== null).flatMap((option) => option.flags);
  if (flags.length === 0) return "";
  const patterns = flags.map((flag) => `'${path} ${flag}'`).join(" | ");
  return `      ${patterns}) previous=$word ;;\n`;
}

/** Words that lead on to a command. */
function steps({ path, subcommands }: CompletedCommand): string[] {
  return subcommands
    .filter(({ name }) => name !== "help")
    .map(({ name }) => {
      const next = path === "" ? name : `${path} ${name}`;
      return `          '${path} ${name}') at='${next}' place=0 ;;\n`;
    });
}

function optionValues({ path, options }: CompletedCommand): string {
  return options
    .map(({ flags, value }) => {
      if (value === null || value === "any") return "";
      const patterns = flags.map((flag) => `'${path} ${flag}'`).join(" | ");
      return `      ${patterns}) kind=${kind(value)} ;;\n`;
    })
    .join("");
}

function optionWords({ path, options }: CompletedCommand): string {
  return `      '${path}') kind=${kind(options.flatMap(({ flags }) => flags))} ;;\n`;
}

function argumentWords({ path, subcommands, arguments: places }: CompletedCommand): string {
  const all = subcommands.length > 0 ? [subcommands.map(({ name }) => name)] : places;
  return all
    .map((each, i) => (each === "any" ? "" : `      '${path} ${i}') kind=${kind(each)} ;;\n`))
    .join("");
}

function kind(candidates: Candidates): string {
  return typeof candidates === "string" ? candidates : `'words:${candidates.join(" ")}'`;
}
