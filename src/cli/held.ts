/**
 * Links that live because this process holds them: what became of one while nobody looked.
 */

import type { Kernel, NetNsIdentity } from "../kernel.ts";
import type { Link } from "../link.ts";
import { NetNs } from "../netns.ts";

/** Where a held link was attached, as a command line names it. It doesn't hold the namespace. */
export interface Place {
  readonly label: string;
  readonly identity: NetNsIdentity;
}

/** A link that lives because this process holds it. */
export interface HeldLink {
  readonly link: Link;
  /** What its program needs as long as it is there: programs, and maps by which they call. */
  readonly others: readonly Disposable[];
  /** What a script calls it, or "". */
  readonly label: string;
  readonly place: Place;
}

/** Why a link is attached to nothing; `unknown`: the kernel can't tell, or not this task. */
export type Loss = "netns-died" | "detached" | "unknown";

/** Why a held link is attached to nothing any more; null while it is attached. */
export function lossOf(kernel: Kernel, { link, place }: HeldLink): Loss | null {
  if (link.info.netnsInode !== 0) return null;
  const lives = NetNs.isAlive(kernel, place.identity);
  if (lives === null) return "unknown";
  return lives ? "detached" : "netns-died";
}

/** A sentence about a loss. */
export function lossText({ link, place }: HeldLink, loss: Loss): string {
  const { id } = link.info;
  const netns = `${place.label} (inode ${place.identity.inode})`;
  switch (loss) {
    case "netns-died":
      return `link ${id} is defunct: its network namespace ${netns} died`;
    case "detached":
      return `link ${id} was detached from ${netns} by somebody else`;
    case "unknown":
      return `link ${id} is attached to nothing any more: ${netns} died, or somebody detached it`;
  }
}
