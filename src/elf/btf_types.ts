/** Questions about BTF types: what is behind typedefs, how large is it, how is it written in C. */

import type { Btf, BtfType } from "./btf.ts";
import { MAX_TYPE_DEPTH } from "./limits.ts";

const POINTER_BYTES = 8;
const VOID: BtfType = { kind: "void", id: 0, name: "", offset: 0 };

/** A type by its id; void if there is no such id. */
export function typeById(btf: Btf, id: number): BtfType {
  return btf.types[id] ?? VOID;
}

/**
 * The type behind typedefs, qualifiers and tags. It may be one of these still, if they form a
 * circle or are nested deeper than Linux would resolve them.
 */
export function resolveType(btf: Btf, id: number): BtfType {
  let type = typeById(btf, id);
  for (let depth = 0; depth < MAX_TYPE_DEPTH; depth++) {
    switch (type.kind) {
      case "typedef":
      case "volatile":
      case "const":
      case "restrict":
      case "type_tag":
        type = typeById(btf, type.type);
        break;
      default:
        return type;
    }
  }
  return type;
}

/** Bytes that a value of the type takes; undefined for what has no size (void, functions). */
export function sizeOfType(btf: Btf, id: number): number | undefined {
  let elements = 1;
  let type = resolveType(btf, id);
  for (let depth = 0; type.kind === "array" && depth < MAX_TYPE_DEPTH; depth++) {
    elements *= type.length;
    type = resolveType(btf, type.elementType);
  }
  switch (type.kind) {
    case "ptr":
      return elements * POINTER_BYTES;
    case "int":
    case "float":
    case "enum":
    case "enum64":
    case "struct":
    case "union":
      return elements * type.size;
    default:
      return undefined;
  }
}

/**
 * A type as C would name it: `struct flow`, `const char *`, `__u32[4]`, `int (*)()`.
 *
 * @param id - a type id; one that doesn't exist reads as `void`.
 */
export function formatType(btf: Btf, id: number): string {
  return format(btf, id, "", 0).trimEnd();
}

/** Whether it is a pointer, with whatever qualifiers. */
function isQualifiedPointer(btf: Btf, id: number): boolean {
  let type = typeById(btf, id);
  for (let depth = 0; depth < MAX_TYPE_DEPTH; depth++) {
    if (type.kind !== "volatile" && type.kind !== "const" && type.kind !== "restrict") break;
    type = typeById(btf, type.type);
  }
  return type.kind === "ptr";
}

/** Puts the type's words around `declarator`, from the inside out, as C's grammar has it. */
function format(btf: Btf, id: number, declarator: string, depth: number): string {
  if (depth > MAX_TYPE_DEPTH) return `... ${declarator}`;
  const type = typeById(btf, id);
  const inner = (next: number, text: string): string => format(btf, next, text, depth + 1);
  switch (type.kind) {
    case "ptr": {
      const target = typeById(btf, type.type).kind;
      const needsParentheses = target === "array" || target === "func_proto";
      return inner(type.type, needsParentheses ? `(*${declarator})` : `*${declarator}`);
    }
    case "array":
      return inner(type.elementType, `${declarator}[${type.length || ""}]`);
    case "func_proto":
      return inner(type.returnType, `${declarator}()`);
    case "volatile":
    case "const":
    case "restrict": {
      // A qualifier of a pointer stands behind its star, all others before the type's name.
      if (isQualifiedPointer(btf, type.type)) {
        const words = declarator === "" ? type.kind : `${type.kind} ${declarator.trimStart()}`;
        return inner(type.type, ` ${words}`);
      }
      return `${type.kind} ${inner(type.type, declarator)}`;
    }
    case "type_tag":
      return inner(type.type, declarator);
    case "func":
    case "var":
    case "decl_tag":
      return inner(type.type, `${type.name}${declarator}`);
    case "struct":
    case "union":
      return join(`${type.kind} ${type.name || "{...}"}`, declarator);
    case "enum":
    case "enum64":
      return join(`enum ${type.name || "{...}"}`, declarator);
    case "fwd":
      return join(`${type.of} ${type.name}`, declarator);
    case "void":
      return join("void", declarator);
    default:
      return join(type.name, declarator);
  }
}

function join(words: string, declarator: string): string {
  if (declarator.startsWith("[") || declarator.startsWith(" ")) return `${words}${declarator}`;
  return `${words} ${declarator}`;
}
