// Writes docs/support.md from the embedded kernel's own tables, and docs/verifier.md from that of
// the causes; with --check it only says whether the pages are as they should be. `npm run build`
// first.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { listVerdictCauses } from "nslink";
import { support } from "nslink/embedded";

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

const verifierPage = `# Why verifiers refuse programs

Linux's verifier and the embedded kernel's walk all paths that a program can take, and refuse it when
one of them could do harm or can't be followed. \`nslink verify OBJECT\` says why, in terms of the
program's source, and so do \`VerifierError.cause\` and \`explainVerdict(log, program)\`, from the log
of either kernel:

\`\`\`ts
import { readFileSync } from "node:fs";
import { Collection, loadObject, VerifierError } from "nslink";
import { EmbeddedKernel } from "nslink/embedded";

using kernel = EmbeddedKernel.boot();
const object = loadObject(readFileSync("examples/mistakes.bpf.o"));
try {
  Collection.load(kernel, object, { programs: ["off_by_one"] });
} catch (error) {
  if (!(error instanceof VerifierError)) throw error;
  console.log(error.line?.text); // return data[sizeof(struct ethhdr) - 1] == 0 ? …
  console.log(error.instruction?.text); // r1 = *(u8 *)(r2 + 0)
  console.log(error.registers.R2); // pkt(off=13,r=13)
  console.log(error.cause?.mend); // compare data + 14 with data_end before this access
}
\`\`\`

What a program may do depends on who loads it: [capabilities.md](capabilities.md).

Verdicts are those of Linux 6.18, and as a rule so are the instructions that were walked for them. One
thing is taken from later versions: 6.18 cuts paths short that come round to \`bpf_loop\` or
\`bpf_for_each_map_elem\`, and loses what turns out to matter later on, so that it may accept a program
whose callback leaves its bounds in a later round. Where that can happen, the log says that a
callback's path was cut short too early, and the program is walked once more. Loops around these
helpers in which nothing changes are let in, as by 6.18, although they never end:
\`boot({ instructionLimit })\` stops them on the interpreter, and on a hardened kernel.

Where Linux 6.18 is known to be wrong, the embedded verifier isn't:

- A number that is filled from the stack with its sign extended stays linked to what was spilled, on
  Linux even where the sign bit may be set and the two differ. Here such a link is dropped, so a few
  programs are refused that Linux accepts.
- Where Linux contradicts itself (REG INVARIANTS VIOLATION in its log), it forgets what it knew, and
  may refuse a program that is accepted here.

Maps whose values have fields that the kernel looks after (bpf_spin_lock, bpf_timer, bpf_wq, kptrs,
lists, trees and so on, by the map's BTF) can be made, read and written by tasks as on Linux.
Programs that name such a map are refused: the embedded kernel has none of the helpers and functions
that work on these fields. The log names the map, the fields and their offsets.

The causes, made from their table by \`npm run docs\`:

| cause | what is wrong | what usually mends it |
| ----- | ------------- | --------------------- |
${listVerdictCauses().map(row).join("\n")}
`;

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
