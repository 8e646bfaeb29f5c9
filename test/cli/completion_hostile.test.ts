/**
 * A name under /run/netns is completed as that name or not at all, and is never run: each shell is
 * used on a terminal, TAB and Enter are pressed, and the command says what it was given.
 */

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HOSTILE_BYTES, HOSTILE_NAMES } from "../hostile_names.ts";
import { HANG_MS } from "../limits.ts";
import { Command } from "./command.ts";
import { hasTool } from "./linux_scene.ts";

/** Names that are a file's, each alone in a directory. */
const NAMES: readonly Buffer[] = [...HOSTILE_NAMES, ...HOSTILE_BYTES].map((name) =>
  // "/" is the one character that no name has.
  Buffer.from(typeof name === "string" ? name.replaceAll("/", "_") : name),
);

let nslink: Command;
let folder: string;
beforeAll(() => {
  nslink = new Command();
  folder = mkdtempSync(join(tmpdir(), "nslink-hostile-"));
  NAMES.forEach((name, i) => {
    mkdirSync(join(folder, `${i}`));
    writeFileSync(Buffer.concat([Buffer.from(join(folder, `${i}/`)), name]), "");
  });
  mkdirSync(join(folder, "cwd"));
});
afterAll(() => {
  nslink[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});

/** Prints the word behind --netns between marks, in hexadecimal digits. */
const SAYS = `printf '@@%s@@\\n' "$(printf %s "$last" | od -An -v -tx1 | tr -d ' \\n')"`;

const SHELLS = {
  bash: {
    start: "bash --norc --noprofile -i",
    says: `PS1=; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'
      nslink() { local last="$3"; ${SAYS}; }`,
  },
  zsh: {
    start: "zsh -f -i",
    says: `PS1=; nslink() { local last="$3"; ${SAYS}; }`,
  },
  fish: {
    start: "fish --no-config --private",
    says: `function fish_prompt; end
      function nslink; set -l last $argv[3]
        printf '@@%s@@\\n' (printf %s "$last" | od -An -v -tx1 | tr -d ' \\n'); end`,
  },
} as const;

/** What a command is given as the last word, when the word is begun and TAB is pressed. */
async function completed(shell: keyof typeof SHELLS, begun: readonly string[]): Promise<Buffer[]> {
  const { stdout } = await nslink.run(["completion", shell]);
  const { start, says } = SHELLS[shell];
  const compinit = shell === "zsh" ? "autoload -Uz compinit; compinit -u -D\n" : "";
  const script = stdout.replaceAll("/run/netns", `${folder}/current`);
  const file = nslink.file(`hostile.${shell}`, `${compinit}${script}\n${says}\n`);
  const words = begun.map((word) => `'${word}'`).join(" ");
  const { status, stdout: out } = spawnSync(
    "zsh",
    [
      "-f",
      "-c",
      `zmodload zsh/zpty
       cd ${folder}/cwd
       zpty shell "COLUMNS=400 TERM=dumb LC_ALL=C.UTF-8 ${start}"
       zpty -w shell 'source ${file}; nslink READY'
       zpty -r -m shell out '*@@*@@*' || exit 1
       i=0
       for word in ${words}; do
         ln -sfn ${folder}/$i ${folder}/current
         zpty -w shell "nslink attach --netns $word"$'\\t'
         zpty -r -m shell out '*@@*@@*' || exit 2
         print -r -- "$out"
         i=$((i + 1))
       done
       zpty -d shell`,
    ],
    { encoding: "latin1", timeout: HANG_MS },
  );
  expect(status).toBe(0);
  return [...out.matchAll(/@@([0-9a-f]*)@@/g)].map(([, hex = ""]) => Buffer.from(hex, "hex"));
}

describe.skipIf(!hasTool("zsh", "completion of hostile names"))("hostile names", () => {
  for (const shell of ["bash", "zsh", "fish"] as const) {
    test.skipIf(!hasTool(shell, `hostile names in ${shell}`))(
      `are only names in ${shell}`,
      async () => {
        // What can be typed without quotes; a word that begins with something else is not begun.
        const begun = NAMES.map(
          (name) => /^[-._a-z]*/.exec(name.toString("latin1"))?.[0].slice(0, 2) ?? "",
        );
        const given = await completed(shell, begun);
        expect(given).toHaveLength(NAMES.length);
        const wrong = given.flatMap((word, i) => {
          const [name, typed] = [NAMES[i] ?? Buffer.of(), Buffer.from(begun[i] ?? "")];
          return word.equals(name) || word.equals(typed)
            ? []
            : [[name.toString(), word.toString()]];
        });
        expect(wrong).toEqual([]);
        const names = given.filter((word, i) => word.equals(NAMES[i] ?? Buffer.of()));
        expect(names.length, "most are completed").toBeGreaterThan(NAMES.length / 2);
        expect(existsSync(join(folder, "cwd/PWNED"))).toBe(false);
      },
    );
  }
});
