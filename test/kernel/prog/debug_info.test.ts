/**
 * Breaks when func_info and line_info are judged otherwise than by Linux 6.18, or when what info
 * says about a program is not what Linux says.
 */
import { describe, expect, it } from "vitest";
import type { PROG_LOAD } from "../../../src/abi/attr.ts";
import { BPF_MAP_TYPE_ARRAY } from "../../../src/abi/bpf.ts";
import * as E from "../../../src/abi/errno.ts";
import { BTF_INFO, PROG_INFO } from "../../../src/abi/info.ts";
import { decode, encode, type Values } from "../../../src/abi/layout.ts";
import { assemble, decodeInstructions, loadImm64 } from "../../../src/asm/index.ts";
import { btfFromFd, fillBtfInfo } from "../../../src/kernel/bpf/btf.ts";
import { fillProgInfo } from "../../../src/kernel/bpf/prog_info.ts";
import { Bench, bytes, OK } from "./harness.ts";

const STRINGS = "\0int\0f\0x\0main\0/a.c\0r0 = 0\0";

/**
 * [1] int, [2] int (void), [3] static FUNC x: [2], [4] global FUNC f: [2], [5], [6] static: void.
 */
const BTF = btf([
  [1, 0x01000000, 4, 0x01000020],
  [0, 0x0d000000, 1],
  [7, 0x0c000000, 2],
  [5, 0x0c000001, 2],
  [0, 0x0d000000, 0],
  [7, 0x0c000000, 5],
]);
const TWO = assemble("call f\nexit\nf:\nr0 = 0\nexit");
const TAIL = assemble("call f\nexit\nf:\nr2 = 0\nr3 = 0\ncall 12\nr0 = 0\nexit");
const LOOP = assemble(`
  r1 = 3
  r2 = func[f]
  r3 = 0
  r4 = 0
  call 181
  r0 = 0
  exit
f:
  r0 = 0
  exit
`);

function btf(types: readonly (readonly number[])[]): Uint8Array {
  const words = types.flat();
  const out = new Uint8Array(24 + 4 * words.length + STRINGS.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, 0x0001eb9f, true);
  view.setUint32(4, 24, true);
  view.setUint32(12, 4 * words.length, true);
  view.setUint32(16, 4 * words.length, true);
  view.setUint32(20, STRINGS.length, true);
  words.forEach((word, i) => {
    view.setUint32(24 + 4 * i, word, true);
  });
  out.set(new TextEncoder().encode(STRINGS), 24 + 4 * words.length);
  return out;
}

interface Info {
  readonly functions?: readonly (readonly number[])[];
  readonly lines?: readonly (readonly number[])[];
  readonly fields?: Partial<Values<typeof PROG_LOAD>>;
}

function load(bench: Bench, code: Uint8Array, { functions, lines, fields }: Info) {
  const fd = bench.loadBtf(BTF);
  const records = (rows: readonly (readonly number[])[]): bigint =>
    bench.memory.addressOf(new Uint8Array(Uint32Array.from(rows.flat()).buffer));
  const loaded = bench.load(code, {
    prog_btf_fd: fd,
    ...(functions && {
      func_info: records(functions),
      func_info_cnt: functions.length,
      func_info_rec_size: 4 * (functions[0]?.length ?? 0),
    }),
    ...(lines && {
      line_info: records(lines),
      line_info_cnt: lines.length,
      line_info_rec_size: 4 * (lines[0]?.length ?? 0),
    }),
    ...fields,
  });
  bench.task.files.close(fd);
  return loaded;
}

type Case = readonly [name: string, code: Uint8Array, info: Info, result: number, message: string];

const CASES: readonly Case[] = [
  ["static", OK, { functions: [[0, 3]] }, 0, ""],
  ["global", OK, { functions: [[0, 4]] }, 0, ""],
  ["short record", OK, { functions: [[0]] }, -E.EINVAL, "invalid func info rec size 4"],
  [
    "odd record",
    OK,
    { functions: [[0, 3]], fields: { func_info_rec_size: 10 } },
    -E.EINVAL,
    "rec size 10",
  ],
  [
    "huge record",
    OK,
    { functions: [[0, 3]], fields: { func_info_rec_size: 256 } },
    -E.EINVAL,
    "rec size 256",
  ],
  ["longer record", OK, { functions: [[0, 3, 0]] }, 0, ""],
  [
    "longer record, used",
    OK,
    { functions: [[0, 3, 1]] },
    -E.E2BIG,
    "nonzero tailing record in func info",
  ],
  ["first not at 0", OK, { functions: [[1, 3]] }, -E.EINVAL, "nonzero insn_off 1"],
  [
    "same twice",
    TWO,
    {
      functions: [
        [0, 3],
        [0, 3],
      ],
    },
    -E.EINVAL,
    "same or smaller insn offset (0)",
  ],
  [
    "two",
    TWO,
    {
      functions: [
        [0, 3],
        [2, 3],
      ],
    },
    0,
    "",
  ],
  [
    "beside the function",
    TWO,
    {
      functions: [
        [0, 3],
        [3, 3],
      ],
    },
    -E.EINVAL,
    "doesn't match subprog layout",
  ],
  ["one of two", TWO, { functions: [[0, 3]] }, -E.EINVAL, "doesn't match number of subprogs"],
  [
    "two of one",
    OK,
    {
      functions: [
        [0, 3],
        [1, 3],
      ],
    },
    -E.EINVAL,
    "doesn't match number of subprogs",
  ],
  ["no function", OK, { functions: [[0, 1]] }, -E.EINVAL, "invalid type id 1 in func info"],
  ["no type", OK, { functions: [[0, 99]] }, -E.EINVAL, "invalid type id 99 in func info"],
  ["nowhere", OK, { functions: [[0, 3]], fields: { func_info: 0n } }, -E.EFAULT, "processed 0"],
  ["lines", OK, { lines: [[0, 1, 1, 0]] }, 0, ""],
  ["short line", OK, { lines: [[0, 1, 1]] }, -E.EINVAL, "processed 0"],
  ["longer line", OK, { lines: [[0, 1, 1, 0, 0]] }, 0, ""],
  [
    "longer line, used",
    OK,
    { lines: [[0, 1, 1, 0, 1]] },
    -E.E2BIG,
    "nonzero tailing record in line_info",
  ],
  ["first line at 1", OK, { lines: [[1, 1, 1, 0]] }, -E.EINVAL, "missing bpf_line_info for func#0"],
  [
    "line twice",
    OK,
    {
      lines: [
        [0, 1, 1, 0],
        [0, 1, 1, 0],
      ],
    },
    -E.EINVAL,
    "Invalid line_info[1].insn_off:0 (prev_offset:0 prog->len:2)",
  ],
  [
    "line past the end",
    OK,
    {
      lines: [
        [0, 1, 1, 0],
        [2, 1, 1, 0],
      ],
    },
    -E.EINVAL,
    "insn_off:2",
  ],
  [
    "line in lddw",
    assemble("r0 = 1 ll\nexit"),
    {
      lines: [
        [0, 1, 1, 0],
        [1, 1, 1, 0],
      ],
    },
    -E.EINVAL,
    "Invalid insn code at line_info[1]",
  ],
  [
    "no text",
    OK,
    { lines: [[0, 1, 9999, 0]] },
    -E.EINVAL,
    "Invalid line_info[0].line_off or .file_name_off",
  ],
  [
    "no file",
    OK,
    { lines: [[0, 9999, 1, 0]] },
    -E.EINVAL,
    "Invalid line_info[0].line_off or .file_name_off",
  ],
  [
    "function without line",
    TWO,
    { lines: [[0, 1, 1, 0]] },
    -E.EINVAL,
    "for 1 funcs starting from func#1",
  ],
  [
    "function jumped over",
    TWO,
    {
      lines: [
        [0, 1, 1, 0],
        [3, 1, 1, 0],
      ],
    },
    -E.EINVAL,
    "for func#1",
  ],
  [
    "too many lines",
    OK,
    { lines: [[0, 1, 1, 0]], fields: { line_info_cnt: 0x8000000 } },
    -E.EINVAL,
    "processed 0",
  ],
  [
    "lines nowhere",
    OK,
    { lines: [[0, 1, 1, 0]], fields: { line_info: 0n } },
    -E.EFAULT,
    "processed 0",
  ],
  [
    "relocations",
    OK,
    { functions: [[0, 3]], fields: { core_relo_cnt: 1 } },
    -E.EINVAL,
    "processed 0",
  ],
  ["tail call, no info", TAIL, {}, -E.EINVAL, "tail_call is not allowed in subprogs without BTF"],
  [
    "tail call, lines only",
    TAIL,
    {
      lines: [
        [0, 1, 1, 0],
        [2, 1, 1, 0],
      ],
    },
    -E.EINVAL,
    "tail_call is not allowed in subprogs without BTF",
  ],
  [
    "tail call from void",
    TAIL,
    {
      functions: [
        [0, 3],
        [2, 6],
      ],
    },
    -E.EINVAL,
    "tail_call is only allowed in functions that return 'int'",
  ],
  [
    "tail call from int",
    TAIL,
    {
      functions: [
        [0, 3],
        [2, 3],
      ],
    },
    -E.EACCES,
    "R2 type=scalar expected=map_ptr",
  ],
  ["callback without info", LOOP, {}, -E.EINVAL, "missing btf func_info"],
  [
    "callback static",
    LOOP,
    {
      functions: [
        [0, 3],
        [8, 3],
      ],
    },
    0,
    "",
  ],
  [
    "callback global",
    LOOP,
    {
      functions: [
        [0, 3],
        [8, 4],
      ],
    },
    -E.EINVAL,
    "callback function not static",
  ],
];

describe("func_info and line_info", () => {
  it.each(CASES)("%s", (_name, code, info, result, message) => {
    const bench = new Bench();
    const loaded = load(bench, code, info);
    expect([Math.min(loaded.result, 0), loaded.log]).toEqual([
      result,
      expect.stringContaining(message),
    ]);
    bench.task.files.closeAll();
    expect([bench.machine.progs.size, bench.machine.btfs.size]).toEqual([0, 0]);
  });

  it("says how much of a record to keep", () => {
    const bench = new Bench();
    expect(load(bench, OK, { functions: [[0, 3, 1]] }).attr.func_info_rec_size).toBe(8);
    expect(load(bench, OK, { lines: [[0, 1, 1, 0, 1]] }).attr.line_info_rec_size).toBe(16);
  });
});

describe("info", () => {
  type InfoFields = Partial<Values<typeof PROG_INFO>>;

  function boot() {
    const bench = new Bench();
    const map = bench.map(BPF_MAP_TYPE_ARRAY, 8, 4);
    const code = [...loadImm64(1, 1, BigInt(map)), ...decodeInstructions(OK)];
    const fd = bench.load(code, { prog_name: new TextEncoder().encode("abc") }).result;
    const info = (fields: InfoFields, task = bench.task, prog = fd) => {
      const user = encode(PROG_INFO, fields, 232);
      const filled = fillProgInfo(task, bench.prog(prog), user);
      return typeof filled === "number" ? filled : decode(PROG_INFO, filled);
    };
    return { bench, info, fd };
  }

  it("tells what the program is", () => {
    const { bench, info, fd } = boot();
    const prog = bench.prog(fd);
    expect(info({})).toMatchObject({
      type: 22,
      id: prog.id,
      tag: prog.facts.tag,
      jited_prog_len: 0,
      xlated_prog_len: 32,
      load_time: 12_345n,
      created_by_uid: 1000,
      nr_map_ids: 1,
      name: Uint8Array.from([0x61, 0x62, 0x63, ...Array(13).fill(0)]),
      gpl_compatible: 1,
      nr_jited_ksyms: 1,
      nr_jited_func_lens: 1,
      func_info_rec_size: 8,
      line_info_rec_size: 16,
      jited_line_info_rec_size: 8,
      nr_prog_tags: 1,
      verified_insns: 3,
    });
  });

  it("gives what there is room for: map ids, tags, the instructions with map ids", () => {
    const { bench, info, fd } = boot();
    const ids = new Uint8Array(8).fill(0xaa);
    const tags = new Uint8Array(16).fill(0xaa);
    const insns = new Uint8Array(16).fill(0xaa);
    const filled = info({
      nr_map_ids: 2,
      map_ids: bench.memory.addressOf(ids),
      nr_prog_tags: 2,
      prog_tags: bench.memory.addressOf(tags),
      xlated_prog_len: 12,
      xlated_prog_insns: bench.memory.addressOf(insns),
    });
    expect(filled).toMatchObject({ nr_map_ids: 1, nr_prog_tags: 1, xlated_prog_len: 32 });
    expect(ids).toEqual(bytes("01000000aaaaaaaa"));
    expect(tags.subarray(0, 8)).toEqual(bench.prog(fd).facts.tag);
    expect(tags[8]).toBe(0xaa);
    expect(insns).toEqual(bytes("181100000100000000000000aaaaaaaa"));
  });

  it.each<[InfoFields, number]>([
    [{ nr_map_ids: 5 }, -E.EFAULT],
    [{ nr_map_ids: 5, func_info_rec_size: 3 }, -E.EFAULT],
    [{ xlated_prog_len: 16 }, -E.EFAULT],
    [{ nr_prog_tags: 1 }, -E.EFAULT],
    [{ func_info_rec_size: 16 }, -E.EINVAL],
    [{ line_info_rec_size: 8 }, -E.EINVAL],
    [{ jited_line_info_rec_size: 1 }, -E.EINVAL],
    [{ nr_func_info: 1 }, -E.EINVAL],
    [{ nr_line_info: 1 }, -E.EINVAL],
    [{ nr_jited_line_info: 1 }, -E.EINVAL],
  ])("%j is refused", (fields, result) => {
    expect(boot().info(fields)).toBe(result);
  });

  it("counts functions, and gives each a tag", () => {
    const { bench, info } = boot();
    const { result } = bench.load(TWO);
    const tags = new Uint8Array(16);
    const lengths = new Uint8Array(8).fill(0xaa);
    const fields = {
      nr_prog_tags: 2,
      prog_tags: bench.memory.addressOf(tags),
      nr_jited_func_lens: 1,
      jited_func_lens: bench.memory.addressOf(lengths),
      nr_jited_ksyms: 2,
      jited_ksyms: 1n,
    };
    const counts = { nr_prog_tags: 2, nr_jited_func_lens: 2, nr_jited_ksyms: 2, jited_ksyms: 0n };
    expect(info(fields, bench.task, result)).toMatchObject(counts);
    // The tag that Linux gives this function.
    expect(tags.subarray(8)).toEqual(bytes("59f4a931744dcdc6"));
    expect(lengths).toEqual(bytes("00000000aaaaaaaa"));
  });

  it("leaves alone what it has nothing to say about", () => {
    const filled = boot().info({
      netns_dev: 1n,
      ifindex: 7,
      btf_id: 8,
      attach_btf_obj_id: 9,
      attach_btf_id: 9,
      gpl_compatible: 0xeeeeeeee,
      run_cnt: 5n,
    });
    expect(filled).toMatchObject({
      netns_dev: 1n,
      ifindex: 7,
      btf_id: 8,
      attach_btf_obj_id: 9,
      attach_btf_id: 0,
      gpl_compatible: 0xeeeeeeef,
      run_cnt: 0n,
    });
  });

  it("keeps the code from those without CAP_BPF", () => {
    const { bench, info } = boot();
    const filled = info(
      { xlated_prog_len: 32, nr_func_info: 1, func_info_rec_size: 8, nr_prog_tags: 3 },
      bench.spawn([]),
    );
    expect(filled).toMatchObject({ type: 22, nr_map_ids: 1, verified_insns: 3 });
    expect(filled).toMatchObject({ xlated_prog_len: 0, nr_func_info: 0, nr_prog_tags: 3 });
  });

  it("gives func_info and line_info back", () => {
    const { bench, info } = boot();
    const lines = [
      [0, 1, 1, 0],
      [2, 1, 1, 0],
    ];
    const { result } = load(bench, TWO, {
      functions: [
        [0, 3],
        [2, 3],
      ],
      lines,
    });
    const functionRecords = new Uint8Array(16);
    const lineRecords = new Uint8Array(32);
    const filled = info(
      {
        nr_func_info: 2,
        func_info_rec_size: 8,
        func_info: bench.memory.addressOf(functionRecords),
        nr_line_info: 9,
        line_info_rec_size: 16,
        line_info: bench.memory.addressOf(lineRecords),
      },
      bench.task,
      result,
    );
    expect(filled).toMatchObject({ btf_id: 1, nr_func_info: 2, nr_line_info: 2 });
    expect([...new Uint32Array(functionRecords.buffer)]).toEqual([0, 3, 2, 3]);
    expect([...new Uint32Array(lineRecords.buffer)]).toEqual(lines.flat());
    expect(bench.machine.btfs.size).toBe(1);
  });

  it("of BTF copies as much as fits, and its length", () => {
    const bench = new Bench();
    const fd = bench.loadBtf(BTF);
    const found = btfFromFd(bench.task, fd);
    if (typeof found === "number") throw new TypeError(`no BTF: ${found}`);
    const room = new Uint8Array(8);
    const user = { btf: bench.memory.addressOf(room), btf_size: 4 };
    const filled = fillBtfInfo(bench.task, found, encode(BTF_INFO, user, 32));
    if (typeof filled === "number") throw new TypeError(`refused: ${filled}`);
    expect(decode(BTF_INFO, filled)).toMatchObject({ btf_size: BTF.length, id: 1, kernel_btf: 0 });
    expect(room).toEqual(Uint8Array.from([...BTF.subarray(0, 4), 0, 0, 0, 0]));
    const named = encode(BTF_INFO, { name: 1n }, 32);
    expect(fillBtfInfo(bench.task, found, named)).toBe(-E.EINVAL);
    expect(btfFromFd(bench.task, 0)).toBe(-E.EINVAL);
    expect(btfFromFd(bench.task, 99)).toBe(-E.EBADF);
  });
});
