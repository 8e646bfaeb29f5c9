/** How much of anything an object file may hold; past it the reader gives up with ObjectError. */

/** Bytes of a whole object file. */
export const MAX_OBJECT_BYTES: number = 256 << 20;

/** ELF sections. */
export const MAX_SECTIONS = 8192;

/** ELF symbols. */
export const MAX_SYMBOLS = 1_000_000;

/**
 * ELF relocations of all sections together. Tables may overlap in the file, so without this a
 * small file could ask for a large memory.
 */
export const MAX_RELOCATIONS = 1_000_000;

/** Characters of one name, path or source line. */
export const MAX_STRING_BYTES = 65536;

/**
 * Bytes that the strings of one table may come to when each is read once. Strings may overlap in
 * a table, so without this a small file could ask for a large memory.
 */
export const MAX_STRINGS_TOTAL_BYTES: number = 32 << 20;

/** BTF types; the limit of Linux (BTF_MAX_TYPE). */
export const MAX_BTF_TYPES = 0xfffff;

/** Typedefs, qualifiers and arrays around one type; Linux resolves 32 as well. */
export const MAX_TYPE_DEPTH = 32;

/** Bytes of one data section or map value: Linux refuses array values past INT_MAX. */
export const MAX_VALUE_BYTES = 0x7fffffff;

/** Programs of one object. */
export const MAX_PROGRAMS = 4096;

/** Maps of one object. */
export const MAX_MAPS = 1024;

/** Slots of a map that an object may initialise (`.values = { ... }`). */
export const MAX_INITIAL_SLOTS = 65536;

/** Functions of one linked program, the main one included; Linux's BPF_MAX_SUBPROGS. */
export const MAX_SUBPROGRAMS = 256;

/** Instruction slots of one linked program; the limit of Linux for a privileged caller. */
export const MAX_PROGRAM_SLOTS = 1_000_000;

/**
 * Instruction slots of all linked programs of one object together. A subprogram is copied into
 * each program that calls it, so without this a small file could ask for a large memory.
 */
export const MAX_LINKED_SLOTS = 4_000_000;

/** Line records of all linked programs of one object together. */
export const MAX_LINKED_LINES = 500_000;
