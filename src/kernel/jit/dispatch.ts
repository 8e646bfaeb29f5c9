/**
 * Control flow of graphs that are not reducible: a loop around a jump table. Forward edges are
 * plain branches; those that go backwards set a local and start the loop again.
 */

import type { Block } from "./cfg.ts";
import type { Code } from "./code.ts";
import type { BlockWriter } from "./structure.ts";

/** V8's limit for the entries of a br_table. */
export const MAX_DISPATCH_BLOCKS = 65_520;

/** Writes all blocks of any graph. @param next - an i32 local for the block to go on at. */
export function writeDispatched(blocks: readonly Block[], writer: BlockWriter, next: number): void {
  const { code } = writer;
  const loop = code.open("loop");
  writer.round();
  // Block i begins after the end of the i-th block from inside.
  const labels = blocks.map(() => code.open("block")).reverse();
  code.get(next);
  code.branchTable(labels);
  const branch = (from: number, to: number): void => {
    if (to < 0) {
      writer.trap();
    } else if (to > from) {
      code.branch("br", labels[to] as number);
    } else {
      code.i32(to);
      code.set(next);
      code.branch("br", loop);
    }
  };
  blocks.forEach((block, number) => {
    code.end();
    writer.body(block);
    writeTerminator(block, number, writer, code, branch);
  });
  code.end();
  code.op("unreachable");
}

function writeTerminator(
  { terminator }: Block,
  number: number,
  writer: BlockWriter,
  code: Code,
  branch: (from: number, to: number) => void,
): void {
  switch (terminator.kind) {
    case "exit":
      writer.exit();
      return;
    case "trap":
      writer.trap();
      return;
    case "jump":
      branch(number, terminator.target);
      return;
    default:
      writer.condition(terminator.slot);
      code.open("if");
      branch(number, terminator.taken);
      code.end();
      branch(number, terminator.otherwise);
  }
}
