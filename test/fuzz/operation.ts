/**
 * What the fuzzer does to a kernel, written down so that any kernel can be asked the same: objects
 * have labels instead of fds, ids and addresses.
 */

/** Names what an earlier operation made. Each operation has its own, whatever is left out. */
export type Label = number;

/** A number as it is, or something that is another number on each kernel. */
export type Value =
  | number
  | bigint
  | { readonly fd: Label }
  | { readonly id: Label }
  /** The address of a block. */
  | { readonly to: Block }
  /** The address of a NUL-terminated string; `@` stands for the directory for pins. */
  | { readonly text: string };

/** A value at an offset of a block, little-endian. */
export type Slot = readonly [offset: number, width: 4 | 8, value: Value];

/** Bytes in memory, with nothing readable or writable behind their end. */
export interface Block {
  /** In bytes. */
  readonly size: number;
  /** What is there before the slots: one byte for all, or the first bytes (zeros follow). */
  readonly fill?: number | readonly number[];
  readonly slots?: readonly Slot[];
}

/**
 * Who calls: root; root without capabilities; another user without capabilities; a task without a
 * free fd number.
 */
export type Caller = "root" | "incapable" | "stranger" | "full";

/** bpf(2). */
export interface BpfOperation {
  readonly do: "bpf";
  readonly label: Label;
  readonly cmd: number;
  readonly attr: Block | null;
  /** What the call says its size is, if not the attr's. */
  readonly size?: number;
  readonly as?: Caller;
  /** An fd on the namespace to call from. */
  readonly within?: Label;
}

export type Operation =
  | BpfOperation
  | { readonly do: "close" | "fdinfo" | "fdname" | "inode"; readonly fd: Label }
  | { readonly do: "dup"; readonly label: Label; readonly fd: Label }
  | { readonly do: "open"; readonly label: Label; readonly path: string; readonly flags: number }
  | { readonly do: "netns create" | "netns remove"; readonly name: Label }
  | { readonly do: "netns open"; readonly label: Label; readonly name: Label }
  | { readonly do: "mkdir" | "rmdir" | "unlink" | "readdir"; readonly path: string };

/** The fds that a call needs to have, in the order of their appearance. */
export function fdsIn(block: Block | null, found: Set<Label> = new Set()): Set<Label> {
  for (const [, , value] of block?.slots ?? []) {
    if (typeof value !== "object") continue;
    if ("fd" in value) found.add(value.fd);
    if ("to" in value) fdsIn(value.to, found);
  }
  return found;
}

/** The value of an attr's slot, when it is a plain number. */
export function numberAt(block: Block | null, offset: number): number {
  const value = slotAt(block, offset);
  return typeof value === "number" || typeof value === "bigint" ? Number(value) : 0;
}

/** What stands in the slot at an offset. */
export function slotAt(block: Block | null, offset: number): Value | undefined {
  return block?.slots?.findLast(([at]) => at === offset)?.[2];
}

/** A block with another value in one slot. */
export function withSlot(block: Block, slot: Slot): Block {
  const others = (block.slots ?? []).filter(([at]) => at !== slot[0]);
  return { ...block, slots: [...others, slot] };
}

/** Operations as a literal of TypeScript, one a line. */
export function print(operations: readonly Operation[]): string {
  return `[\n${operations.map((each) => `  ${literal(each)},\n`).join("")}]`;
}

function literal(value: unknown): string {
  if (typeof value === "bigint") return `0x${value.toString(16)}n`;
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).filter(([, each]) => each !== undefined);
  return `{ ${fields.map(([name, each]) => `${name}: ${literal(each)}`).join(", ")} }`;
}
