/**
 * Maps whose values have fields that the kernel looks after: locks, timers, pointers, lists and
 * trees.
 */

import { expect } from "vitest";
import { BTF_LOAD } from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { encode } from "../../src/abi/layout.ts";
import { BtfWriter } from "../btf.ts";
import { type Case, outcomeOf, u32s } from "./case.ts";
import { Elements } from "./maps.ts";
import type { Chapter, Rules } from "./rules.ts";

const SIZES = {
  bpf_spin_lock: 4,
  bpf_res_spin_lock: 4,
  bpf_timer: 16,
  bpf_wq: 16,
  bpf_task_work: 8,
  bpf_list_head: 16,
  bpf_list_node: 24,
  bpf_rb_root: 16,
  bpf_rb_node: 32,
  bpf_refcount: 4,
} as const;
type StructName = keyof typeof SIZES;

/** Types of a value. */
class ValueWriter extends BtfWriter {
  readonly u32: number = this.int("u32", 4);
  readonly u64: number = this.int("u64", 8);

  /** A struct of the kernel's own. @param size - bytes; by default those that it has. */
  own(name: StructName, size: number = SIZES[name]): number {
    const [unit, bytes] = size % 8 === 0 ? [this.u64, 8] : [this.u32, 4];
    return this.struct(name, size, [["opaque", this.array(unit, size / bytes), 0]]);
  }

  /** A pointer to a struct of the program's own, with a tag. */
  pointer(tag: string, target: number = this.struct("mine", 8, [["x", this.u64, 0]])): number {
    return this.of("ptr", this.of("typeTag", target, tag));
  }

  /** A list's head or a tree's root beside a lock, and the tag that says what it holds. */
  holder(name: "bpf_list_head" | "bpf_rb_root", node: StructName | null, locked: boolean): number {
    if (node !== null) {
      this.struct("node", 8 + SIZES[node], [
        ["x", this.u64, 0],
        ["n", this.own(node), 8],
      ]);
    }
    const lock = locked ? this.own("bpf_spin_lock") : this.u32;
    const members = [
      ["lock", lock, 0],
      ["head", this.own(name), 8],
    ] as const;
    const value = this.struct("value", 24, members);
    this.tag("contains:node:n", value, 1);
    return value;
  }
}

/** Types of maps, in the order of the outcomes below. */
const TYPES = [
  bpf.BPF_MAP_TYPE_HASH,
  bpf.BPF_MAP_TYPE_ARRAY,
  bpf.BPF_MAP_TYPE_LRU_HASH,
  bpf.BPF_MAP_TYPE_PERCPU_HASH,
  bpf.BPF_MAP_TYPE_LRU_PERCPU_HASH,
  bpf.BPF_MAP_TYPE_PERCPU_ARRAY,
] as const;
const MOST = "EOPNOTSUPP";
const NOBODY = TYPES.map(() => MOST).join(" ");
const LOCKS = `ok ok ${MOST} ${MOST} ${MOST} ${MOST}`;
const TIMERS = `ok ok ok ${MOST} ${MOST} ${MOST}`;
const ALL = TYPES.map(() => "ok").join(" ");

/** A value: how large it is, its type, and whether it has any field that counts. */
interface Value {
  readonly title: string;
  readonly size: number;
  readonly write: (w: ValueWriter) => number;
  /** What comes of each type of map. */
  readonly outcomes: string;
  readonly isPlain?: true;
}

function value(title: string, size: number, outcomes: string, write: Value["write"]): Value {
  return { title, size, write, outcomes };
}

/** A value of which Linux makes nothing: it is a number of bytes. */
function plain(title: string, size: number, write: Value["write"]): Value {
  return { title, size, write, outcomes: ALL, isPlain: true };
}

/** A field at an offset of a struct. */
function at(offset: number, size: number, field: (w: ValueWriter) => number): Value["write"] {
  return (w) => w.struct("value", size, [["field", field(w), offset]]);
}

const own =
  (name: StructName) =>
  (w: ValueWriter): number =>
    w.own(name);

const VALUES: readonly Value[] = [
  value("bpf_spin_lock", 16, LOCKS, at(8, 16, own("bpf_spin_lock"))),
  value("bpf_res_spin_lock", 16, LOCKS, at(8, 16, own("bpf_res_spin_lock"))),
  value("bpf_timer", 24, TIMERS, at(8, 24, own("bpf_timer"))),
  value("bpf_wq", 24, TIMERS, at(8, 24, own("bpf_wq"))),
  value("bpf_task_work", 16, TIMERS, at(8, 16, own("bpf_task_work"))),
  value("bpf_refcount", 16, ALL, at(8, 16, own("bpf_refcount"))),
  value(
    "a kptr",
    16,
    ALL,
    at(8, 16, (w) => w.pointer("kptr")),
  ),
  value(
    "a kptr_untrusted",
    16,
    ALL,
    at(8, 16, (w) => w.pointer("kptr_untrusted")),
  ),
  value(
    "a percpu_kptr",
    16,
    ALL,
    at(8, 16, (w) => w.pointer("percpu_kptr")),
  ),
  value(
    "a uptr",
    16,
    NOBODY,
    at(8, 16, (w) => w.pointer("uptr")),
  ),
  value("a list", 24, LOCKS, (w) => w.holder("bpf_list_head", "bpf_list_node", true)),
  value("a tree", 24, LOCKS, (w) => w.holder("bpf_rb_root", "bpf_rb_node", true)),
  value("a lock and a timer", 24, LOCKS, (w) =>
    w.struct("value", 24, [
      ["lock", w.own("bpf_spin_lock"), 0],
      ["timer", w.own("bpf_timer"), 8],
    ]),
  ),
  value("a lock in a struct in it", 16, LOCKS, (w) => {
    const inner = w.struct("inner", 8, [["lock", w.own("bpf_spin_lock"), 4]]);
    return w.struct("value", 16, [["inner", inner, 8]]);
  }),
  value(
    "an array of one lock",
    8,
    LOCKS,
    at(0, 8, (w) => w.array(w.own("bpf_spin_lock"), 1)),
  ),
  value("a typedef of a struct with a lock", 8, LOCKS, (w) =>
    w.of("typedef", at(0, 8, own("bpf_spin_lock"))(w), "named"),
  ),
  value(
    "two kptrs in an array",
    16,
    ALL,
    at(0, 16, (w) => w.array(w.pointer("kptr"), 2)),
  ),
  value(
    "eleven kptrs",
    88,
    ALL,
    at(0, 88, (w) => w.array(w.pointer("kptr"), 11)),
  ),
  value("two counts", 16, ALL, (w) => {
    const count = w.own("bpf_refcount");
    return w.struct("value", 16, [
      ["a", count, 0],
      ["b", count, 8],
    ]);
  }),
  plain(
    "twelve kptrs",
    96,
    at(0, 96, (w) => w.array(w.pointer("kptr"), 12)),
  ),
  plain(
    "two timers in an array",
    32,
    at(0, 32, (w) => w.array(w.own("bpf_timer"), 2)),
  ),
  plain(
    "an array of no lock",
    8,
    at(0, 8, (w) => w.array(w.own("bpf_spin_lock"), 0)),
  ),
  plain("a timer at a multiple of 4", 24, at(4, 24, own("bpf_timer"))),
  plain("a lock in a union", 8, (w) => {
    const inner = w.struct("inner", 8, [["lock", w.own("bpf_spin_lock"), 0]], "union");
    return w.struct("value", 8, [["inner", inner, 0]]);
  }),
  plain("a union with a lock", 8, (w) =>
    w.struct("value", 8, [["lock", w.own("bpf_spin_lock"), 0]], "union"),
  ),
  plain(
    "a typedef of a lock",
    8,
    at(0, 8, (w) => w.of("typedef", w.own("bpf_spin_lock"), "lock")),
  ),
  plain(
    "a const lock",
    8,
    at(0, 8, (w) => w.of("const", w.own("bpf_spin_lock"))),
  ),
  plain("nothing but a lock", 4, own("bpf_spin_lock")),
  plain(
    "a bpf_res_spin_lock of 8 bytes",
    8,
    at(0, 8, (w) => w.own("bpf_res_spin_lock", 8)),
  ),
  plain("a node", 24, at(0, 24, own("bpf_list_node"))),
  plain(
    "a pointer with an unknown tag",
    8,
    at(0, 8, (w) => w.pointer("other")),
  ),
  plain(
    "a pointer with two tags",
    8,
    at(0, 8, (w) =>
      w.pointer("kptr", w.of("typeTag", w.struct("mine", 8, [["x", w.u64, 0]]), "kptr")),
    ),
  ),
  plain(
    "a kptr to a number",
    8,
    at(0, 8, (w) => w.pointer("kptr", w.u64)),
  ),
  plain(
    "a typedef of a kptr",
    8,
    at(0, 8, (w) => w.of("typedef", w.pointer("kptr"), "pointer")),
  ),
  plain("fields on top of each other", 24, (w) =>
    w.struct("value", 24, [
      ["timer", w.own("bpf_timer"), 0],
      ["work", w.own("bpf_wq"), 8],
    ]),
  ),
];

/** What BPF_BTF_LOAD says of structs that nothing can be made of. */
const REFUSED: readonly (readonly [title: string, outcome: string, write: Value["write"]])[] = [
  ["a bpf_spin_lock of 8 bytes", "EFAULT", at(0, 8, (w) => w.own("bpf_spin_lock", 8))],
  ["a bpf_spin_lock at a multiple of 2", "EFAULT", at(2, 8, own("bpf_spin_lock"))],
  [
    "two locks",
    "E2BIG",
    (w) => {
      const lock = w.own("bpf_spin_lock");
      return w.struct("value", 8, [
        ["a", lock, 0],
        ["b", lock, 4],
      ]);
    },
  ],
  [
    "locks of both kinds",
    "EINVAL",
    (w) =>
      w.struct("value", 8, [
        ["a", w.own("bpf_spin_lock"), 0],
        ["b", w.own("bpf_res_spin_lock"), 4],
      ]),
  ],
  ["a list without a tag", "EINVAL", at(0, 16, own("bpf_list_head"))],
  ["a list without a lock", "EINVAL", (w) => w.holder("bpf_list_head", "bpf_list_node", false)],
  ["a list of what there is not", "ENOENT", (w) => w.holder("bpf_list_head", null, true)],
  ["a list of a tree's nodes", "EINVAL", (w) => w.holder("bpf_list_head", "bpf_rb_node", true)],
  ["a tree without a lock", "EINVAL", (w) => w.holder("bpf_rb_root", "bpf_rb_node", false)],
];

/** Loads types. @returns an fd or a negative errno, and the type that was written last. */
function loadTypes(c: Case, write: Value["write"]): { fd: number; id: number; key: number } {
  const w = new ValueWriter();
  const id = write(w);
  const bytes = w.encode();
  const attr = encode(BTF_LOAD, { btf: c.at(bytes), btf_size: bytes.length });
  return { fd: c.track(c.kernel.bpf(bpf.BPF_BTF_LOAD, attr)), id, key: w.u32 };
}

/** Makes a map with such values; an fd or a negative errno. */
function makeMap(c: Case, type: number, { size, write }: Value, flags: number = 0): number {
  const { fd, id, key } = loadTypes(c, write);
  expect(fd).toBeGreaterThan(0);
  return c.call(bpf.BPF_MAP_CREATE, {
    ...c.mapFields({ map_type: type, value_size: size, max_entries: 1, map_flags: flags }),
    btf_fd: fd,
    btf_key_type_id: key,
    btf_value_type_id: id,
  });
}

const LOCK = BigInt(bpf.BPF_F_LOCK);
const ONES = (size: number): Uint8Array => new Uint8Array(size).fill(0xff);
const LOCKED: Value = value("", 16, LOCKS, at(8, 16, own("bpf_spin_lock")));

export const mapFields: Chapter = {
  title: "fields of maps' values that the kernel looks after",
  rules: (rules) => {
    making(rules);
    using(rules);
  },
};

function making({ rule }: Rules): void {
  for (const made of VALUES) {
    rule(`${made.title}: ${made.outcomes}`, (c) => {
      const outcomes = TYPES.map((type) => outcomeOf(makeMap(c, type, made)));
      expect(outcomes.join(" ")).toBe(made.outcomes);
    });
    const forbidden = made.isPlain ? "ok" : "EACCES";
    rule(`${made.title}, in an array that programs only read: ${forbidden}`, (c) => {
      const { BPF_MAP_TYPE_ARRAY: array, BPF_F_RDONLY_PROG: flags } = bpf;
      expect(outcomeOf(makeMap(c, array, made, flags))).toBe(forbidden);
    });
  }
  for (const [title, outcome, write] of REFUSED) {
    rule(`types with ${title} can't be loaded: ${outcome}`, (c) => {
      expect(outcomeOf(loadTypes(c, write).fd)).toBe(outcome);
    });
  }
  rule("a section with a lock, and with a struct that has one: ok", (c) => {
    for (const nests of [false, true]) {
      const write = (w: ValueWriter): number => {
        const lock = w.own("bpf_spin_lock");
        const type = nests ? w.struct("inner", 8, [["lock", lock, 4]]) : lock;
        return w.section(".data", 8, [[w.of("var", type, "variable"), 0, nests ? 8 : 4]]);
      };
      const { fd, id } = loadTypes(c, write);
      const map_fd = c.must(bpf.BPF_MAP_CREATE, {
        ...c.mapFields({ value_size: 8, max_entries: 1 }),
        btf_fd: fd,
        btf_value_type_id: id,
      });
      expect(c.outcome(bpf.BPF_MAP_FREEZE, { map_fd })).toBe("ENOTSUPP");
    }
  });
}

function using({ rule }: Rules): void {
  rule("such a map can't be frozen", (c) => {
    const map_fd = makeMap(c, bpf.BPF_MAP_TYPE_ARRAY, LOCKED);
    expect(c.outcome(bpf.BPF_MAP_FREEZE, { map_fd })).toBe("ENOTSUPP");
  });

  rule(
    "what a task writes to such a field is dropped, and it reads the field's first state",
    (c) => {
      // On Linux a list's head shows an address.
      const tried = VALUES.filter(({ title }) => FIELDS[title] !== undefined);
      expect(tried.length).toBe(Object.keys(FIELDS).length);
      for (const made of tried) {
        const fields = FIELDS[made.title] as Fields;
        const expected = Array.from({ length: made.size }, (_, i) => {
          const within = fields.find(([offset, size]) => i >= offset && i < offset + size);
          return within === undefined ? 0xff : i === within[0] ? (within[2] ?? 0) : 0;
        });
        for (const type of [bpf.BPF_MAP_TYPE_ARRAY, bpf.BPF_MAP_TYPE_HASH]) {
          const map = new Elements(c, makeMap(c, type, made));
          expect(map.update(u32s(0), ONES(made.size))).toBe("ok");
          expect([made.title, map.lookup(u32s(0), made.size)]).toEqual([made.title, expected]);
        }
      }
    },
  );

  rule("of an array that nobody wrote to, too", (c) => {
    const counted = VALUES.find(({ title }) => title === "bpf_refcount") as Value;
    const map = new Elements(c, makeMap(c, bpf.BPF_MAP_TYPE_ARRAY, counted));
    expect((map.lookup(u32s(0), 16) as number[])[8]).toBe(1);
  });

  rule("BPF_F_LOCK is for maps with a bpf_spin_lock", (c) => {
    for (const type of [bpf.BPF_MAP_TYPE_ARRAY, bpf.BPF_MAP_TYPE_HASH]) {
      const map = new Elements(c, makeMap(c, type, LOCKED));
      expect(map.update(u32s(0), ONES(16), LOCK)).toBe("ok");
      expect(map.update(u32s(0), ONES(16), LOCK)).toBe("ok");
      expect(map.update(u32s(0), ONES(16), LOCK | BigInt(bpf.BPF_NOEXIST))).toBe("EEXIST");
      const value = [...ONES(8), 0, 0, 0, 0, ...ONES(4)];
      expect(map.lookup(u32s(0), 16, LOCK)).toEqual(value);
      const [timer] = VALUES.filter(({ title }) => title === "bpf_timer") as [Value];
      const other = new Elements(c, makeMap(c, type, timer));
      expect(other.update(u32s(0), ONES(24), LOCK)).toBe("EINVAL");
      expect(other.lookup(u32s(0), 24, LOCK)).toBe("EINVAL");
    }
  });
}

type Fields = readonly (readonly [offset: number, size: number, first?: number])[];

/** Where the fields of values are, and what their first byte is when it isn't 0. */
const FIELDS: Readonly<Record<string, Fields>> = {
  bpf_spin_lock: [[8, 4]],
  bpf_res_spin_lock: [[8, 4]],
  bpf_timer: [[8, 16]],
  bpf_wq: [[8, 16]],
  bpf_task_work: [[8, 8]],
  bpf_refcount: [[8, 4, 1]],
  "a kptr": [[8, 8]],
  "a kptr_untrusted": [[8, 8]],
  "a percpu_kptr": [[8, 8]],
  "a tree": [
    [0, 4],
    [8, 16],
  ],
  "a lock and a timer": [
    [0, 4],
    [8, 16],
  ],
  "a lock in a struct in it": [[12, 4]],
  "an array of one lock": [[0, 4]],
  "a typedef of a struct with a lock": [[0, 4]],
  "two kptrs in an array": [[0, 16]],
  "eleven kptrs": [[0, 88]],
  "two counts": [
    [0, 4, 1],
    [8, 4, 1],
  ],
};
