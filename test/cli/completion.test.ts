/** What shells make of the completion that nslink prints, each asked in its own way. */

import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Command, expectUsageError } from "./command.ts";
import { hasTool } from "./linux_scene.ts";

/** Lines to complete, and what is offered among others, or is the only way on. */
const LINES: readonly [line: string, offered: readonly string[], not: readonly string[]][] = [
  ["nslink att", ["attach"], ["detach"]],
  ["nslink ", ["attach", "netns", "prog", "completion"], ["query", "--json"]],
  ["nslink netns ", ["ls", "add", "del"], ["attach", "query"]],
  ["nslink prog q", ["query"], ["attach"]],
  ["nslink attach --", ["--netns", "--pin", "--replace-map", "--kernel"], ["--expect", "--as"]],
  ["nslink attach --kernel ", ["linux", "embedded"], ["attach", "README.md"]],
  ["nslink attach --kernel linux LICEN", ["LICENSE"], ["README.md"]],
  ["nslink update bpf/x bpf/flow-v2.bpf.o --ex", ["--expect"], ["--netns"]],
  ["nslink attach --netns sel", ["self"], ["attach"]],
  ["nslink completion ", ["bash", "zsh", "fish"], ["attach"]],
  ["nslink run bpf/flow.bpf.o exampl", ["examples/"], ["README.md"]],
];

let nslink: Command;
beforeAll(() => {
  nslink = new Command();
});
afterAll(() => nslink[Symbol.dispose]());

async function completionFile(shell: string): Promise<string> {
  const { status, stdout, stderr } = await nslink.run(["completion", shell]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return nslink.file(`completion.${shell}`, stdout);
}

function said(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

describe.skipIf(!hasTool("bash", "completion in bash"))("bash", () => {
  test.each(LINES)("completes %j", async (line, offered, not) => {
    const file = await completionFile("bash");
    const words = line.split(" ").map((word) => `'${word}'`);
    const out = said("bash", [
      "-c",
      `compopt() { :; }
       source ${file}
       COMP_WORDS=(${words.join(" ")}) COMP_CWORD=${words.length - 1}
       _nslink
       printf '%s\\n' "\${COMPREPLY[@]}"`,
    ]);
    // Readline puts the slash behind a directory.
    expectOffered(out.replace(/^examples$/m, "examples/"), offered, not);
  });
});

describe.skipIf(!hasTool("fish", "completion in fish"))("fish", () => {
  test.each(LINES)("completes %j", async (line, offered, not) => {
    const file = await completionFile("fish");
    const out = said("fish", ["--no-config", "-c", `source ${file}; complete -C '${line}'`]);
    expectOffered(out.replaceAll(/\t.*/g, ""), offered, not);
  });
});

function expectOffered(out: string, offered: readonly string[], not: readonly string[]): void {
  const words = out.split("\n");
  expect(words).toEqual(expect.arrayContaining([...offered]));
  for (const word of not) expect(words).not.toContain(word);
}

describe.skipIf(!hasTool("zsh", "completion in zsh"))("zsh", () => {
  /** Only where one word is left zsh writes it at once, without a list. */
  const single = LINES.filter(([, { length }]) => length === 1);

  test("completes on a terminal", async () => {
    const file = await completionFile("zsh");
    const lines = single.map(([line]) => `'${line}'`).join(" ");
    const out = said("zsh", [
      "-f",
      "-c",
      `zmodload zsh/zpty
       zpty shell "COLUMNS=200 TERM=dumb zsh -f -i"
       zpty -w shell 'PS1=; autoload -Uz compinit; compinit -u -D; source ${file}'
       zpty -w shell 'nslink() print -r -- "<$*>"; print READY'
       zpty -r -m shell out '*READY?*READY*' || exit 1
       for line in ${lines}; do
         zpty -w shell "$line"$'\\t'
         zpty -r -m shell out '*<*>*' || exit 1
         print -r -- "$out"
       done
       zpty -d shell`,
    ]);
    const completed = [...out.matchAll(/<([^>]*)>/g)].map(([, words = ""]) => words.trim());
    expect(completed).toEqual(
      single.map(([line, [word = ""]]) => {
        // Before a command is run zsh takes the slash behind a directory off again.
        return `${line.split(" ").slice(1, -1).join(" ")} ${word}`.trim().replace(/\/$/, "");
      }),
    );
  });
});

test("another shell is wrong usage", async () => {
  expectUsageError(await nslink.run(["completion", "tcsh"]), /'tcsh' is invalid .*bash, zsh, fish/);
  expectUsageError(await nslink.run(["completion"]), /missing required argument 'shell'/);
});
