/**
 * Causes that have to do with calls: of helpers, of functions of the program and of other
 * programs, and with what they return.
 */

import type { CauseRule } from "./cause.ts";

export const CALL_CAUSES: readonly CauseRule[] = [
  {
    id: "helper-not-embedded",
    sentence: "Linux has this helper, the embedded kernel hasn't",
    mend: "verify with --kernel linux, or do without the helper",
    words: [/^Linux has helper/m],
  },
  {
    id: "map-fields-not-embedded",
    sentence:
      "Linux lets programs use this map's locks, timers or pointers, the embedded kernel doesn't",
    mend: "verify with --kernel linux, or leave such fields out of the map's values",
    words: [/its values hold .*, the embedded kernel does not/],
  },
  {
    id: "map-fields-not-for-type",
    sentence: "programs of this type may not use maps with such a lock",
    mend: "leave the lock out of the map's values, or use another map",
    words: [/progs cannot use bpf_(res_)?spin_lock yet/],
  },
  {
    id: "helper-missing",
    sentence: "this kernel has no such helper",
    mend: "load on a newer Linux, or do without the helper",
    words: [/invalid func \w+#/, /unknown func \w+#/],
  },
  {
    id: "helper-not-for-type",
    sentence: "programs of this type may not call this helper",
    mend: "leave the call out; some helpers want CAP_BPF or CAP_PERFMON",
    words: [/program of this type cannot use helper/, /helper call is not allowed in probe/],
  },
  {
    id: "helper-gpl-only",
    sentence: "only programs under a GPL-compatible license may call this",
    mend: 'give the object the license "GPL", if that is yours to give',
    words: [/from non-GPL compatible program/],
  },
  {
    id: "unprivileged-function",
    sentence: "a task without CAP_BPF calls no functions of its own or the kernel's, nor names any",
    mend: "let the compiler inline them (always_inline), or load with CAP_BPF",
    words: [/other bpf or kernel functions are allowed for CAP_BPF/],
  },
  {
    id: "kernel-function",
    sentence: "the program may not call this kernel function",
    mend: "use a helper in its place, if there is one",
    words: [/kernel function/, /^Linux has kernel functions/m],
  },
  {
    id: "helper-size",
    sentence: "the size that is passed may be negative, zero or too large",
    mend: "bound the size before the call: unsigned, above 0, and no more than the memory has",
    words: [
      /min value is negative, either use unsigned or 'var &= const'/,
      /invalid zero-sized read/,
      /unbounded memory access, use 'var &= const'/,
    ],
  },
  {
    id: "helper-map",
    sentence: "the helper doesn't work on this kind of map",
    mend: "pass a map of a kind that the helper is for",
    words: [
      /cannot pass map_type \d+ into func/,
      /callback function not allowed for map/,
      /expected prog array map for tail call/,
      /map->(?:key|value)/,
    ],
  },
  {
    id: "unreleased-reference",
    sentence: "a reference that the program took would be lost",
    mend: "release what a lookup returned on every path on which it isn't NULL",
    words: [/Unreleased reference/, /would lead to reference leak/],
  },
  {
    id: "not-a-reference",
    sentence: "what is released is no reference that the program holds",
    mend: "release once, and only what a lookup returned",
    words: [
      /must be referenced when passed to release function/,
      /reference has not been acquired before/,
      /expects refcounted /,
    ],
  },
  {
    id: "held-lock",
    sentence: "this must not be done with a lock held, or the lock is used wrongly",
    mend: "take the lock last, release it on every path, and call nothing in between",
    words: [/spin_lock/, /holding a lock/, /-locked region/],
  },
  {
    id: "callback-return",
    sentence: "a callback may return something else than 0 or 1",
    mend: "return 0 to go on and 1 to stop",
    words: [/At callback return the register R0/, /^R0 not a scalar value/m],
  },
  {
    id: "return-value",
    sentence: "the program or function may return what it must not",
    mend: "return one of the values that programs of this type may return, on every path",
    words: [
      /At (?:program|subprogram) exit the register R0/,
      /cannot return stack pointer to the caller/,
    ],
  },
  {
    id: "call-depth",
    sentence: "functions call each other more than 8 deep, or themselves",
    mend: "call fewer functions within each other (always_inline), and none recursively",
    words: [/the call stack of \d+ frames is too deep/, /recursive call from/],
  },
  {
    id: "stack-depth",
    sentence: "functions that call each other take more stack than 512 bytes together",
    mend: "use less stack, or put large things into a map",
    words: [/combined stack size of \d+ calls/, /tail_calls are not allowed when call stack/],
    isGeneral: true,
  },
  {
    id: "tail-call-place",
    sentence:
      "a tail call, or a load from the packet by BPF_LD, stands in a function that can't have it",
    mend: "do it in the main function, or compile with -g and let the function return int",
    words: [
      /(?:tail_call|LD_ABS) is not allowed in subprogs/,
      /(?:tail_call|LD_ABS) is only allowed in functions that return 'int'/,
    ],
    isGeneral: true,
  },
  {
    id: "tail-call-map",
    sentence: "a tail call goes through several maps, and one was made without CAP_PERFMON",
    mend: "give each map a tail call of its own, or make the maps with CAP_PERFMON",
    words: [/tail_call abusing map_ptr/],
  },
  {
    id: "callback",
    sentence: "this function can't be a callback",
    mend: "pass a static function of this object, compiled with -g",
    words: [/callback function not static/, /missing btf func_info/, /is not a callback/],
  },
  {
    id: "call-argument",
    sentence: "the function is called with what its BTF signature doesn't take",
    mend: "pass what it declares, or make the function static: then it is verified with its caller",
    words: [
      /arg#\d+/i,
      /Caller passes invalid args/,
      /Global function \S+ return/i,
      /Invalid type of function/,
      /R\d+ is not a scalar/,
      /R\d+ type=\S+ expected=fp, pkt, map_value/,
      /has to return|returns? void|has \d+ > \d+ args/i,
    ],
  },
  {
    id: "helper-argument",
    sentence: "the helper is passed what it doesn't take",
    mend: "pass what its prototype asks for",
    words: [
      /R\d+ type=\S+ expected=/,
      /helper access to the packet is not allowed/,
      /does not point to a readonly map/,
      /is not a constant address/,
      /string is not zero-terminated/,
      /R\d+ must be a known constant/,
      /R\d+ is not a known constant/,
    ],
  },
];
