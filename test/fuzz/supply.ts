/**
 * What operations are made from: the objects that there are, and attrs by field name.
 */

import type { Layout } from "../../src/abi/layout.ts";
import { endOf, sizeOf } from "../../src/abi/layout.ts";
import type { Random } from "../random.ts";
import type { Facts, ObjectTable } from "./objects.ts";
import type { Block, BpfOperation, Label, Slot, Value } from "./operation.ts";

export const PATHS: readonly string[] = [
  "@/a",
  "@/b",
  "@/c",
  "@/d/a",
  "@/d/b",
  "@/d",
  "@/e.f",
  "@/no/x",
  "@/a/x",
  "@",
];

/** What an operation can be made from. */
export class Supply {
  readonly random: Random;
  readonly objects: ObjectTable;

  constructor(random: Random, objects: ObjectTable) {
    this.random = random;
    this.objects = objects;
  }

  /** Labels of fds of a kind, or of those that fit. */
  having(kind: Facts["kind"], fits: (facts: Facts) => boolean = () => true): Label[] {
    const found: Label[] = [];
    for (const [label, { facts }] of this.objects.open) {
      if (facts.kind === kind && fits(facts)) found.push(label);
    }
    return found;
  }

  /** An fd of a kind, mostly; now and then any, and 0 when there is none. */
  fd(kind: Facts["kind"], fits?: (facts: Facts) => boolean): Value {
    const found = this.having(kind, fits);
    if (found.length > 0 && !this.random.once(40)) return { fd: this.random.pick(found) };
    return this.anyFd();
  }

  anyFd(): Value {
    const all = [...this.objects.open.keys()];
    return all.length > 0 && !this.random.once(5) ? { fd: this.random.pick(all) } : 999_999;
  }

  path(): Value {
    return { text: this.random.pick(PATHS) };
  }
}

/** A bpf(2) attr from the fields of its layout. */
export function attrOf(
  layout: Layout,
  fields: Readonly<Record<string, Value | undefined>>,
  size: number = endOf(layout),
): Block {
  const slots: Slot[] = [];
  for (const [name, value] of Object.entries(fields)) {
    const field = layout[name];
    if (field === undefined) throw new TypeError(`the attr has no field ${name}`);
    if (value === undefined || value === 0) continue;
    slots.push([field[0], sizeOf(field[1]) === 8 ? 8 : 4, value]);
  }
  return { size, slots };
}

/** A call before it has its label. */
export type Draft = Omit<BpfOperation, "do" | "label">;

export function call(cmd: number, block: Block): Draft {
  return { cmd, attr: block };
}
