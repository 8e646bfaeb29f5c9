/**
 * Makes up BTF: good or nearly so, or with a few bytes changed.
 */

import * as attr from "../../src/abi/attr.ts";
import { BPF_BTF_LOAD } from "../../src/abi/bpf.ts";
import { encodeBtf, RANDOM_STRINGS, randomTypes } from "../btf.ts";
import { attrOf, type Draft, type Supply } from "./supply.ts";

/** Names at 1 "int", 5 "f", 7 "x", 9 "pair". */
const STRINGS = new TextEncoder().encode("\0int\0f\0x\0pair\0");

// kind << 24 | vlen
const INT = 1 << 24;
const PTR = 2 << 24;
const ARRAY = 3 << 24;
const STRUCT = 4 << 24;
const TYPEDEF = 8 << 24;
const FUNC = 12 << 24;
const FUNC_PROTO = 13 << 24;
const FLOAT = 16 << 24;

/** Types as words: an int comes first in each. */
const int: readonly number[] = [1, INT, 4, (1 << 24) | 32];
const TYPES: readonly (readonly number[])[] = [
  int,
  [...int, 0, PTR, 1],
  [...int, 0, ARRAY, 0, 1, 1, 4],
  [...int, 9, STRUCT | 2, 8, 5, 1, 0, 7, 1, 32],
  [...int, 5, TYPEDEF, 1],
  [...int, 0, FUNC_PROTO | 1, 1, 7, 1, 5, FUNC | 1, 2],
  [...int, 5, FLOAT, 8],
];

/** Room for every log, so that none is cut. */
const LOG_SIZE = 4096;

export function loadBtf({ random }: Supply): Draft {
  const btf = random.once(2)
    ? encodeBtf([random.pick(TYPES)], STRINGS)
    : encodeBtf(randomTypes(random), RANDOM_STRINGS);
  const bytes = [...btf];
  const changes = random.pick([0, 0, 1, 1, 2]);
  for (let i = 0; i < changes; i++) {
    bytes[random.below(bytes.length)] = random.pick([0, 1, 2, 4, 8, 0x80, random.below(256)]);
  }
  const logs = random.once(3);
  const fields = {
    btf: { to: { size: bytes.length, fill: bytes } },
    btf_size: bytes.length,
    btf_log_buf: logs ? { to: { size: LOG_SIZE, fill: 0 } } : 0,
    btf_log_size: logs ? LOG_SIZE : 0,
    btf_log_level: logs ? 1 : 0,
  };
  return { cmd: BPF_BTF_LOAD, attr: attrOf(attr.BTF_LOAD, fields) };
}
