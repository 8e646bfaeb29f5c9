/**
 * The programs that the fuzzer loads: each is good on every kernel, or breaks a rule of structure.
 * What only a verifier would find is not here.
 */

import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_PROG_ARRAY,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
} from "../../src/abi/bpf.ts";
import { assemble, encodeInstructions, type Instruction } from "../../src/asm/index.ts";
import type { Facts } from "./objects.ts";
import type { Block, Label } from "./operation.ts";

/** A program with a place for a map's fd. */
export interface ProgramText {
  readonly type: number;
  readonly bytes: readonly number[];
  /** Where the map's fd goes; -1 when there is no map. */
  readonly mapAt: number;
  /** Whether it works with a map. */
  readonly takes: (map: Facts) => boolean;
}

const MAP_MARK = 0x5ca1ab1e;
const NO_MAP = -1;

const isCounter = (map: Facts): boolean =>
  (map.type === BPF_MAP_TYPE_ARRAY || map.type === BPF_MAP_TYPE_HASH) &&
  map.keySize === 4 &&
  map.valueSize === 8 &&
  (map.flags & ~1) === 0;
const isProgArray = (map: Facts): boolean => map.type === BPF_MAP_TYPE_PROG_ARRAY;

function program(
  type: number,
  text: string,
  takes: (map: Facts) => boolean = () => true,
): ProgramText {
  const bytes = assemble(text, { constants: { m: MAP_MARK } });
  const mapAt = Buffer.from(bytes).indexOf(Buffer.from(Uint32Array.of(MAP_MARK).buffer));
  return { type, bytes: [...bytes], mapAt: mapAt < 0 ? NO_MAP : mapAt, takes };
}

const DISSECTOR = BPF_PROG_TYPE_FLOW_DISSECTOR;
const BOUNDS = "r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)";
const XDP_BOUNDS = "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)";
const ELEMENT = "*(u32 *)(r10 - 4) = 1\nr2 = r10\nr2 += -4\nr1 = map_fd[m]";

const returning = (type: number, ...numbers: number[]): ProgramText[] =>
  numbers.map((number) => program(type, `r0 = ${number}\nexit`));

/** Programs that every kernel takes. */
export const GOOD_PROGRAMS: readonly ProgramText[] = [
  ...returning(DISSECTOR, 0, 2, 129, -1, 77),
  ...returning(BPF_PROG_TYPE_SOCKET_FILTER, 0, -1, 60),
  ...returning(BPF_PROG_TYPE_XDP, 0, 1, 2, 3),
  ...returning(BPF_PROG_TYPE_SK_LOOKUP, 0, 1),
  program(
    DISSECTOR,
    "r2 = *(u64 *)(r1 + 144)\n*(u16 *)(r2 + 0) = 20\n*(u16 *)(r2 + 2) = 3000\nr0 = 0\nexit",
  ),
  program(
    DISSECTOR,
    "r2 = *(u64 *)(r1 + 144)\n*(u8 *)(r2 + 9) = 6\n*(u64 *)(r2 + 32) = -2\nr0 = 129\nexit",
  ),
  program(
    DISSECTOR,
    `${BOUNDS}\nr0 = 7\nr4 = r2\nr4 += 14\nif r4 > r3 goto out\nr0 = *(u8 *)(r2 + 12)\nout:\nexit`,
  ),
  program(DISSECTOR, `${BOUNDS}\nr0 = r3\nr0 -= r2\nexit`),
  program(DISSECTOR, "r2 = *(u64 *)(r1 + 144)\nr0 = *(u16 *)(r2 + 0)\nexit"),
  program(BPF_PROG_TYPE_SOCKET_FILTER, "r0 = *(u32 *)(r1 + 0)\nexit"),
  program(BPF_PROG_TYPE_SOCKET_FILTER, "r6 = r1\nr0 = *(u16 *)skb[0]\nexit"),
  program(
    BPF_PROG_TYPE_XDP,
    `${XDP_BOUNDS}\nr0 = 1\nr4 = r2\nr4 += 14\nif r4 > r3 goto out\n` +
      "*(u8 *)(r2 + 0) = 9\nr0 = 2\nout:\nexit",
  ),
  ...[DISSECTOR, BPF_PROG_TYPE_XDP].flatMap((type) => [
    program(
      type,
      `${ELEMENT}\ncall bpf_map_lookup_elem\nif r0 == 0 goto none\nr1 = *(u64 *)(r0 + 0)\n` +
        `r1 += 1\n*(u64 *)(r0 + 0) = r1\nr0 = r1\nexit\nnone:\nr0 = 99\nexit`,
      isCounter,
    ),
    program(
      type,
      `*(u64 *)(r10 - 16) = 513\n${ELEMENT}\nr3 = r10\nr3 += -16\nr4 = 0\n` +
        "call bpf_map_update_elem\nexit",
      isCounter,
    ),
    program(type, `${ELEMENT}\ncall bpf_map_delete_elem\nexit`, isCounter),
    program(type, "r2 = map_fd[m]\nr3 = 0\ncall bpf_tail_call\nr0 = 77\nexit", isProgArray),
    program(type, "r2 = map_fd[m]\nr3 = 1\ncall bpf_tail_call\nr0 = 78\nexit", isProgArray),
  ]),
  program(DISSECTOR, "r1 = map_fd[m]\nr0 = 0\nexit", isCounter),
];

const insn = (opcode: number, fields: Partial<Instruction> = {}): Instruction => ({
  opcode,
  dst: 0,
  src: 0,
  off: 0,
  imm: 0,
  ...fields,
});
const MOV = insn(0xb7);
const EXIT = insn(0x95);

function broken(...instructions: Instruction[]): ProgramText {
  const bytes = [...encodeInstructions(instructions)];
  return { type: DISSECTOR, bytes, mapAt: NO_MAP, takes: () => true };
}

/** Programs that break a rule of structure: no kernel takes them. */
export const BROKEN_PROGRAMS: readonly ProgramText[] = [
  broken(MOV),
  broken(insn(0xff), EXIT),
  broken(insn(0xb7, { dst: 11 }), EXIT),
  broken(insn(0xb7, { src: 1 }), EXIT),
  broken(insn(0xb7, { off: 1 }), EXIT),
  broken(MOV, insn(0x05, { off: 5 }), EXIT),
  broken(MOV, insn(0x05, { off: -3 }), EXIT),
  broken(MOV, insn(0x95, { imm: 1 })),
  broken(MOV, EXIT, MOV, EXIT),
  broken(insn(0x18, { dst: 0 })),
  broken(insn(0x18, { dst: 0 }), insn(0, { dst: 1 }), EXIT),
  broken(insn(0x18, { dst: 1, src: 9 }), insn(0), MOV, EXIT),
  broken(insn(0x18, { dst: 1, src: 1, imm: 999_999 }), insn(0), MOV, EXIT),
  broken(insn(0x18, { dst: 1, src: 1, imm: 1 }), insn(0), MOV, EXIT),
  broken(MOV, insn(0x85, { imm: 9999 }), EXIT),
  broken(MOV, insn(0x85, { src: 1, imm: 70 }), EXIT),
  broken(MOV, insn(0x37, { imm: 0 }), EXIT),
  broken(MOV, insn(0x67, { imm: 64 }), EXIT),
];

/** The instructions as a block, with a map's fd where there is one. */
export function instructionsOf({ bytes, mapAt }: ProgramText, map: Label | null): Block {
  const block = { size: bytes.length, fill: bytes };
  return mapAt === NO_MAP || map === null ? block : { ...block, slots: [[mapAt, 4, { fd: map }]] };
}
