/**
 * Makes up the next operation: most are plausible, and some of those have been tampered with.
 */

import * as attr from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { BPF_PROG_INFO_SIZE } from "../../src/abi/info.ts";
import type { Random } from "../random.ts";
import { loadBtf } from "./btf.ts";
import { mapCommand, mapCreate } from "./generate_map.ts";
import { harmless } from "./harmless.ts";
import type { Facts, ObjectTable } from "./objects.ts";
import type { Block, BpfOperation, Caller, Label, Operation, Slot, Value } from "./operation.ts";
import { BROKEN_PROGRAMS, GOOD_PROGRAMS, instructionsOf } from "./programs.ts";
import { attrOf, call, type Draft, PATHS, type Supply } from "./supply.ts";
import { tamper } from "./tamper.ts";

/** As many fds as one episode may have open. */
const MAX_OPEN = 40;
const MAX_NAMESPACES = 3;
const NAME_OFFSET = 48;
const O_PATH = 0o10000000;
const O_DIRECTORY = 0o200000;
const O_RDWR = 2;

type Maker = (supply: Supply) => Draft;

function progLoad(supply: Supply): Draft {
  const { random } = supply;
  const text = random.pick(random.once(6) ? BROKEN_PROGRAMS : GOOD_PROGRAMS);
  const maps = supply.having("map", text.takes);
  if (text.mapAt >= 0 && maps.length === 0) return mapCreate(supply);
  const insns = instructionsOf(text, text.mapAt >= 0 ? random.pick(maps) : null);
  const isLookup = text.type === bpf.BPF_PROG_TYPE_SK_LOOKUP;
  const block = attrOf(attr.PROG_LOAD, {
    prog_type: text.type,
    insns: { to: insns },
    insn_cnt: insns.size / 8,
    license: { text: random.pick(["GPL", "GPL", "MIT", ""]) },
    expected_attach_type: isLookup ? bpf.BPF_SK_LOOKUP : random.pick([0, 0, 0, 17]),
  });
  return call(bpf.BPF_PROG_LOAD, withName(block, random));
}

/** Names are bytes: put in as two numbers. */
function withName(block: Block, random: Random): Block {
  const name = random.pick(["", "fuzz", "a_b.c", "fifteen_letters"]);
  const bytes = Buffer.alloc(16);
  bytes.write(name);
  const halves: Slot[] = [0, 8]
    .map((at): Slot => [NAME_OFFSET + at, 8, bytes.readBigUInt64LE(at)])
    .filter(([, , value]) => value !== 0n);
  return { ...block, slots: [...(block.slots ?? []), ...halves] };
}

function linkCreate(supply: Supply): Draft {
  const { random } = supply;
  const type = random.pick([22, 22, 30]);
  return call(
    bpf.BPF_LINK_CREATE,
    attrOf(attr.LINK_CREATE, {
      prog_fd: supply.fd("prog", (facts) => facts.type === type),
      target_fd: supply.fd("netns"),
      attach_type: random.once(15) ? random.below(60) : type === 22 ? 17 : 36,
    }),
  );
}

function linkUpdate(supply: Supply): Draft {
  const { random } = supply;
  const replace = random.once(3);
  return call(
    bpf.BPF_LINK_UPDATE,
    attrOf(attr.LINK_UPDATE, {
      link_fd: supply.fd("link"),
      new_prog_fd: supply.fd("prog", (facts) => random.once(9) || facts.type === 22),
      flags: replace ? bpf.BPF_F_REPLACE : 0,
      old_prog_fd: replace ? supply.fd("prog", (facts) => facts.type === 22) : 0,
    }),
  );
}

function directly(supply: Supply): Draft {
  const { random } = supply;
  const namespaces = supply.having("netns");
  const cmd = random.pick([bpf.BPF_PROG_ATTACH, bpf.BPF_PROG_DETACH]);
  const block = attrOf(attr.PROG_ATTACH, {
    attach_bpf_fd: supply.fd("prog", (facts) => facts.type === 22),
    attach_type: random.once(9) ? random.below(60) : 17,
  });
  return namespaces.length === 0
    ? linkCreate(supply)
    : { cmd, attr: block, within: random.pick(namespaces) };
}

function query(supply: Supply): Draft {
  const { random } = supply;
  const room = random.pick([0, 1, 1, 2, 4, 8]);
  return call(
    bpf.BPF_PROG_QUERY,
    attrOf(attr.PROG_QUERY, {
      target_fd: supply.fd("netns"),
      attach_type: random.pick([17, 36]),
      attach_flags: 0xffff_ffff,
      prog_ids: random.once(8) ? 0 : { to: { size: room * 4, fill: 0xee } },
      prog_cnt: room,
    }),
  );
}

const KINDS = ["prog", "map", "link", "btf"] as const;

function nextId(supply: Supply): Draft {
  const { random, objects } = supply;
  const cmd = random.pick([
    bpf.BPF_PROG_GET_NEXT_ID,
    bpf.BPF_MAP_GET_NEXT_ID,
    bpf.BPF_LINK_GET_NEXT_ID,
    bpf.BPF_BTF_GET_NEXT_ID,
  ]);
  const known = objects.known;
  const start: Value =
    known.length > 0 && !random.once(8) ? { id: random.pick(known) } : random.pick([0, 0x7fffffff]);
  return call(cmd, attrOf(attr.GET_NEXT_ID, { start_id: start }));
}

function fdById(supply: Supply): Draft {
  const { random, objects } = supply;
  const known = objects.known;
  const id: Value = known.length > 0 ? { id: random.pick(known) } : 0;
  const kind = random.pick(KINDS);
  const open_flags = random.pick([0, 0, 0, bpf.BPF_F_RDONLY, bpf.BPF_F_WRONLY, 24, 1]);
  switch (kind) {
    case "map":
      return call(bpf.BPF_MAP_GET_FD_BY_ID, attrOf(attr.MAP_GET_FD_BY_ID, { id, open_flags }));
    case "btf":
      return call(bpf.BPF_BTF_GET_FD_BY_ID, attrOf(attr.BTF_GET_FD_BY_ID, { id }));
    default:
      return call(
        kind === "prog" ? bpf.BPF_PROG_GET_FD_BY_ID : bpf.BPF_LINK_GET_FD_BY_ID,
        attrOf(attr.GET_FD_BY_ID, { id }),
      );
  }
}

const INFO_SIZES: Readonly<Record<Facts["kind"], number>> = {
  link: 64,
  map: 104,
  prog: BPF_PROG_INFO_SIZE,
  btf: 32,
  netns: 64,
  other: 64,
};

function info(supply: Supply): Draft {
  const { random } = supply;
  const kind = random.pick([...KINDS, ...KINDS, "netns"] as const);
  const exact = INFO_SIZES[kind];
  const size = random.once(4) ? random.pick([0, 4, 12, 23, 40, 80, 200, 232, 240, 300]) : exact;
  return call(
    bpf.BPF_OBJ_GET_INFO_BY_FD,
    attrOf(attr.OBJ_GET_INFO, {
      bpf_fd: supply.fd(kind),
      info_len: size,
      info: { to: infoBlock(random, kind, size) },
    }),
  );
}

/** A struct to be filled in; of a program now and then with room for arrays. */
function infoBlock(random: Random, kind: Facts["kind"], size: number): Block {
  // Programs and BTF take what stands there for sizes and addresses.
  const fill = kind === "link" ? 0xee : 0;
  if (kind !== "prog" || size < BPF_PROG_INFO_SIZE || random.once(2)) return { size, fill };
  const room = random.below(4);
  const slots: Slot[] = [
    [52, 4, room],
    [56, 8, { to: { size: room * 4, fill: 0xee } }],
    [180, 4, room],
    [184, 8, { to: { size: room * 8, fill: 0xee } }],
  ];
  return { size, slots };
}

/** Now and then a path that starts from a directory's fd. */
function placeOf(supply: Supply, flags: number): Readonly<Record<string, Value>> {
  const { random } = supply;
  if (!random.once(8)) return { pathname: supply.path(), file_flags: flags };
  return {
    pathname: { text: random.pick(["a", "b", "d/a", ".", ""]) },
    file_flags: flags | bpf.BPF_F_PATH_FD,
    path_fd: supply.fd("other"),
  };
}

function pin(supply: Supply): Draft {
  const { random } = supply;
  const fields = {
    ...placeOf(supply, 0),
    bpf_fd: supply.fd(random.pick(["prog", "map", "link"])),
  };
  return call(bpf.BPF_OBJ_PIN, attrOf(attr.OBJ, fields));
}

function objGet(supply: Supply): Draft {
  const flags = supply.random.pick([0, 0, 0, bpf.BPF_F_RDONLY, bpf.BPF_F_WRONLY, 24, 1]);
  return call(bpf.BPF_OBJ_GET, attrOf(attr.OBJ, placeOf(supply, flags)));
}

function testRun(supply: Supply): Draft {
  const { random } = supply;
  const length = random.pick([14, 20, 60, 60, 60, 64, 100, 1500, 13, 4097]);
  const out = random.pick([0, 10, 56, 64, 128, 1600]);
  const isLookup = random.once(10);
  const context = random.once(5) ? random.pick([48, 56, 64, 72]) : 0;
  const contextOut = random.once(5) ? random.pick([10, 24, 56, 72, 192, 200]) : 0;
  const fields = {
    prog_fd: supply.fd("prog", (facts) => (facts.type === 30) === isLookup),
    data_size_in: length,
    data_in: { to: { size: length, fill: [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5, 7, 8] } },
    data_size_out: out,
    data_out: random.once(3) ? 0 : { to: { size: out, fill: 0xee } },
    repeat: random.pick([0, 1, 1, 3]),
    ctx_size_in: context,
    ctx_in: context === 0 ? 0 : { to: { size: context, slots: contextSlots(random) } },
    ctx_size_out: contextOut,
    ctx_out: contextOut === 0 ? 0 : { to: { size: contextOut, fill: 0xee } },
  };
  return call(
    bpf.BPF_PROG_TEST_RUN,
    attrOf(attr.TEST_RUN, isLookup ? withoutData(fields) : fields),
  );
}

function contextSlots(random: Random): Slot[] {
  return random.once(2) ? [[random.pick([0, 4, 48, 48]), 4, random.below(8)]] : [];
}

function withoutData<T extends object>(fields: T): T {
  return { ...fields, data_size_in: 0, data_in: 0, data_size_out: 0, data_out: 0 };
}

const linkDetach: Maker = (supply) =>
  call(bpf.BPF_LINK_DETACH, attrOf(attr.LINK_DETACH, { link_fd: supply.fd("link") }));

const MAKERS: readonly (readonly [number, Maker])[] = [
  [10, progLoad],
  [6, mapCreate],
  [30, mapCommand],
  [10, linkCreate],
  [8, linkUpdate],
  [3, linkDetach],
  [8, directly],
  [7, query],
  [6, nextId],
  [7, fdById],
  [10, info],
  [7, pin],
  [6, objGet],
  [8, testRun],
  [3, loadBtf],
];

/** Makes up an operation. */
export function generate(supply: Supply, label: Label): Operation {
  const { random, objects } = supply;
  const open = [...objects.open.keys()];
  if (objects.names.size + supply.having("netns").length === 0) {
    return { do: "netns create", name: label };
  }
  if (supply.having("netns").length === 0 && objects.names.size > 0) {
    return { do: "netns open", label, name: random.pick([...objects.names]) };
  }
  if (open.length > MAX_OPEN || (open.length > 0 && random.once(14))) {
    return { do: "close", fd: closing(supply, open) };
  }
  if (random.once(10)) return beside(supply, label, open);
  const draft = random.weighted(MAKERS)(supply);
  const tampered = random.once(5) ? tamper(supply, draft) : draft;
  const as = callerOf(random);
  const operation: BpfOperation = { do: "bpf", label, ...tampered };
  return harmless(as === "root" ? operation : { ...operation, as }, objects);
}

/** Namespaces are dear to make, so they live longer. */
function closing({ random, objects }: Supply, open: readonly Label[]): Label {
  const label = random.pick(open);
  return objects.facts(label)?.kind === "netns" && !random.once(12) ? random.pick(open) : label;
}

function callerOf(random: Random): Caller {
  if (!random.once(12)) return "root";
  return random.pick(["incapable", "stranger", "full"]);
}

/** A call beside bpf(2). */
function beside(supply: Supply, label: Label, open: readonly Label[]): Operation {
  const { random, objects } = supply;
  const path = random.pick(PATHS);
  const fd = open.length > 0 ? random.pick(open) : label;
  const choice = random.weighted([
    [6, "dup"],
    [6, "fdinfo"],
    [2, "fdname"],
    [2, "inode"],
    [3, "open"],
    [3, "mkdir"],
    [2, "rmdir"],
    [6, "unlink"],
    [2, "readdir"],
    [2, "netns"],
  ] as const);
  switch (choice) {
    case "dup":
      return { do: "dup", label, fd };
    case "open":
      return { do: "open", label, path, flags: random.pick([0, 0, O_RDWR, O_PATH, O_DIRECTORY]) };
    case "mkdir":
    case "rmdir":
    case "unlink":
    case "readdir":
      // The directory itself is not the fuzzer's to take away.
      return { do: choice, path: path === "@" && choice !== "readdir" ? "@/d" : path };
    case "netns":
      return namespace(random, objects, label);
    default:
      return { do: choice, fd };
  }
}

function namespace(random: Random, objects: ObjectTable, label: Label): Operation {
  const names = [...objects.names];
  if (names.length === 0 || (names.length < MAX_NAMESPACES && random.once(12))) {
    return { do: "netns create", name: label };
  }
  const name = random.pick(names);
  return random.once(12) ? { do: "netns remove", name } : { do: "netns open", label, name };
}
