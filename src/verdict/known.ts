/**
 * What a verifier knows of registers and stack slots, gathered from the states in its log. Linux
 * writes only what an instruction names, so what else a comparison told is worked out here.
 */

/** One frame: "R2" -> "pkt(id=2,r=0)", "fp-8" -> "scalar()". */
export type KnownFrame = Map<string, string>;

/** What a state names: a register or a slot, with letters for how it was used in older logs. */
const PLACE = /^(R\d+|fp-?\d+)\w*=(.+)$/;
/** The registers that a helper leaves nothing in. */
const ARGUMENTS = ["R1", "R2", "R3", "R4", "R5"];

/** Frames, and which of them was spoken of last. */
export class KnownState {
  readonly #frames: KnownFrame[] = [new Map()];
  #frame: number = 0;

  /** The frame that was spoken of last. */
  get here(): KnownFrame {
    this.#frames[this.#frame] ??= new Map();
    return this.#frames[this.#frame] as KnownFrame;
  }

  /** A helper was called. */
  forgetArguments(): void {
    for (const name of ARGUMENTS) this.here.delete(name);
  }

  /**
   * Takes in a state: `frame1: R1=5 fp-8=scalar()`.
   *
   * @param kind - all that is known, what an instruction changed, or what a comparison told.
   */
  learn(state: string, kind: "all" | "change" | "comparison"): void {
    const prefix = /^frame(\d+): ?/.exec(state);
    this.#frame = Number(prefix?.[1] ?? 0);
    if (kind === "all") this.here.clear();
    for (const part of partsOf(state.slice(prefix?.[0].length ?? 0))) {
      const [, name = "", contents = ""] = PLACE.exec(part) ?? [];
      const before = this.here.get(name);
      if (name === "") continue;
      this.here.set(name, contents);
      if (kind === "comparison" && before !== undefined) this.#spread(before, contents);
    }
  }

  /** What a comparison told of one pointer or number holds for its copies. */
  #spread(before: string, after: string): void {
    for (const frame of this.#frames) {
      for (const [name, contents] of frame) frame.set(name, asCopy(contents, before, after));
    }
  }
}

/** "scalar(id=3": what copies of a number, or of a pointer that may be NULL, begin with. */
const IDENTITY = /^(?:scalar|\w+_or_null)\(id=\d+(?=[,)])/;
/** "pkt(id=3,": what pointers to one place of the packet begin with. */
const PACKET = /^pkt\w*\((?:id=\d+,)?/;
/** How far behind such a place the packet is known to go on. */
const RANGE = /\br=\d+/;

/** What something holds once a register has turned from `before` into `after`. */
function asCopy(contents: string, before: string, after: string): string {
  const identity = IDENTITY.exec(before)?.[0];
  if (identity !== undefined && IDENTITY.exec(contents)?.[0] === identity) {
    if (after === "0" || identity.startsWith("scalar")) return after;
    // NULL or not, the copies are the same; where they point to may differ.
    return after.includes("_or_null") ? contents : contents.replace(/_or_null\(id=\d+,?/, "(");
  }
  const place = PACKET.exec(after)?.[0];
  if (place === undefined || PACKET.exec(contents)?.[0] !== place) return contents;
  return contents.replace(RANGE, RANGE.exec(after)?.[0] ?? "r=0");
}

/** At blanks that stand in no parentheses. */
function partsOf(state: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= state.length; i++) {
    const character = state[i];
    if (character === "(") depth++;
    else if (character === ")") depth--;
    else if (character === undefined || (character === " " && depth <= 0)) {
      if (i > start) parts.push(state.slice(start, i));
      start = i + 1;
    }
  }
  return parts;
}
