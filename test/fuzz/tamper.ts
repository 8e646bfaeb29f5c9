/**
 * Spoils a call: other values in fields, other sizes, bytes where there should be none.
 */

import * as attr from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import type { Layout } from "../../src/abi/layout.ts";
import { sizeOf } from "../../src/abi/layout.ts";
import { LAYOUTS } from "../contract/case.ts";
import type { Random } from "../random.ts";
import { type Block, type Value, withSlot } from "./operation.ts";
import type { Draft, Supply } from "./supply.ts";

/** What each command's attr looks like, those included that the contract has no need of. */
export const ALL_LAYOUTS: Readonly<Record<number, Layout>> = {
  ...LAYOUTS,
  [bpf.BPF_BTF_LOAD]: attr.BTF_LOAD,
  [bpf.BPF_BTF_GET_FD_BY_ID]: attr.BTF_GET_FD_BY_ID,
  [bpf.BPF_BTF_GET_NEXT_ID]: attr.GET_NEXT_ID,
};

const NUMBERS = [0, 1, 2, 3, 4, 7, 8, 16, 17, 36, 56, 57, 64, 4096, 4097, 0x7fffffff, 0xffffffff];
/** Nothing is ever mapped there: the first page, past the end of user space, the kernel's. */
const BAD_POINTERS = [0n, 0x10n, 0x8000_0000_0000n, 0xffff_8880_0000_0000n, 0xffff_ffff_ffff_ffffn];
const IDS = [0, 0x7ffffffe, 0x7fffffff, 0x80000000, 0xffffffff];
const FDS = [0, 1, 999_999, 0x7fffffff, 0xffffffff];
/** Longest attr that is looked at, and one byte more. */
const SIZES = [0, 1, 3, 4, 8, 12, 16, 20, 24, 32, 60, 64, 76, 92, 168, 169, 200, 4096, 4097];
/** Types that no program and no map has. */
const NO_TYPES = [0, 999, 0x7fffffff, 0xffffffff];
/** Commands that no Linux has. */
const NO_COMMANDS = [1000, -1, 0x7fffffff];

/** Fields by what their names say that they hold. */
export const IS_FD: RegExp = /(^|_)fd$/;
/** 64 bits wide, and no address. */
export const IS_NUMBER: RegExp = /^(elem_flags|flags|expected_revision|revision|map_extra)$/;
export const IS_ID: RegExp = /^(start_id|id|next_id)$/;

export function tamper(supply: Supply, draft: Draft): Draft {
  const { random } = supply;
  const block = draft.attr;
  if (block === null) return draft;
  return random.weighted<() => Draft>([
    [12, () => ({ ...draft, attr: otherField(supply, draft.cmd, block) })],
    [
      3,
      () => ({
        ...draft,
        attr: otherField(supply, draft.cmd, otherField(supply, draft.cmd, block)),
      }),
    ],
    [2, () => ({ ...draft, attr: { ...block, size: random.pick(SIZES) } })],
    [2, () => ({ ...draft, attr: strayByte(random, block) })],
    [1, () => ({ ...draft, size: random.below(block.size + 1) })],
    [1, () => ({ ...draft, attr: null, size: random.pick(SIZES) })],
    [
      1,
      () => ({ ...draft, cmd: random.once(4) ? random.pick(NO_COMMANDS) : otherCommand(random) }),
    ],
  ])();
}

function otherCommand(random: Random): number {
  return Number(random.pick(Object.keys(ALL_LAYOUTS)));
}

/** A byte past the last field, or past the union. */
function strayByte(random: Random, block: Block): Block {
  const size = random.pick([attr.BPF_ATTR_SIZE, attr.BPF_ATTR_SIZE + 8, 256]);
  const offset = Math.min(size - 4, block.size + 4 * random.below(8));
  return withSlot({ ...block, size: Math.max(size, block.size) }, [
    offset,
    4,
    random.pick([1, 256]),
  ]);
}

function otherField(supply: Supply, cmd: number, block: Block): Block {
  const { random } = supply;
  const layout = ALL_LAYOUTS[cmd] ?? {};
  const [name, [offset, type]] = random.pick(Object.entries(layout));
  const width = sizeOf(type) === 8 ? 8 : 4;
  if (IS_FD.test(name)) return withSlot(block, [offset, width, otherFd(supply)]);
  if (IS_ID.test(name)) return withSlot(block, [offset, width, random.pick(IDS)]);
  if (width === 8) return withSlot(block, [offset, width, otherPointer(supply, name)]);
  // A program as another type than its own is the verifier's business; other maps are not here.
  const isType = name === "prog_type" || name === "map_type";
  if (isType) return withSlot(block, [offset, width, random.pick(NO_TYPES)]);
  // Which devices there are besides lo is the machine's affair.
  const number = /ifindex$/.test(name) ? random.pick([1, 999_999]) : otherNumber(random);
  return withSlot(block, [offset, width, number]);
}

function otherNumber(random: Random): number {
  return random.once(4) ? (1 << random.below(32)) >>> 0 : random.pick(NUMBERS);
}

function otherFd(supply: Supply): Value {
  const { random, objects } = supply;
  const all = [...objects.open.keys()];
  return all.length > 0 && random.once(2) ? { fd: random.pick(all) } : random.pick(FDS);
}

function otherPointer({ random }: Supply, name: string): Value {
  if (IS_NUMBER.test(name)) return BigInt(otherNumber(random));
  if (random.once(2)) return random.pick(BAD_POINTERS);
  return { to: { size: random.pick([0, 1, 3, 4, 8, 16, 64]), fill: random.pick([0, 1, 0xee]) } };
}
