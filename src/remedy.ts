/**
 * What to do about a refusal, as data: the command line makes a command of it, and
 * {@link remedyWords} says it to those who call the library.
 */

import type { NetNsReference } from "./kernel.ts";

/**
 * One thing to do. Null is what the caller has to fill in: which link, which namespace.
 *
 * Actions that only look at something are `list-…`, `show-…`, `explain-…`, `query-…`, `inspect-…`,
 * `verify-…`, `disassemble-…` and `examine-…`; all others change something.
 */
export type Remedy =
  | { readonly action: "list-links" }
  | { readonly action: "list-netns" }
  | { readonly action: "list-file"; readonly path: string }
  | { readonly action: "show-link"; readonly link: number }
  | { readonly action: "explain-link"; readonly link: number | null }
  | { readonly action: "query-netns"; readonly netns: NetNsReference | null }
  | { readonly action: "inspect-object" }
  | { readonly action: "verify-object"; readonly kernel: "embedded" | "linux" }
  | { readonly action: "disassemble-object" }
  | { readonly action: "examine-kernel"; readonly kernel: "embedded" | "linux" }
  /** What isn't built into the embedded kernel, Linux may have. */
  | { readonly action: "use-linux" }
  | { readonly action: "attach-link"; readonly netns: NetNsReference | null }
  /** `expect`: only if this is the id of the program now. */
  | { readonly action: "update-link"; readonly link: number | null; readonly expect?: number }
  | { readonly action: "detach-link"; readonly link: number | null }
  | { readonly action: "pin-link"; readonly path: string }
  | { readonly action: "unpin"; readonly path: string }
  | { readonly action: "attach-program"; readonly netns: NetNsReference | null }
  | {
      readonly action: "detach-program";
      readonly program: number;
      readonly netns: NetNsReference | null;
    }
  | { readonly action: "add-netns"; readonly name: string }
  | { readonly action: "remove-netns"; readonly name: string }
  | { readonly action: "mount-bpffs"; readonly path: string }
  | { readonly action: "make-directory"; readonly path: string }
  /** RLIMIT_NOFILE of this task, as far as it may be raised. */
  | { readonly action: "raise-open-files"; readonly limit: number }
  /** The sysctl fs.file-max. */
  | { readonly action: "raise-file-max"; readonly limit: number }
  /** RLIMIT_MEMLOCK, as far as it may be raised. */
  | { readonly action: "raise-locked-memory" }
  /** A field of the attr that the refused call is repeated with, and its value then. */
  | { readonly action: "set-field"; readonly field: string; readonly value: number };

/** What options of the library call fields of the attr. */
const OPTION_NAMES: ReadonlyMap<string, string> = new Map([
  ["key_size", "keySize"],
  ["value_size", "valueSize"],
  ["max_entries", "maxEntries"],
  ["map_flags", "flags"],
  ["prog_flags", "flags"],
  ["expected_attach_type", "expectedAttachType"],
]);

/** A {@link Remedy} for those who call the library: words of its API, or a command of Linux. */
export function remedyWords(remedy: Remedy): string {
  const { action } = remedy;
  switch (action) {
    case "list-links":
      return "takeInventory(kernel).links, of nslink/inventory";
    case "list-netns":
      return "takeInventory(kernel).namespaces, of nslink/inventory";
    case "list-file":
      return `ls -ld ${remedy.path}`;
    case "show-link":
      return `${linkWords(remedy.link)}.info`;
    case "explain-link":
      return `explain(kernel, ${remedy.link ?? "id"}), of nslink/inventory`;
    case "query-netns":
      return `${netnsWords(remedy.netns)}.query()`;
    case "inspect-object":
      return "loadObject(bytes).programs";
    case "verify-object":
      return "VerifierError.log, .line and .cause";
    case "disassemble-object":
      return "disassemble(instructions), of nslink/asm";
    case "examine-kernel":
      return "examine(kernel), of nslink/doctor";
    case "use-linux":
      return "openLinuxKernel(), of nslink/linux";
    case "attach-link":
      return `Link.attach(program, ${netnsWords(remedy.netns)})`;
    case "update-link": {
      const { link, expect } = remedy;
      const expected = expect === undefined ? "" : `, { expect: ${programWords(expect)} }`;
      return `${linkWords(link)}.update(program${expected})`;
    }
    case "detach-link":
      return `${linkWords(remedy.link)}.detach()`;
    case "pin-link":
      return `link.pin(${JSON.stringify(remedy.path)})`;
    case "unpin":
      return `kernel.bpffs.unlink(${JSON.stringify(remedy.path)})`;
    case "attach-program":
      return `${netnsWords(remedy.netns)}.enter(() => program.attach())`;
    case "detach-program": {
      const program = programWords(remedy.program);
      return `${netnsWords(remedy.netns)}.enter(() => ${program}.detach())`;
    }
    case "add-netns":
      return `NetNs.create(kernel, ${JSON.stringify(remedy.name)})`;
    case "remove-netns":
      return `NetNs.remove(kernel, ${JSON.stringify(remedy.name)})`;
    case "mount-bpffs":
      return `mount -t bpf bpf ${remedy.path}`;
    case "make-directory":
      return `kernel.bpffs.mkdir(${JSON.stringify(remedy.path)})`;
    case "raise-open-files":
      return `ulimit -n ${remedy.limit}`;
    case "raise-file-max":
      return `sysctl -w fs.file-max=${remedy.limit}`;
    case "raise-locked-memory":
      return "ulimit -l unlimited";
    case "set-field":
      return `${OPTION_NAMES.get(remedy.field) ?? remedy.field}: ${remedy.value}`;
  }
}

function linkWords(link: number | null): string {
  return link === null ? "link" : `Link.fromId(kernel, ${link})`;
}

function programWords(id: number): string {
  return `Program.fromId(kernel, ${id})`;
}

function netnsWords(netns: NetNsReference | null): string {
  return netns === null ? "netns" : `NetNs.open(kernel, ${JSON.stringify(netns)})`;
}
