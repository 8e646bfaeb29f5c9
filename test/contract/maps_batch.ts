/**
 * Maps, many elements at a time.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { BAD_POINTER, type Case, type Fields, u32s } from "./case.ts";
import { Elements } from "./maps.ts";
import type { Chapter, Rules } from "./rules.ts";

const COMMANDS = [
  bpf.BPF_MAP_LOOKUP_BATCH,
  bpf.BPF_MAP_LOOKUP_AND_DELETE_BATCH,
  bpf.BPF_MAP_UPDATE_BATCH,
  bpf.BPF_MAP_DELETE_BATCH,
] as const;
type BatchCommand = (typeof COMMANDS)[number];

const HASH = { map_type: bpf.BPF_MAP_TYPE_HASH, value_size: 4, max_entries: 8 } as const;
const ARRAY = { value_size: 4, max_entries: 8 } as const;

interface Batch {
  readonly outcome: string;
  readonly count: number;
  readonly keys: readonly number[];
  readonly values: readonly number[];
}

/** A batch call on u32 keys and values; `cursor` is read from and written to. */
function batch(
  c: Case,
  command: BatchCommand,
  map_fd: number,
  options: {
    readonly keys?: readonly number[];
    readonly values?: readonly number[];
    readonly count: number;
    readonly cursor?: Uint8Array;
    readonly first?: boolean;
    readonly fields?: Fields<BatchCommand>;
  },
): Batch {
  const keys = new Uint32Array(16);
  keys.set(options.keys ?? []);
  const values = new Uint32Array(16);
  values.set(options.values ?? []);
  const cursor = options.cursor ?? new Uint8Array(4);
  const { outcome, attr } = c.answer(command, {
    map_fd,
    keys: c.at(new Uint8Array(keys.buffer)),
    values: c.at(new Uint8Array(values.buffer)),
    count: options.count,
    in_batch: options.first === false ? c.at(cursor) : 0n,
    out_batch: c.at(cursor),
    ...options.fields,
  });
  const { count } = attr;
  return {
    outcome,
    count,
    keys: [...keys.subarray(0, count)],
    values: [...values.subarray(0, count)],
  };
}

const pairs = ({ keys, values }: Batch): readonly string[] =>
  keys.map((key, i) => `${key}=${values[i]}`).sort();

export const mapBatches: Chapter = {
  title: "map batches",
  rules: (rules) => {
    writing(rules);
    reading(rules);
    errors(rules);
  },
};

function writing({ rule }: Rules): void {
  rule("an update writes all its elements and counts them", (c) => {
    for (const fields of [HASH, ARRAY]) {
      const fd = c.map(fields);
      const given = { keys: [1, 2, 3], values: [10, 20, 30], count: 3 };
      expect(batch(c, bpf.BPF_MAP_UPDATE_BATCH, fd, given)).toMatchObject({
        outcome: "ok",
        count: 3,
      });
      expect(new Elements(c, fd).lookup(u32s(2), 4)).toEqual([...u32s(20)]);
    }
  });

  rule("an update stops at the first failure and counts what it has done", (c) => {
    const array = { keys: [1, 99, 3], values: [10, 20, 30], count: 3 };
    const fd = c.map(ARRAY);
    expect(batch(c, bpf.BPF_MAP_UPDATE_BATCH, fd, array)).toMatchObject({
      outcome: "E2BIG",
      count: 1,
    });
    expect(new Elements(c, fd).lookup(u32s(3), 4)).toEqual([0, 0, 0, 0]);
  });

  rule("a delete takes out all its keys, or stops at the first that is absent", (c) => {
    const fd = c.map(HASH);
    batch(c, bpf.BPF_MAP_UPDATE_BATCH, fd, { keys: [1, 2, 3], values: [1, 2, 3], count: 3 });
    const some = batch(c, bpf.BPF_MAP_DELETE_BATCH, fd, { keys: [1, 7, 2], count: 3 });
    expect(some).toMatchObject({ outcome: "ENOENT", count: 1 });
    const rest = batch(c, bpf.BPF_MAP_DELETE_BATCH, fd, { keys: [2, 3], count: 2 });
    expect(rest).toMatchObject({ outcome: "ok", count: 2 });
    expect(new Elements(c, fd).next(null)).toBe("ENOENT");
  });

  rule("a count of 0 does nothing, and is a success", (c) => {
    const fd = c.map(HASH);
    for (const command of COMMANDS) {
      expect(batch(c, command, fd, { count: 0 })).toMatchObject({ outcome: "ok", count: 0 });
    }
  });
}

function reading({ rule }: Rules): void {
  const given = { keys: [1, 2, 3], values: [10, 20, 30], count: 3 };

  rule("a lookup with room for all ends in ENOENT and counts what there was", (c) => {
    const fd = c.map(HASH);
    batch(c, bpf.BPF_MAP_UPDATE_BATCH, fd, given);
    const all = batch(c, bpf.BPF_MAP_LOOKUP_BATCH, fd, { count: 8 });
    expect(all.outcome).toBe("ENOENT");
    expect(pairs(all)).toEqual(["1=10", "2=20", "3=30"]);
  });

  rule("a lookup of an array goes on where the last one stopped", (c) => {
    const fd = c.map(ARRAY);
    const eight = { keys: [0, 1, 2, 3, 4, 5, 6, 7], values: [0, 1, 2, 3, 4, 5, 6, 7], count: 8 };
    batch(c, bpf.BPF_MAP_UPDATE_BATCH, fd, eight);
    const cursor = new Uint8Array(4);
    const first = batch(c, bpf.BPF_MAP_LOOKUP_BATCH, fd, { count: 5, cursor });
    expect(first).toMatchObject({ outcome: "ok", keys: [0, 1, 2, 3, 4] });
    const rest = batch(c, bpf.BPF_MAP_LOOKUP_BATCH, fd, { count: 5, cursor, first: false });
    expect(rest).toMatchObject({ outcome: "ENOENT", count: 3, keys: [5, 6, 7], values: [5, 6, 7] });
  });

  rule("a lookup and delete empties a hash", (c) => {
    const fd = c.map(HASH);
    batch(c, bpf.BPF_MAP_UPDATE_BATCH, fd, given);
    const all = batch(c, bpf.BPF_MAP_LOOKUP_AND_DELETE_BATCH, fd, { count: 8 });
    expect(all.outcome).toBe("ENOENT");
    expect(pairs(all)).toEqual(["1=10", "2=20", "3=30"]);
    expect(new Elements(c, fd).next(null)).toBe("ENOENT");
  });

  rule("a lookup of an empty hash is ENOENT and counts 0", (c) => {
    const answer = batch(c, bpf.BPF_MAP_LOOKUP_BATCH, c.map(HASH), { count: 8 });
    expect(answer).toMatchObject({ outcome: "ENOENT", count: 0 });
  });
}

function errors({ rule }: Rules): void {
  rule("elem_flags are EINVAL", (c) => {
    for (const command of COMMANDS) {
      for (const elem_flags of [1n, BigInt(bpf.BPF_F_LOCK)]) {
        const answer = batch(c, command, c.map(HASH), { count: 1, fields: { elem_flags } });
        expect(answer.outcome, bpf.COMMAND_NAMES[command] ?? "").toBe("EINVAL");
      }
    }
  });

  rule("flags are EINVAL in look-ups of a hash, and ignored everywhere else", (c) => {
    const outcome = (command: BatchCommand, map: typeof HASH | typeof ARRAY): string => {
      const fd = c.map(map);
      batch(c, bpf.BPF_MAP_UPDATE_BATCH, fd, { keys: [0], count: 1 });
      return batch(c, command, fd, { count: 1, fields: { flags: 1n } }).outcome;
    };
    expect(COMMANDS.map((command) => outcome(command, HASH))).toEqual([
      "EINVAL",
      "EINVAL",
      "ok",
      "ok",
    ]);
    expect(outcome(bpf.BPF_MAP_LOOKUP_BATCH, ARRAY)).toBe("ok");
    expect(outcome(bpf.BPF_MAP_UPDATE_BATCH, ARRAY)).toBe("ok");
  });

  rule("bad pointers are EFAULT", (c) => {
    const fd = c.map(HASH);
    for (const fields of [{ keys: BAD_POINTER }, { values: BAD_POINTER }]) {
      const answer = batch(c, bpf.BPF_MAP_UPDATE_BATCH, fd, { count: 1, fields });
      expect(answer.outcome).toBe("EFAULT");
    }
  });

  rule("a map without the operation is ENOTSUPP", (c) => {
    const fd = c.map(ARRAY);
    for (const command of [
      bpf.BPF_MAP_LOOKUP_AND_DELETE_BATCH,
      bpf.BPF_MAP_DELETE_BATCH,
    ] as const) {
      expect(batch(c, command, fd, { count: 1 }).outcome).toBe("ENOTSUPP");
    }
  });

  rule("an fd of the wrong mode is EPERM", (c) => {
    const reader = c.map({ ...HASH, map_flags: bpf.BPF_F_RDONLY });
    expect(batch(c, bpf.BPF_MAP_UPDATE_BATCH, reader, { count: 1 }).outcome).toBe("EPERM");
    const writer = c.map({ ...HASH, map_flags: bpf.BPF_F_WRONLY });
    expect(batch(c, bpf.BPF_MAP_LOOKUP_BATCH, writer, { count: 1 }).outcome).toBe("EPERM");
  });
}
