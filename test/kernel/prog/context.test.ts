/**
 * Breaks when a context field can be reached at another offset or width than on Linux 6.18: the
 * tables below are what Linux's verifier accepted when every offset and width was tried.
 */
import { describe, expect, it } from "vitest";
import {
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_KPROBE,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
  BPF_XDP_CPUMAP,
  BPF_XDP_DEVMAP,
} from "../../../src/abi/bpf.ts";
import { contextOf, findField } from "../../../src/kernel/bpf/context.ts";

const WIDTHS = [1, 2, 4, 8] as const;

/** Accepted accesses as "offset/width", narrow ones of `words` and the `exact` ones. */
function accesses(words: readonly number[], exact: readonly string[]): string[] {
  const narrow = words.flatMap((word) => [
    ...[0, 1, 2, 3].map((byte) => `${word + byte}/1`),
    ...[0, 2].map((byte) => `${word + byte}/2`),
    `${word}/4`,
  ]);
  return [...narrow, ...exact].sort();
}

function range(from: number, to: number): number[] {
  return Array.from({ length: (to - from) / 4 + 1 }, (_, i) => from + 4 * i);
}

interface Row {
  readonly type: number;
  readonly attachType?: number;
  readonly read: string[];
  readonly write: string[];
}

const XDP_WORDS = ["0/4", "4/4", "8/4", "12/4", "16/4"];

const TABLE: Readonly<Record<string, Row>> = {
  "flow dissector": {
    type: BPF_PROG_TYPE_FLOW_DISSECTOR,
    read: ["76/4", "80/4", "144/8"].sort(),
    write: [],
  },
  "socket filter": {
    type: BPF_PROG_TYPE_SOCKET_FILTER,
    read: accesses([...range(0, 68), 84, 164, 176], ["48/8", "56/8", "168/8"]),
    write: accesses(range(48, 64), ["48/8", "56/8"]),
  },
  xdp: { type: BPF_PROG_TYPE_XDP, read: [...XDP_WORDS].sort(), write: [] },
  "xdp, cpumap": {
    type: BPF_PROG_TYPE_XDP,
    attachType: BPF_XDP_CPUMAP,
    read: [...XDP_WORDS].sort(),
    write: [],
  },
  "xdp, devmap": {
    type: BPF_PROG_TYPE_XDP,
    attachType: BPF_XDP_DEVMAP,
    read: [...XDP_WORDS, "20/4"].sort(),
    write: [],
  },
  sk_lookup: {
    type: BPF_PROG_TYPE_SK_LOOKUP,
    read: accesses(range(8, 64), ["0/8"]),
    write: [],
  },
};

describe("context access", () => {
  for (const [name, { type, attachType, read, write }] of Object.entries(TABLE)) {
    it(`${name}: exactly Linux's offsets and widths`, () => {
      const layout = contextOf(type, attachType);
      if (layout === undefined) throw new TypeError(`no context for program type ${type}`);
      for (const [isWrite, expected] of [
        [false, read],
        [true, write],
      ] as const) {
        const accepted: string[] = [];
        for (let offset = -8; offset < layout.size + 8; offset++) {
          for (const width of WIDTHS) {
            if (findField(layout, offset, width, isWrite) !== null) {
              accepted.push(`${offset}/${width}`);
            }
          }
        }
        expect(accepted.sort()).toEqual(expected);
      }
    });
  }

  it("has no context for types that it doesn't run", () => {
    expect(contextOf(BPF_PROG_TYPE_KPROBE)).toBeUndefined();
    expect(contextOf(999)).toBeUndefined();
  });
});
