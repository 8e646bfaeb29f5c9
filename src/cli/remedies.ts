/**
 * What to do about a refusal, as commands that can be run as they are printed.
 */

import type { NetNsReference } from "../kernel.ts";
import type { Remedy } from "../remedy.ts";

/**
 * The command for a remedy; words in capitals are the user's to fill in. Null for what no command
 * does: what is to be changed lies in the object's source.
 *
 * @param isScript - whether it is to be a line of a script: other programs can't be run there.
 */
export function remedyCommand(remedy: Remedy, isScript: boolean = false): string | null {
  const words = isScript ? scriptWords(remedy) : nslinkWords(remedy);
  if (words !== null) return [...(isScript ? [] : ["nslink"]), ...words].map(shellWord).join(" ");
  return isScript ? null : otherCommand(remedy);
}

/** How `--netns` names a namespace: the inverse of `netnsReference`. */
function netnsWord(reference: NetNsReference | null): string {
  if (reference === null) return "NETNS";
  if (reference === "self") return "self";
  if ("pid" in reference) return `pid:${reference.pid}`;
  return "name" in reference ? reference.name : reference.path;
}

function kernelWords(kernel: "embedded" | "linux", standard: "embedded" | "linux"): string[] {
  return kernel === standard ? [] : ["--kernel", kernel];
}

/** A script has one kernel, which no line of it can choose. */
function scriptWords(remedy: Remedy): readonly string[] | null {
  const words = remedy.action === "use-linux" ? null : nslinkWords(remedy);
  const at = words?.indexOf("--kernel") ?? -1;
  return words === null || at < 0 ? words : words.toSpliced(at, 2);
}

function nslinkWords(remedy: Remedy): readonly string[] | null {
  switch (remedy.action) {
    case "list-links":
      return ["ls"];
    case "list-netns":
      return ["netns", "ls"];
    case "show-link":
      return ["show", `${remedy.link}`];
    case "explain-link":
      return ["explain", `${remedy.link ?? "LINK"}`];
    case "query-netns":
      return ["prog", "query", "--netns", netnsWord(remedy.netns)];
    case "inspect-object":
      return ["inspect", "OBJECT"];
    case "verify-object":
      return ["verify", "OBJECT", ...kernelWords(remedy.kernel, "embedded")];
    case "disassemble-object":
      return ["disasm", "OBJECT"];
    case "examine-kernel":
      return ["doctor", ...kernelWords(remedy.kernel, "linux")];
    case "use-linux":
      return ["verify", "OBJECT", "--kernel", "linux"];
    case "attach-link":
      return ["attach", "OBJECT", "--netns", netnsWord(remedy.netns)];
    case "update-link": {
      const { link, expect } = remedy;
      const expected = expect === undefined ? [] : ["--expect", `${expect}`];
      return ["update", `${link ?? "LINK"}`, "OBJECT", ...expected];
    }
    case "detach-link":
      return ["detach", `${remedy.link ?? "LINK"}`];
    case "pin-link":
      return ["pin", "LINK", remedy.path];
    case "unpin":
      return ["unpin", remedy.path];
    case "attach-program":
      return ["prog", "attach", "OBJECT", "--netns", netnsWord(remedy.netns)];
    case "detach-program":
      return ["prog", "detach", `${remedy.program}`, "--netns", netnsWord(remedy.netns)];
    case "add-netns":
      return ["netns", "add", ...operand(remedy.name)];
    case "remove-netns":
      return ["netns", "del", ...operand(remedy.name)];
    default:
      return null;
  }
}

/** Commands of others, for a shell. */
function otherCommand(remedy: Remedy): string | null {
  switch (remedy.action) {
    case "list-file":
      return `ls -ld -- ${shellWord(remedy.path)}`;
    case "mount-bpffs":
      return `mount -t bpf bpf ${shellWord(remedy.path)}`;
    case "make-directory":
      return `mkdir -p -- ${shellWord(remedy.path)}`;
    case "raise-open-files":
      return `ulimit -n ${remedy.limit}`;
    case "raise-file-max":
      return `sysctl -w fs.file-max=${remedy.limit}`;
    case "raise-locked-memory":
      return "ulimit -l unlimited";
    default:
      return null;
  }
}

/** A name that begins like an option is none after `--`. */
function operand(name: string): readonly string[] {
  return name.startsWith("-") ? ["--", name] : [name];
}

/** A word as shells and scripts read it; control characters, as bash writes them. */
function shellWord(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  if (/\p{Cc}/u.test(word)) {
    const escaped = word.replaceAll(/[\\']/g, "\\$&").replaceAll(/\p{Cc}/gu, (character) => {
      return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
    });
    return `$'${escaped}'`;
  }
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
