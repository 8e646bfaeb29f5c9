// Writes docs/support.md from the embedded kernel's own tables; with --check it only says whether
// the page is as it should be. `npm run build` first.

import { readFileSync, writeFileSync } from "node:fs";
import { support } from "nslink/embedded";

const PAGE = "docs/support.md";

const { commands, mapTypes, programTypes, helpers } = support();
const page = `# What the embedded kernel has

Made from the kernel's own tables by \`npm run docs\`. The names are those of Linux 6.18; what stands
under "not yet" is refused as a Linux refuses it that was built without it.

## Commands of bpf(2)

${listed(commands)}

## Map types

${listed(mapTypes.slice(1))}

## Program types

${listed(programTypes.slice(1))}

sk_lookup programs are loaded, linked and queried; running them comes later.

## Helpers

${listed(helpers)}
`;

if (!process.argv.includes("--check")) {
  writeFileSync(PAGE, page);
} else if (readFileSync(PAGE, "utf8") !== page) {
  console.error(`${PAGE} is out of date: npm run docs`);
  process.exitCode = 1;
}

/** @param {readonly { name: string, supported: boolean }[]} entries */
function listed(entries) {
  const names = (wanted) =>
    entries.filter(({ supported }) => supported === wanted).map(({ name }) => `\`${name}\``);
  const [here, missing] = [names(true), names(false)];
  return `${here.length} of ${entries.length}: ${here.join(", ")}.\n\nNot yet: ${missing.join(", ")}.`;
}
