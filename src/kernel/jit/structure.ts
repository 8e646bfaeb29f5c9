/**
 * Structured control flow from a reducible graph: the translation of Ramsey, "Beyond Relooper"
 * (ICFP 2022). A loop header becomes a loop, a block where paths meet becomes what follows a block,
 * and each jump a branch to one of those or the code itself.
 *
 * The recursion over the dominator tree is a list of work: programs nest deeper than stacks.
 */

import type { Block } from "./cfg.ts";
import type { Code } from "./code.ts";
import type { Shape } from "./dominators.ts";

/** Writes what blocks are made of. */
export interface BlockWriter {
  readonly code: Code;
  /** Everything but the terminator. */
  body(block: Block): void;
  /** Leaves an i32 that says whether the jump at a slot is taken. */
  condition(slot: number): void;
  exit(): void;
  trap(): void;
  /** The start of each round of a loop. */
  round(): void;
}

type Work =
  | { readonly kind: "block"; readonly block: number }
  | { readonly kind: "branch"; readonly from: number; readonly to: number }
  | { readonly kind: "else" }
  | { readonly kind: "end" };

const END: Work = { kind: "end" };
const ELSE: Work = { kind: "else" };

/** Writes all blocks of a reducible graph. */
export function writeStructured(blocks: readonly Block[], shape: Shape, writer: BlockWriter): void {
  new StructuredWriter(blocks, shape, writer).write();
}

class StructuredWriter {
  readonly #blocks: readonly Block[];
  readonly #shape: Shape;
  readonly #writer: BlockWriter;
  readonly #code: Code;
  /** Labels by block: of the loop that it heads, and of the block that it follows. */
  readonly #loopLabel: Int32Array;
  readonly #blockLabel: Int32Array;
  /** What is left to do, the next thing last. */
  readonly #work: Work[] = [];

  constructor(blocks: readonly Block[], shape: Shape, writer: BlockWriter) {
    this.#blocks = blocks;
    this.#shape = shape;
    this.#writer = writer;
    this.#code = writer.code;
    this.#loopLabel = new Int32Array(blocks.length);
    this.#blockLabel = new Int32Array(blocks.length);
  }

  write(): void {
    this.#work.push({ kind: "block", block: 0 });
    for (let next = this.#work.pop(); next !== undefined; next = this.#work.pop()) {
      switch (next.kind) {
        case "block":
          this.#block(next.block);
          break;
        case "branch":
          this.#branch(next.from, next.to);
          break;
        case "else":
          this.#code.else();
          break;
        default:
          this.#code.end();
      }
    }
    // Every path has returned or branched by now, which the format has no way to know.
    this.#code.op("unreachable");
  }

  #block(number: number): void {
    const { children, isLoopHeader, isMerge } = this.#shape;
    if (isLoopHeader[number] === 1) {
      this.#loopLabel[number] = this.#code.open("loop");
      this.#writer.round();
      this.#work.push(END);
    }
    // The one that comes last in order is what the outermost block is followed by.
    for (const child of (children[number] ?? []).toReversed()) {
      if (isMerge[child] === 0) continue;
      this.#blockLabel[child] = this.#code.open("block");
      this.#work.push({ kind: "block", block: child }, END);
    }
    const block = this.#blocks[number] as Block;
    this.#writer.body(block);
    this.#terminator(block, number);
  }

  #terminator({ terminator }: Block, number: number): void {
    switch (terminator.kind) {
      case "exit":
        this.#writer.exit();
        return;
      case "trap":
        this.#writer.trap();
        return;
      case "jump":
        this.#branch(number, terminator.target);
        return;
      default:
        this.#fork(number, terminator.slot, terminator.taken, terminator.otherwise);
    }
  }

  #fork(from: number, slot: number, taken: number, otherwise: number): void {
    this.#writer.condition(slot);
    const takenLabel = this.#labelOf(from, taken);
    const otherLabel = this.#labelOf(from, otherwise);
    if (takenLabel !== null) {
      this.#code.branch("br_if", takenLabel);
      this.#branch(from, otherwise);
    } else if (otherLabel !== null) {
      this.#code.op("i32.eqz");
      this.#code.branch("br_if", otherLabel);
      this.#branch(from, taken);
    } else {
      this.#code.open("if");
      this.#work.push(END, { kind: "branch", from, to: otherwise }, ELSE);
      this.#branch(from, taken);
    }
  }

  /** Goes on at a block: by a branch, or by writing it here. */
  #branch(from: number, to: number): void {
    if (to < 0) {
      this.#writer.trap();
      return;
    }
    const label = this.#labelOf(from, to);
    if (label === null) this.#work.push({ kind: "block", block: to });
    else this.#code.branch("br", label);
  }

  /** Where a branch has to go; null when the block is only reached from here. */
  #labelOf(from: number, to: number): number | null {
    if (to < 0) return null;
    if (to <= from) return this.#loopLabel[to] as number;
    return this.#shape.isMerge[to] === 1 ? (this.#blockLabel[to] as number) : null;
  }
}
