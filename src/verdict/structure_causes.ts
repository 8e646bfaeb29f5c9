/**
 * Causes that have to do with how a program is built: instructions, jumps and loops, maps that it
 * names, types and source lines.
 */

import type { CauseRule } from "./cause.ts";

export const STRUCTURE_CAUSES: readonly CauseRule[] = [
  {
    id: "endless-loop",
    sentence: "a loop goes on without coming nearer to an end",
    mend: "count towards a bound that is known, or use bpf_loop or may_goto",
    words: [/infinite loop detected/],
  },
  {
    id: "unprivileged-loop",
    sentence: "a task without CAP_BPF loads no loops (before Linux 5.3 nobody does)",
    mend: "unroll the loop (#pragma unroll), or load with CAP_BPF",
    words: [/back-edge from insn/],
  },
  {
    id: "too-complex",
    sentence: "there are more paths than the verifier walks",
    mend: "make loops shorter, put bodies into global functions, or use bpf_loop",
    words: [/BPF program is too large/, /sequence of \d+ jumps is too complex/, /too many states/],
    isGeneral: true,
  },
  {
    id: "unreachable-code",
    sentence: "no path leads to an instruction",
    mend: "take the dead code out; compilers do",
    words: [/unreachable insn/],
  },
  {
    id: "bad-jump",
    sentence: "a jump or call leads where no instruction of the function begins",
    mend: "let each function end with exit or a jump, and jump only within it",
    words: [
      /jump out of range/,
      /last insn is not an exit or jmp/,
      /jump into the middle of ldimm64/,
      /call to invalid destination/,
      /invalid insn idx/,
    ],
  },
  {
    id: "too-many-functions",
    sentence: "the program has more than 256 functions",
    mend: "inline some of them",
    words: [/too many subprograms/],
    isGeneral: true,
  },
  {
    id: "legacy-packet-load",
    sentence: "loads from the packet by BPF_LD are for socket filters, with the context in r6",
    mend: "use bpf_skb_load_bytes, or data and data_end",
    words: [/BPF_LD_\[ABS\|IND\] instructions not allowed/, /R6 != pointer to skb/],
  },
  {
    id: "bad-map",
    sentence: "the program names a map that it can't use",
    mend: "let the loader fill in fds of maps that exist; only arrays have addresses of values",
    words: [
      /is not pointing to valid bpf_map/,
      /direct value offset/,
      /no direct value access support/,
      /invalid access to map value pointer/,
      /fd_idx without fd_array/,
      /fd_array_cnt is too big/,
      /number of maps per program has reached/,
      /excl_prog_hash/,
      /map type is not supported|cannot be used with|tracing progs cannot use/,
    ],
    isGeneral: true,
  },
  {
    id: "bad-debug-info",
    sentence: "the types or source lines don't fit the program",
    mend: "load without them, or compile and link again",
    words: [
      /func_info|line_info|func info|line_off|insn_off|linfo/i,
      /nonzero tailing record/,
      /core_relo/,
    ],
    isGeneral: true,
  },
  {
    id: "sleepable",
    sentence: "programs of this type can't be sleepable",
    mend: "load without BPF_F_SLEEPABLE",
    words: [/can(?:'t)? be sleepable/],
    isGeneral: true,
  },
  {
    id: "bad-instruction",
    sentence: "there is no such instruction, or not with these operands",
    mend: "compile with clang -target bpf, for no newer -mcpu than the kernel knows",
    words: [
      /uses? reserved fields/,
      /unknown opcode/,
      /invalid shift/,
      /div by zero/,
      /R\d+ is invalid/,
      /frame pointer is read only/,
      /atomic op/,
      /bpf_ld_imm64 insn/i,
      /BPF_LD_IMM/,
      /addr_space_cast/,
      /invalid may_goto/,
      /unknown insn class/,
      /invalid BPF_/,
    ],
  },
];
