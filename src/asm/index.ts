/**
 * BPF instructions (RFC 9669, and what Linux 6.18 adds to it): decode, encode, assemble,
 * disassemble. The public entry `nslink/asm`.
 */
export { type AssembleOptions, assemble } from "./assemble.ts";
export { disassemble, formatInstruction, type ListingLine, listing } from "./disassemble.ts";
export {
  decodeInstructions,
  encodeInstructions,
  type Instruction,
  isLoadImm64,
  jumpOffset,
  loadImm64,
  loadImm64Value,
} from "./instruction.ts";
export { AssemblerError } from "./tokens.ts";
