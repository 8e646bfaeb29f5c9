/**
 * Causes that have to do with memory: packets, maps, the stack, contexts, sockets, and the pointers
 * to them.
 */

import { type CauseRule, figures, namedContents, namedRegister } from "./cause.ts";
import type { LogReading } from "./log.ts";

const BITS = 8;
/** Bytes. */
const MAX_BPF_STACK = 512;
const NEGATIVE = /R\d+ min value is negative, either use unsigned index/;

/** How far into the packet the access reaches, from `data` on or from a variable offset. */
function comparePacketEnd(reading: LogReading): string {
  const register = namedRegister(reading).toLowerCase();
  const [off = Number.NaN, size = Number.NaN, id] = figures(reading, "off", "size", "id");
  if (Number.isNaN(off + size)) {
    return "bound the offset, then compare the end of the access with data_end before it";
  }
  const from = id === 0 ? "data" : "p";
  const compare = `compare ${from} + ${off + size} with data_end before this access`;
  return id === 0 ? compare : `${compare}; p is ${register} without the constants added to it`;
}

/** Bytes that a message or its instruction is about; NaN when neither says so. */
function accessSize(reading: LogReading): number {
  const [size = Number.NaN] = figures(reading, "size");
  const bits = Number(/\((?:u|s)(\d+) \*\)/.exec(reading.instruction)?.[1] ?? "NaN");
  return Number.isNaN(size) ? bits / BITS : size;
}

function compareIndex(reading: LogReading): string {
  const [said = Number.NaN] = figures(reading, "value_size");
  const [held = Number.NaN] = figures({ message: namedContents(reading) }, "vs");
  const total = Number.isNaN(said) ? held : said;
  const size = accessSize(reading);
  if (Number.isNaN(total + size)) {
    return "bound the index from below and above before it is added to the pointer";
  }
  return (
    `keep the offset between 0 and ${total - size}: the value has ${total} bytes, ` +
    `and ${size} are accessed`
  );
}

/** A task without CAP_PERFMON has no more of a stack than it wrote. */
function isWithinStack(reading: LogReading): boolean {
  const [off = 0, size = 0] = figures(reading, "off", "size");
  return off >= -MAX_BPF_STACK && off + size <= 0;
}

function checkNull(reading: LogReading): string {
  const register = namedRegister(reading).toLowerCase();
  return `compare ${register === "" ? "the pointer" : register} with 0 (NULL) before it is used`;
}

export const MEMORY_CAUSES: readonly CauseRule[] = [
  {
    id: "uninitialized-register",
    sentence: "a register is read into which nothing was put on this path",
    mend: "give the variable a value on every path that leads here; calls destroy r1 to r5",
    words: [/R\d+ !read_ok/, /variable \? access/],
  },
  {
    id: "unchecked-packet-access",
    sentence: "the packet may end before this access does",
    mend: comparePacketEnd,
    words: [/invalid access to packet/, /offset is outside of the packet/],
  },
  {
    id: "unchecked-packet-access",
    sentence: "the packet may begin behind this access",
    mend: "use an unsigned offset, or leave when it is less than 0",
    words: [NEGATIVE],
    when: (reading) => namedContents(reading).startsWith("pkt"),
  },
  {
    id: "packet-write",
    sentence: "programs of this type only read packets",
    mend: "leave the store out, or do it in an XDP program",
    words: [/cannot write into packet/],
  },
  {
    id: "map-value-bounds",
    sentence: "the access may reach beyond the map's value",
    mend: compareIndex,
    words: [/invalid access to map value, /, /arithmetic of map value goes out of range/],
  },
  {
    id: "map-value-bounds",
    sentence: "the access may reach beyond the map's value",
    mend: compareIndex,
    words: [NEGATIVE, /R\d+ unbounded memory access, make sure to bounds check/],
    when: (reading) => namedContents(reading).startsWith("map_value"),
  },
  {
    id: "memory-bounds",
    sentence: "the access may reach beyond the memory that the pointer is for",
    mend: "bound the offset from below and above before it is added to the pointer",
    words: [
      /invalid access to (?:map key|memory)/,
      /R\d+ unbounded memory access, make sure to bounds check/,
      NEGATIVE,
      /value is outside of the allowed memory range/,
    ],
  },
  {
    id: "map-access-forbidden",
    sentence: "programs may not access this map, or its keys, in this way",
    mend: "create the map without BPF_F_RDONLY_PROG or BPF_F_WRONLY_PROG; keys are never written",
    words: [
      /(?:write into|read from) map forbidden/,
      /write to change key/,
      /R\d+ cannot write into (?:map_key|rdonly_mem)/,
    ],
  },
  {
    id: "stack-uninitialized",
    sentence: "bytes of the stack are read that were not written on this path",
    mend: "write all of the bytes first (= {0}, or memset for the padding of structs)",
    words: [
      /invalid (?:indirect )?read from stack (?:R\d+ )?(?:off|var_off) [^=]/,
      /invalid read from stack off/,
    ],
  },
  {
    id: "stack-uninitialized",
    sentence: "bytes of the stack are read that were not written on this path",
    mend: "write all of the bytes first (= {0}, or memset for the padding of structs)",
    words: [/invalid read from stack R\d+ off=/],
    when: isWithinStack,
  },
  {
    id: "stack-bounds",
    sentence: "the access may leave the function's stack",
    mend: "a stack is the 512 bytes below r10: bound the index, or put large things into a map",
    words: [
      /invalid .*\bstack R\d+/,
      /invalid stack (?:type|off)/,
      /stack pointer arithmetic goes out of range/,
    ],
  },
  {
    id: "stack-spill",
    sentence: "a pointer in the stack is written or read in part",
    mend: "store and load pointers as a whole: 8 bytes at a multiple of 8, at a known offset",
    words: [
      /invalid size of register (?:fill|spill)/,
      /cannot spill pointers to stack into stack frame of the caller/,
      /spilled ptr in range of var-offset stack write/,
      /corrupted spill memory/,
    ],
  },
  {
    id: "misaligned",
    sentence: "the address is no multiple of the access's size",
    mend: "access byte by byte, or move the data to a multiple of its size",
    words: [/misaligned .*access/],
  },
  {
    id: "context-access",
    sentence: "the context has no field there that may be accessed in this way",
    mend: "access fields of the context by their names: at their own offsets, in their own widths",
    words: [
      /invalid bpf_context access/,
      /dereference of modified ctx ptr/,
      /negative offset ctx ptr/,
      /variable ctx access/,
    ],
  },
  {
    id: "flow-keys-access",
    sentence: "the access leaves struct bpf_flow_keys",
    mend: "stay within its 56 bytes, at offsets that are known when the program is compiled",
    words: [/invalid access to flow keys/],
  },
  {
    id: "socket-access",
    sentence: "the socket has no field there that may be accessed in this way",
    mend: "read fields of struct bpf_sock by their names; sockets are never written",
    words: [
      /R\d+ invalid (?:sock|sock_common|tcp_sock|xdp_sock) access/,
      /R\d+ cannot write into (?:sock|sock_common|tcp_sock|xdp_sock)/,
    ],
  },
  {
    id: "maybe-null",
    sentence: "the pointer may be NULL here",
    mend: checkNull,
    words: [
      /invalid mem access '\w+_or_null'/,
      /_or_null prohibited, null-check it first/,
      /R\d+ type=\w+_or_null expected=/,
      /Possibly NULL pointer passed/,
    ],
  },
  {
    id: "not-a-pointer",
    sentence: "this is no pointer by which memory may be accessed here",
    mend:
      "use the pointer as it came from the context, a map or the stack: numbers made of " +
      "pointers, and the end of the packet, are none",
    words: [
      /R\d+ invalid mem access '/,
      /only read from \w+ is supported/,
      /BPF_ATOMIC (?:stores into|loads from) R\d+ \w+ is not allowed/,
    ],
  },
  {
    id: "pointer-leak",
    sentence: "a task without CAP_PERFMON would learn an address of the kernel",
    mend: "keep pointers out of maps, packets and results, or load with CAP_PERFMON",
    words: [
      /R\d+ leaks addr/,
      /leaking pointer from stack/,
      /R\d+ (?:partial copy|sign-extension part) of pointer/,
      /R\d+ pointer arithmetic prohibited/,
      /attempt to corrupt spilled pointer on stack/,
      /variable (?:offset )?stack (?:access|pointer) /,
    ],
  },
  {
    id: "speculative-access",
    sentence: "a task without CAP_PERFMON could read beyond bounds speculatively",
    mend: "load with CAP_PERFMON, or add to the pointer on one path only",
    words: [
      /R\d+ tried to \w+ (?:from different (?:maps|pointers)|beyond pointer bounds)/,
      /R\d+ has (?:unknown scalar with mixed signed bounds|pointer with unsupported alu operation)/,
    ],
  },
  {
    id: "pointer-comparison",
    sentence: "a task without CAP_PERFMON may not compare these pointers",
    mend: "compare pointers only with NULL, and packet pointers with data_end",
    words: [/R\d+ pointer comparison prohibited/],
  },
  {
    id: "mixed-pointers",
    sentence: "one instruction would access different kinds of memory",
    mend: "give each kind of pointer an access of its own",
    words: [/same insn cannot be used with different pointers/],
  },
  {
    id: "pointer-bounds",
    sentence: "what is added to the pointer may be anything, or too much",
    mend: "bound the number before it is added to the pointer: var &= const, or if (var < const)",
    words: [
      /math between .* pointer and/,
      /pointer offset -?\d+ is not allowed/,
      /makes .* pointer be out of bounds/,
    ],
  },
  {
    id: "pointer-arithmetic",
    sentence: "this arithmetic is not for pointers of this kind",
    mend: "only add numbers to, or subtract them from, pointers to packets, values and the stack",
    words: [
      /pointer arithmetic on \S+ prohibited/,
      /bitwise operator \S+ on pointer/,
      /pointer arithmetic with \S+ operator/,
      /32-bit pointer arithmetic/,
      /tried to subtract pointer from scalar/,
      /subtraction from stack pointer/,
      /R\d+ pointer \S+ pointer prohibited/,
      /dereference of modified \S+ ptr/,
      /negative offset \S+ ptr/,
      /variable \S+ access var_off=\S+ .*disallowed/,
    ],
  },
];
