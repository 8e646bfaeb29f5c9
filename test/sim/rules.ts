/**
 * The rules of links, direct attachment and dying namespaces, written down a second time and as
 * plainly as possible: what the kernel must answer to each action, and what must be seen after it.
 */

import { E2BIG, EEXIST, EINVAL, ENOENT, ENOLINK, EPERM } from "../../src/abi/errno.ts";

/** One thing that a caller, or time, does. Namespaces, programs and links go by small numbers. */
export type Action =
  | { readonly do: "create"; readonly ns: number; readonly prog: number }
  | { readonly do: "update"; readonly link: number; readonly prog: number }
  | { readonly do: "swap"; readonly link: number; readonly prog: number; readonly old: number }
  | { readonly do: "detach"; readonly link: number }
  | { readonly do: "close"; readonly link: number }
  | { readonly do: "attachDirect"; readonly ns: number; readonly prog: number }
  | { readonly do: "detachDirect"; readonly ns: number; readonly prog: number }
  | { readonly do: "putNs"; readonly ns: number }
  | { readonly do: "step" };

/** alive -> dead (still on the list) -> unlisted -> cleaned (pre_exit has run) -> gone. */
type Stage = "alive" | "dead" | "unlisted" | "cleaned" | "gone";

interface NsRules {
  stage: Stage;
  /** Whether it is the initial namespace. */
  readonly root: boolean;
  /** Held link attached here, or null. */
  link: number | null;
  direct: number | null;
}

interface LinkRules {
  prog: number;
  /** Where it is attached, or null: defunct, or detached. */
  ns: number | null;
  open: boolean;
}

/** What an outsider sees of a link. */
export interface LinkView {
  readonly prog: number;
  /** The namespace that info names; null for inode 0. */
  readonly ns: number | null;
}

export class Rules {
  readonly namespaces: NsRules[];
  readonly links: LinkRules[] = [];
  /** Dead namespaces that the running cleanup has in hand, and the stage it has brought them to. */
  #batch: number[] = [];

  /** @param roots - for each namespace, whether it is the initial one. */
  constructor(roots: readonly boolean[]) {
    this.namespaces = roots.map((root) => ({ stage: "alive", root, link: null, direct: null }));
  }

  /** Equal texts mean equal states. */
  get fingerprint(): string {
    return JSON.stringify([this.namespaces, this.links, this.#batch]);
  }

  /** Actions that a caller could take now. */
  possible(programs: number, maxLinks: number): Action[] {
    const progs = Array.from({ length: programs }, (_, prog) => prog);
    const openNs = this.namespaces.flatMap(({ stage }, ns) => (stage === "alive" ? [ns] : []));
    const openLinks = this.links.flatMap(({ open }, link) => (open ? [link] : []));
    const actions: Action[] = [];
    for (const ns of openNs) {
      for (const prog of progs) {
        if (this.links.length < maxLinks) actions.push({ do: "create", ns, prog });
        actions.push({ do: "attachDirect", ns, prog }, { do: "detachDirect", ns, prog });
      }
      if (this.namespaces[ns]?.root === false) actions.push({ do: "putNs", ns });
    }
    for (const link of openLinks) {
      for (const prog of progs) {
        actions.push({ do: "update", link, prog });
        for (const old of progs) actions.push({ do: "swap", link, prog, old });
      }
      actions.push({ do: "detach", link }, { do: "close", link });
    }
    if (this.workWaits) actions.push({ do: "step" });
    return actions;
  }

  /** Whether a cleanup is queued or under way. */
  get workWaits(): boolean {
    return this.#batch.length > 0 || this.namespaces.some(({ stage }) => stage === "dead");
  }

  /** Takes an action and says what the kernel must return. */
  take(action: Action): number {
    switch (action.do) {
      case "create":
        return this.#create(action.ns, action.prog);
      case "update":
        return this.#update(action.link, action.prog, null);
      case "swap":
        return this.#update(action.link, action.prog, action.old);
      case "detach":
        this.#release(action.link);
        return 0;
      case "close":
        this.#release(action.link);
        this.#link(action.link).open = false;
        return 0;
      case "attachDirect":
        return this.#attachDirect(action.ns, action.prog);
      case "detachDirect":
        return this.#detachDirect(action.ns, action.prog);
      case "putNs":
        this.#ns(action.ns).stage = "dead";
        return 0;
      case "step":
        this.#step();
        return 0;
    }
  }

  /** What info must say of a link that is open. */
  view(index: number): LinkView {
    const { prog, ns } = this.#link(index);
    return { prog, ns: ns !== null && this.#ns(ns).stage === "alive" ? ns : null };
  }

  /** The programs that a query of a living namespace must list. */
  attached(index: number): number[] {
    const { link, direct } = this.#ns(index);
    if (link !== null) return [this.#link(link).prog];
    return direct === null ? [] : [direct];
  }

  #create(index: number, prog: number): number {
    const ns = this.#ns(index);
    if (ns.link !== null) return -E2BIG;
    if (ns.direct !== null || this.#rootRuleBars(ns)) return -EEXIST;
    ns.link = this.links.length;
    this.links.push({ prog, ns: index, open: true });
    return 0;
  }

  #update(index: number, prog: number, old: number | null): number {
    const link = this.#link(index);
    if (old !== null && old !== link.prog) return -EPERM;
    if (link.ns === null || this.#ns(link.ns).stage !== "alive") return -ENOLINK;
    link.prog = prog;
    return 0;
  }

  #attachDirect(index: number, prog: number): number {
    const ns = this.#ns(index);
    if (ns.link !== null || this.#rootRuleBars(ns)) return -EEXIST;
    if (ns.direct === prog) return -EINVAL;
    ns.direct = prog;
    return 0;
  }

  #detachDirect(index: number, prog: number): number {
    const ns = this.#ns(index);
    if (ns.link !== null) return -EINVAL;
    if (ns.direct !== prog) return -ENOENT;
    ns.direct = null;
    return 0;
  }

  #release(index: number): void {
    const link = this.#link(index);
    if (link.ns !== null) this.#ns(link.ns).link = null;
    link.ns = null;
  }

  /** The initial namespace's dissector and those of others on the list exclude each other. */
  #rootRuleBars(ns: NsRules): boolean {
    const occupied = ({ link, direct }: NsRules): boolean => link !== null || direct !== null;
    const others = this.namespaces.filter(
      (other) => other.root !== ns.root && (other.stage === "alive" || other.stage === "dead"),
    );
    return others.some(occupied);
  }

  /** One step of cleanup_net. */
  #step(): void {
    const [first] = this.#batch;
    if (first === undefined) {
      this.#unlistDead();
    } else if (this.#ns(first).stage === "unlisted") {
      for (const index of this.#batch) this.#cleanUp(index);
    } else {
      for (const index of this.#batch) this.#ns(index).stage = "gone";
      this.#batch = [];
    }
  }

  #unlistDead(): void {
    this.#batch = this.namespaces.flatMap(({ stage }, i) => (stage === "dead" ? [i] : []));
    for (const index of this.#batch) this.#ns(index).stage = "unlisted";
  }

  #cleanUp(index: number): void {
    const ns = this.#ns(index);
    ns.stage = "cleaned";
    if (ns.link !== null) this.#release(ns.link);
    ns.direct = null;
  }

  #ns(index: number): NsRules {
    return at(this.namespaces, index);
  }

  #link(index: number): LinkRules {
    return at(this.links, index);
  }
}

function at<T>(all: readonly T[], index: number): T {
  const found = all[index];
  if (found === undefined) throw new RangeError(`index ${index} of ${all.length}`);
  return found;
}
