/**
 * Sequences that the fuzzer found, each with the answer of Linux 6.18 to the last of them.
 */

import type { Block, Operation } from "./operation.ts";

/** What once was answered otherwise than Linux answers it. */
export interface Found {
  readonly what: string;
  readonly operations: readonly Operation[];
  /** What the last operation comes to. */
  readonly result: string;
}

/** r0 = 0; exit */
const RETURN_0: Block = { size: 16, fill: [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95] };
/** A tail call to program 0 of the map that label 1 stands for. */
const TAIL_CALL: Block = {
  size: 48,
  fill: [
    [0x18, 0x12, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0xb7, 3, 0, 0, 0, 0, 0, 0],
    [0x85, 0, 0, 0, 12, 0, 0, 0],
    [0xb7, 0, 0, 0, 0, 0, 0, 0],
    [0x95, 0, 0, 0, 0, 0, 0, 0],
  ].flat(),
  slots: [[4, 4, { fd: 1 }]],
};

/** PROG_LOAD; the slots come on top. */
function load(label: number, type: number, insns: Block, slots: Block["slots"] = []): Operation {
  return {
    do: "bpf",
    label,
    cmd: 5,
    attr: {
      size: 168,
      slots: [
        [0, 4, type],
        [4, 4, insns.size / 8],
        [8, 8, { to: insns }],
        [16, 8, { text: "GPL" }],
        ...slots,
      ],
    },
  };
}

function bpf(label: number, cmd: number, size: number, slots: Block["slots"] = []): Operation {
  return { do: "bpf", label, cmd, attr: { size, slots } };
}

const ARRAY = bpf(1, 0, 92, [
  [0, 4, 2],
  [4, 4, 4],
  [8, 4, 8],
  [12, 4, 4],
]);
const PROG_ARRAY = bpf(1, 0, 92, [
  [0, 4, 3],
  [4, 4, 4],
  [8, 4, 4],
  [12, 4, 4],
]);
const SOCKET_FILTER = 1;
const XDP = 6;
const FLOW_DISSECTOR = 22;
const O_PATH = 0o10000000;

/** BTF: `int`, and a typedef of it whose name is the byte 0xca. */
const TYPEDEF_E_CIRCUMFLEX: readonly number[] = [
  [0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 28, 0, 0, 0, 7, 0, 0, 0],
  [1, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 32, 0, 0, 1],
  [5, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0],
  [0, 0x69, 0x6e, 0x74, 0, 0xca, 0],
].flat();

export const FOUND: readonly Found[] = [
  {
    what: "a value at the end of the memory is written as far as that reaches",
    operations: [
      ARRAY,
      bpf(2, 1, 32, [
        [0, 4, { fd: 1 }],
        [8, 8, { to: { size: 4 } }],
        [16, 8, { to: { size: 4, fill: 1 } }],
      ]),
    ],
    result: "EFAULT",
  },
  {
    what: "a byte that is not 0 behind the struct comes before the end of the memory",
    operations: [
      { do: "netns create", name: 1 },
      { do: "netns open", label: 2, name: 1 },
      load(3, FLOW_DISSECTOR, RETURN_0),
      bpf(4, 28, 60, [
        [0, 4, { fd: 3 }],
        [4, 4, { fd: 2 }],
        [8, 4, 17],
      ]),
      bpf(5, 15, 16, [
        [0, 4, { fd: 4 }],
        [4, 4, 256],
        [8, 8, { to: { size: 80, fill: 0xee } }],
      ]),
    ],
    result: "E2BIG",
  },
  {
    what: "that something had to be cut wins over a bad address",
    operations: [
      load(1, FLOW_DISSECTOR, RETURN_0),
      bpf(2, 10, 76, [
        [0, 4, { fd: 1 }],
        [8, 4, 20],
        [16, 8, { to: { size: 20 } }],
        [44, 4, 16],
        [56, 8, { to: { size: 10 } }],
      ]),
    ],
    result: "ENOSPC",
  },
  {
    what: "a packet in fragments with room for less than those gives nothing out",
    operations: [
      load(1, XDP, RETURN_0),
      bpf(2, 10, 76, [
        [0, 4, { fd: 1 }],
        [8, 4, 4097],
        [12, 4, 10],
        [16, 8, { to: { size: 4097, fill: 1 } }],
        [24, 8, { to: { size: 10, fill: 0xee } }],
      ]),
    ],
    result: "ENOSPC",
  },
  {
    what: "fragments of a packet cut its linear part short",
    operations: [
      load(1, XDP, RETURN_0),
      bpf(2, 10, 76, [
        [0, 4, { fd: 1 }],
        [8, 4, 4000],
        [12, 4, 490],
        [16, 8, { to: { size: 4000, fill: Array.from({ length: 4000 }, (_, i) => i % 251) } }],
        [24, 8, { to: { size: 500, fill: 0xee } }],
      ]),
    ],
    result: "ENOSPC",
  },
  {
    what: "a packet far too large faults before it is too large",
    operations: [
      load(1, XDP, RETURN_0),
      bpf(2, 10, 76, [
        [0, 4, { fd: 1 }],
        [8, 4, 0x7fffffff],
        [16, 8, { to: { size: 60 } }],
        [40, 4, 48],
        [48, 8, { to: { size: 48 } }],
      ]),
    ],
    result: "EFAULT",
  },
  {
    what: "letters of Latin-1 may stand in a program's name",
    operations: [load(1, SOCKET_FILTER, RETURN_0, [[48, 4, 0xffffffff]])],
    result: "fd",
  },
  {
    what: "letters of Latin-1 may stand in BTF's names",
    operations: [
      bpf(1, 18, 40, [
        [0, 8, { to: { size: 59, fill: TYPEDEF_E_CIRCUMFLEX } }],
        [16, 4, 59],
      ]),
    ],
    result: "fd",
  },
  {
    what: "an empty path is refused before the directory's fd is looked at",
    operations: [
      bpf(1, 7, 20, [
        [0, 8, { text: "" }],
        [12, 4, 0x4000],
      ]),
    ],
    result: "ENOENT",
  },
  {
    what: "nothing can be pinned in a directory that is gone",
    operations: [
      ARRAY,
      { do: "mkdir", path: "@/d" },
      { do: "open", label: 2, path: "@/d", flags: 0 },
      { do: "rmdir", path: "@/d" },
      bpf(3, 6, 20, [
        [0, 8, { text: "a" }],
        [8, 4, { fd: 1 }],
        [12, 4, 0x4000],
        [16, 4, { fd: 2 }],
      ]),
    ],
    result: "ENOENT",
  },
  {
    what: "programs with and without fragments don't share a prog array",
    operations: [PROG_ARRAY, load(2, XDP, TAIL_CALL, [[44, 4, 32]]), load(3, XDP, TAIL_CALL)],
    result: "EINVAL",
  },
  {
    what: "fdinfo of a namespace says how it was opened",
    operations: [
      { do: "netns create", name: 1 },
      { do: "netns open", label: 2, name: 1 },
      { do: "fdinfo", fd: 2 },
    ],
    result: "text",
  },
  {
    what: "an O_PATH fd on a pin bears the pin's path, also when it is gone",
    operations: [
      ARRAY,
      bpf(2, 6, 20, [
        [0, 8, { text: "@/b" }],
        [8, 4, { fd: 1 }],
      ]),
      { do: "open", label: 3, path: "@/b", flags: O_PATH },
      { do: "fdname", fd: 3 },
      { do: "unlink", path: "@/b" },
      { do: "fdname", fd: 3 },
    ],
    result: "text",
  },
  {
    what: "an fd on a directory bears its path",
    operations: [
      { do: "mkdir", path: "@/d" },
      { do: "open", label: 1, path: "@/d", flags: 0 },
      { do: "rmdir", path: "@/d" },
      { do: "fdname", fd: 1 },
    ],
    result: "text",
  },
];
