/**
 * Makes up calls about maps.
 */

import * as attr from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import type { Random } from "../random.ts";
import { type Facts, HASHES } from "./objects.ts";
import type { Block, Label, Value } from "./operation.ts";
import { attrOf, type Draft, type Supply } from "./supply.ts";

/** Few keys, so that they are met again; never so many that an LRU map has to forget one. */
const KEYS = 6;
/** Below it Linux forgets elements of LRU maps before they are full: each CPU keeps some free. */
export const LRU_ENTRIES = 64;
const LRU: ReadonlySet<number> = new Set([
  bpf.BPF_MAP_TYPE_LRU_HASH,
  bpf.BPF_MAP_TYPE_LRU_PERCPU_HASH,
]);
const PER_CPU: ReadonlySet<number> = new Set([
  bpf.BPF_MAP_TYPE_PERCPU_HASH,
  bpf.BPF_MAP_TYPE_PERCPU_ARRAY,
  bpf.BPF_MAP_TYPE_LRU_PERCPU_HASH,
]);
const TYPES = [
  bpf.BPF_MAP_TYPE_HASH,
  bpf.BPF_MAP_TYPE_HASH,
  bpf.BPF_MAP_TYPE_ARRAY,
  bpf.BPF_MAP_TYPE_ARRAY,
  bpf.BPF_MAP_TYPE_PROG_ARRAY,
  bpf.BPF_MAP_TYPE_PERCPU_HASH,
  bpf.BPF_MAP_TYPE_PERCPU_ARRAY,
  bpf.BPF_MAP_TYPE_LRU_HASH,
];

/** Batches are no larger than a room of the arena. */
const MAX_BATCH_BYTES = 60_000;

export function mapCreate(supply: Supply): Draft {
  const { random } = supply;
  const type = random.pick(TYPES);
  const isHash = HASHES.has(type);
  const mayBeLazy = isHash && !LRU.has(type);
  const fields = {
    map_type: type,
    key_size: isHash ? random.pick([4, 4, 4, 1, 8, 13]) : 4,
    value_size: type === bpf.BPF_MAP_TYPE_PROG_ARRAY ? 4 : random.pick([8, 8, 8, 4, 1, 13]),
    max_entries: LRU.has(type) ? LRU_ENTRIES : random.pick([1, 2, 4, 4, 5]),
    map_flags:
      random.pick([0, 0, 0, 0, bpf.BPF_F_RDONLY, bpf.BPF_F_WRONLY, bpf.BPF_F_RDONLY_PROG]) |
      (mayBeLazy && random.once(3) ? bpf.BPF_F_NO_PREALLOC : 0),
  };
  // All BTF of the fuzzer has an int of 4 bytes as its first type.
  const btfs = random.once(5) ? supply.having("btf") : [];
  const types =
    btfs.length === 0
      ? {}
      : {
          btf_fd: { fd: random.pick(btfs) },
          btf_key_type_id: random.pick([1, 1, 1, 0, 2, 9]),
          btf_value_type_id: random.pick([1, 1, 2, 0, 3, 9]),
        };
  return { cmd: bpf.BPF_MAP_CREATE, attr: attrOf(attr.MAP_CREATE, { ...fields, ...types }) };
}

const COMMANDS: readonly (readonly [number, number])[] = [
  [10, bpf.BPF_MAP_UPDATE_ELEM],
  [8, bpf.BPF_MAP_LOOKUP_ELEM],
  [4, bpf.BPF_MAP_DELETE_ELEM],
  [3, bpf.BPF_MAP_LOOKUP_AND_DELETE_ELEM],
  [4, bpf.BPF_MAP_GET_NEXT_KEY],
  [1, bpf.BPF_MAP_FREEZE],
  [3, bpf.BPF_MAP_LOOKUP_BATCH],
  [2, bpf.BPF_MAP_LOOKUP_AND_DELETE_BATCH],
  [3, bpf.BPF_MAP_UPDATE_BATCH],
  [2, bpf.BPF_MAP_DELETE_BATCH],
];

export function mapCommand(supply: Supply): Draft {
  const { random, objects } = supply;
  const maps = supply.having("map");
  if (maps.length === 0) return mapCreate(supply);
  const label = random.pick(maps);
  const facts = objects.facts(label) as Facts;
  const cmd = random.weighted(COMMANDS);
  if (cmd === bpf.BPF_MAP_FREEZE) {
    return { cmd, attr: attrOf(attr.MAP_FREEZE, { map_fd: { fd: label } }) };
  }
  if (cmd >= bpf.BPF_MAP_LOOKUP_BATCH && cmd <= bpf.BPF_MAP_DELETE_BATCH) {
    const largest = Math.max(KEYS, facts.maxEntries) * bytesOfValue(facts);
    if (largest > MAX_BATCH_BYTES) return mapCreate(supply);
    return { cmd, attr: batch(supply, cmd, label, facts) };
  }
  return { cmd, attr: element(supply, cmd, label, facts) };
}

function element(supply: Supply, cmd: number, label: Label, facts: Facts): Block {
  const { random } = supply;
  const key: Value = { to: keyBlock(random, facts) };
  const map_fd: Value = { fd: label };
  if (cmd === bpf.BPF_MAP_DELETE_ELEM) return attrOf(attr.MAP_DELETE_ELEM, { map_fd, key });
  if (cmd === bpf.BPF_MAP_GET_NEXT_KEY) {
    return attrOf(attr.MAP_GET_NEXT_KEY, {
      map_fd,
      key: random.once(3) ? 0 : key,
      next_key: { to: { size: facts.keySize, fill: 0xee } },
    });
  }
  const writes = cmd === bpf.BPF_MAP_UPDATE_ELEM;
  return attrOf(attr.MAP_ELEM, {
    map_fd,
    key,
    value: { to: writes ? valueBlock(supply, facts) : { size: bytesOfValue(facts), fill: 0xee } },
    flags: writes ? random.pick([0, 0, 0, 1, 2]) : 0,
  });
}

/** Possible CPUs are a multiple of what one value takes; a block for more is no harm. */
const MAX_CPUS = 8;

/** Bytes of a value as bpf(2) passes it. */
export function bytesOfValue({ type, valueSize }: Facts): number {
  return PER_CPU.has(type) ? Math.ceil(valueSize / 8) * 8 * MAX_CPUS : valueSize;
}

function keyBlock(random: Random, { keySize, maxEntries, type }: Facts): Block {
  const bound = HASHES.has(type) ? KEYS : maxEntries + 1;
  return { size: keySize, fill: [random.below(Math.min(bound, KEYS))] };
}

function valueBlock(supply: Supply, facts: Facts): Block {
  const { random } = supply;
  const size = bytesOfValue(facts);
  if (facts.type !== bpf.BPF_MAP_TYPE_PROG_ARRAY) {
    return { size, fill: Array.from({ length: Math.min(size, 8) }, () => random.below(256)) };
  }
  return { size, slots: [[0, 4, supply.fd("prog")]] };
}

function batch(supply: Supply, cmd: number, label: Label, facts: Facts): Block {
  const { random } = supply;
  const isWalk = cmd === bpf.BPF_MAP_LOOKUP_BATCH || cmd === bpf.BPF_MAP_LOOKUP_AND_DELETE_BATCH;
  const isHash = HASHES.has(facts.type);
  // A part of a hash is another part on each kernel.
  const count = isWalk && isHash ? Math.max(KEYS, facts.maxEntries) : random.below(KEYS);
  const { keySize } = facts;
  const starts = isWalk && !isHash && random.once(2);
  const keys = Array.from({ length: count * keySize }, (_, i) =>
    i % keySize === 0 ? random.below(KEYS) : 0,
  );
  return attrOf(attr.MAP_BATCH, {
    in_batch: starts ? { to: { size: keySize, fill: [random.below(3)] } } : 0,
    out_batch: isWalk ? { to: { size: Math.max(4, keySize), fill: 0xee } } : 0,
    keys: { to: { size: keys.length, fill: isWalk ? 0xee : keys } },
    values: { to: { size: count * bytesOfValue(facts), fill: isWalk ? 0xee : random.below(256) } },
    count,
    map_fd: { fd: label },
    elem_flags: random.once(20) ? random.below(5) : 0,
  });
}
