/**
 * The control-flow graph of one function: basic blocks, by number in reverse postorder.
 */

import { BPF_FUNC } from "../../abi/helpers.ts";
import {
  BPF_CALL,
  BPF_CLASS,
  BPF_EXIT,
  BPF_JA,
  BPF_JMP,
  BPF_JMP32,
  BPF_OP,
} from "../../abi/insn.ts";
import { type Instruction, isLoadImm64, jumpOffset } from "../../asm/index.ts";

/** What a block ends with. Targets are numbers of blocks. */
export type Terminator =
  | { readonly kind: "exit" }
  /** Control runs out of the program: what a verifier refuses. */
  | { readonly kind: "trap" }
  | { readonly kind: "jump"; readonly target: number }
  | {
      readonly kind: "branch";
      readonly slot: number;
      readonly taken: number;
      readonly otherwise: number;
    };

/** A basic block. */
export interface Block {
  /** Slot of the first instruction. */
  readonly start: number;
  /** The slot after the last one that is not part of the terminator. */
  readonly end: number;
  readonly terminator: Terminator;
}

const NEW = 0;
const REACHED = 1;
const LEADER = 2;

/**
 * The blocks that can be reached from a function's first slot, in reverse postorder: block 0 is
 * the entry, and a jump to a number not greater than one's own goes backwards.
 */
export function buildGraph(insns: readonly Instruction[], entry: number): Block[] {
  const marks = markSlots(insns, entry);
  const order = reversePostorder(insns, marks, entry);
  const numbers = new Map(order.map((start, number) => [start, number]));
  const numberOf = (slot: number): number => numbers.get(slot) ?? -1;
  return order.map((start) => {
    const end = endOfBody(insns, marks, start);
    return { start, end, terminator: terminatorAt(insns, end, numberOf) };
  });
}

/**
 * Where in a block instructions are counted, and how many: at its start, and after each tail call,
 * since what follows one is only executed if that fails.
 */
export function countsOf(
  insns: readonly Instruction[],
  { start, end }: Block,
): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  let from = start;
  for (let slot = start; slot <= end; ) {
    const insn = insns[slot];
    // What a block ends with is a jump of its own, or belongs to the block that follows.
    if (insn === undefined || (slot === end && targetsOf(insn, slot) === null)) break;
    counts.set(from, (counts.get(from) ?? 0) + 1);
    slot = nextSlot(insn, slot);
    if (isTailCall(insn)) from = slot;
  }
  return counts;
}

/** Blocks that a block leads to, without repetition. */
export function successors({ terminator }: Block): readonly number[] {
  switch (terminator.kind) {
    case "jump":
      return [terminator.target];
    case "branch":
      return [terminator.taken, terminator.otherwise];
    default:
      return [];
  }
}

function isExit({ opcode }: Instruction): boolean {
  return BPF_CLASS(opcode) === BPF_JMP && BPF_OP(opcode) === BPF_EXIT;
}

function isTailCall({ opcode, src, imm }: Instruction): boolean {
  return opcode === (BPF_JMP | BPF_CALL) && src === 0 && imm === BPF_FUNC.tail_call;
}

function isUnconditional({ opcode }: Instruction): boolean {
  const jumpClass = BPF_CLASS(opcode);
  return (jumpClass === BPF_JMP || jumpClass === BPF_JMP32) && BPF_OP(opcode) === BPF_JA;
}

/** The slot after an instruction that is no jump. */
export function nextSlot(insn: Instruction, slot: number): number {
  return slot + (isLoadImm64(insn) ? 2 : 1);
}

/** Where control goes from an instruction that ends a block; null for one that doesn't. */
function targetsOf(insn: Instruction, slot: number): readonly number[] | null {
  if (isExit(insn)) return [];
  const offset = jumpOffset(insn);
  if (offset === undefined) return null;
  const target = slot + 1 + offset;
  return isUnconditional(insn) || offset === 0 ? [target] : [target, slot + 1];
}

/** Which slots are reached, and which of them begin a block. */
function markSlots(insns: readonly Instruction[], entry: number): Uint8Array {
  const marks = new Uint8Array(insns.length);
  const waiting = [entry];
  const lead = (slot: number): void => {
    if (slot < 0 || slot >= insns.length) return;
    if (marks[slot] !== LEADER) waiting.push(slot);
  };
  for (let start = waiting.pop(); start !== undefined; start = waiting.pop()) {
    if (marks[start] === LEADER) continue;
    const seenBefore = marks[start] === REACHED;
    marks[start] = LEADER;
    if (seenBefore) continue;
    for (let slot = start; ; ) {
      const insn = insns[slot];
      if (insn === undefined) break;
      const targets = targetsOf(insn, slot);
      if (targets !== null) {
        targets.forEach(lead);
        break;
      }
      slot = nextSlot(insn, slot);
      if (slot >= insns.length || marks[slot] !== NEW) {
        if (marks[slot] === REACHED) lead(slot);
        break;
      }
      marks[slot] = REACHED;
    }
  }
  return marks;
}

/** The slot of the block's terminator: a jump, an exit, or where the next block begins. */
function endOfBody(insns: readonly Instruction[], marks: Uint8Array, start: number): number {
  let slot = start;
  for (;;) {
    const insn = insns[slot];
    if (insn === undefined || targetsOf(insn, slot) !== null) return slot;
    slot = nextSlot(insn, slot);
    if (marks[slot] === LEADER) return slot;
  }
}

function terminatorAt(
  insns: readonly Instruction[],
  slot: number,
  numberOf: (slot: number) => number,
): Terminator {
  const insn = insns[slot];
  if (insn === undefined) return { kind: "trap" };
  const targets = targetsOf(insn, slot);
  if (targets === null) return { kind: "jump", target: numberOf(slot) };
  const [taken, otherwise] = targets.map(numberOf);
  if (taken === undefined) return { kind: "exit" };
  if (otherwise === undefined || taken === otherwise) {
    return taken < 0 ? { kind: "trap" } : { kind: "jump", target: taken };
  }
  return { kind: "branch", slot, taken, otherwise };
}

/** First slots of the blocks, the entry's first. */
function reversePostorder(
  insns: readonly Instruction[],
  marks: Uint8Array,
  entry: number,
): number[] {
  const postorder: number[] = [];
  const seen = new Uint8Array(insns.length);
  /** Blocks on the way down, each with the targets that were not followed yet. */
  const path: { readonly start: number; readonly rest: number[] }[] = [];
  const enter = (start: number): void => {
    seen[start] = 1;
    const end = endOfBody(insns, marks, start);
    const insn = insns[end];
    const targets = insn === undefined ? [] : (targetsOf(insn, end) ?? [end]);
    path.push({ start, rest: targets.filter((slot) => slot >= 0 && slot < insns.length) });
  };
  enter(entry);
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const target = top.rest.shift();
    if (target === undefined) {
      postorder.push(top.start);
      path.pop();
    } else if (seen[target] === 0) {
      enter(target);
    }
  }
  return postorder.reverse();
}
