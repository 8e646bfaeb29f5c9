// Writes docs/support.md from the embedded kernel's own tables, and docs/verifier.md from those of
// the causes and the proofs; with --check it only says whether the pages are as they should be. `npm run
// build` and `tsc -p test/prove` first.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { listVerdictCauses } from "nslink";
import { support } from "nslink/embedded";
import { proofTable } from "../test/prove/dist/test/prove/page.js";

const { commands, mapTypes, programTypes, helpers } = support();
const supportPage = `# What the embedded kernel has

Made from the kernel's own tables by \`npm run docs\`. The names are those of Linux 6.18; what stands
under "not yet" is refused as a Linux refuses it that was built without it; a helper that Linux has
is refused with words that say so.

Programs are verified before they run, by Linux's rules: [verifier.md](verifier.md) says why they are
refused.

## Commands of bpf(2)

${listed(commands)}

## Map types

${listed(mapTypes.slice(1))}

## Program types

${listed(programTypes.slice(1))}

sk_lookup programs are loaded, linked and queried; running them comes later.

## Helpers

${listed(helpers)}

There are no sockets in it: a lookup finds none. What it returns has to be compared with 0, and
released, all the same.
`;

const causesPage = withTable(readFileSync("docs/verifier.md", "utf8"), "causes", [
  "| cause | what is wrong | what usually mends it |",
  "| ----- | ------------- | --------------------- |",
  ...listVerdictCauses().map(row),
]);
const verifierPage = withTable(causesPage, "proofs", proofTable());

for (const [path, page] of [
  ["docs/support.md", supportPage],
  ["docs/verifier.md", verifierPage],
]) {
  if (!process.argv.includes("--check")) {
    writeFileSync(path, page);
  } else if (!existsSync(path) || readFileSync(path, "utf8") !== page) {
    console.error(`${path} is out of date: npm run docs`);
    process.exitCode = 1;
  }
}

/** @param {{ id: string, sentence: string, mend: string }} cause */
function row({ id, sentence, mend }) {
  return `| \`${id}\` | ${sentence} | ${mend} |`;
}

/** @param {readonly { name: string, supported: boolean }[]} entries */
function listed(entries) {
  const names = (wanted) =>
    entries.filter(({ supported }) => supported === wanted).map(({ name }) => `\`${name}\``);
  const [here, missing] = [names(true), names(false)];
  return `${here.length} of ${entries.length}: ${here.join(", ")}.\n\nNot yet: ${missing.join(", ")}.`;
}

/** A page with a table put anew between the comments that name it. */
function withTable(page, name, lines) {
  const [start, end] = [`<!-- table: ${name} -->\n`, "<!-- end of the table -->"];
  const from = page.indexOf(start);
  const to = page.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`no place for the table ${name}: ${start}… ${end}`);
  return `${page.slice(0, from + start.length)}\n${lines.join("\n")}\n\n${page.slice(to)}`;
}
