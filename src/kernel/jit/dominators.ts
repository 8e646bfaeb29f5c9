/**
 * Dominators of a control-flow graph, in O(edges * log blocks), and whether the graph is reducible.
 *
 * Blocks are numbered in reverse postorder. In a reducible graph the edges that go backwards have
 * no say in who dominates whom, so one pass over the others is enough; and if then each backward
 * edge leads to a dominator of where it begins, the graph was reducible.
 */

import { type Block, successors } from "./cfg.ts";

/** What the shape of a graph comes to. */
export interface Shape {
  /** Whether every loop is entered at one block only; nothing else here counts if not. */
  readonly reducible: boolean;
  /** Blocks by their immediate dominator, in ascending order. */
  readonly children: readonly (readonly number[])[];
  /** Blocks that an edge leads back to. */
  readonly isLoopHeader: Uint8Array;
  /** Blocks that more than one forward edge leads to. */
  readonly isMerge: Uint8Array;
}

/** Finds the shape of a graph that {@link buildGraph} built. */
export function shapeOf(blocks: readonly Block[]): Shape {
  const tree = new DominatorTree(blocks.length);
  const isLoopHeader = new Uint8Array(blocks.length);
  const isMerge = new Uint8Array(blocks.length);
  const backward: (readonly [from: number, to: number])[] = [];
  // The immediate dominator so far, by block; its forward edges all come from smaller numbers.
  const dominator = new Int32Array(blocks.length).fill(-1);
  blocks.forEach((block, from) => {
    if (from > 0) tree.add(from, dominator[from] as number);
    for (const to of successors(block)) {
      if (to < 0) continue;
      if (to <= from) {
        isLoopHeader[to] = 1;
        backward.push([from, to]);
        continue;
      }
      const before = dominator[to] as number;
      if (before >= 0) isMerge[to] = 1;
      dominator[to] = before < 0 ? from : tree.nearestCommonAncestor(before, from);
    }
  });
  const children: number[][] = blocks.map(() => []);
  for (let block = 1; block < blocks.length; block++) {
    children[dominator[block] as number]?.push(block);
  }
  const reducible = backward.every(([from, to]) => tree.isAncestor(to, from));
  return { reducible, children, isLoopHeader, isMerge };
}

/**
 * A growing tree that answers questions about ancestors in O(log n): each node knows its parent and
 * one ancestor further up, chosen as in Myers' random-access lists.
 */
class DominatorTree {
  readonly #parent: Int32Array;
  readonly #jump: Int32Array;
  readonly #depth: Int32Array;

  /** Node 0 is the root. */
  constructor(size: number) {
    this.#parent = new Int32Array(size);
    this.#jump = new Int32Array(size);
    this.#depth = new Int32Array(size);
  }

  add(node: number, parent: number): void {
    const jump = at(this.#jump, parent);
    const depth = at(this.#depth, parent);
    const first = depth - at(this.#depth, jump);
    const second = at(this.#depth, jump) - at(this.#depth, at(this.#jump, jump));
    this.#parent[node] = parent;
    this.#jump[node] = first === second ? at(this.#jump, jump) : parent;
    this.#depth[node] = depth + 1;
  }

  isAncestor(ancestor: number, node: number): boolean {
    return this.#ancestorAt(node, at(this.#depth, ancestor)) === ancestor;
  }

  nearestCommonAncestor(one: number, other: number): number {
    const depth = Math.min(at(this.#depth, one), at(this.#depth, other));
    let a = this.#ancestorAt(one, depth);
    let b = this.#ancestorAt(other, depth);
    while (a !== b) {
      const links = at(this.#jump, a) === at(this.#jump, b) ? this.#parent : this.#jump;
      a = at(links, a);
      b = at(links, b);
    }
    return a;
  }

  #ancestorAt(node: number, depth: number): number {
    let found = node;
    while (at(this.#depth, found) > depth) {
      const jump = at(this.#jump, found);
      found = at(this.#depth, jump) >= depth ? jump : at(this.#parent, found);
    }
    return found;
  }
}

function at(array: Int32Array, index: number): number {
  return array[index] as number;
}
