/**
 * What a function takes, as its BTF signature and the tags of its arguments have it. Analogous to
 * btf_prepare_func_args() in kernel/bpf/btf.c.
 */

import { EINVAL, ENOENT, EOPNOTSUPP } from "../../abi/errno.ts";
import type { Btf } from "../bpf/btf.ts";
import * as KIND from "./btf_parse.ts";
import type { Subject } from "./environment.ts";

/** linkage of a FUNC (BTF_FUNC_GLOBAL) */
const GLOBAL = 1;
const MAX_ARGUMENTS = 5;
const TAG_PREFIX = "arg:";
const TAGS: ReadonlySet<string> = new Set([
  "ctx",
  "trusted",
  "untrusted",
  "nonnull",
  "nullable",
  "arena",
]);
/** What the kernel has where programs have a context, whose name stands for the context's, too. */
const PROJECTED: Readonly<Record<string, string>> = { __sk_buff: "sk_buff", xdp_md: "xdp_buff" };

/** An argument as its BTF type has it. */
export type Parameter =
  | { readonly kind: "number" }
  | { readonly kind: "context" }
  | { readonly kind: "memory"; readonly size: number; readonly mayBeNull: boolean };

/** The signature can't be used. */
export interface PrototypeFault {
  /** Positive. */
  readonly errno: number;
  /** For the log; "" when Linux says nothing. */
  readonly text: string;
}

function indexOf({ subprograms }: Subject, start: number): number {
  return subprograms.findIndex((subprogram) => subprogram.start === start);
}

/** Whether the function that begins there is verified by itself. */
export function isGlobal(subject: Subject, start: number): boolean {
  const { functions } = subject;
  if (functions === null) return false;
  return functions.btf.type(functions.typeIds[indexOf(subject, start)] ?? 0)?.vlen === GLOBAL;
}

/** A function's index, and its name in BTF; "" without. */
export function functionName(
  subject: Subject,
  start: number,
): { readonly index: number; readonly name: string } {
  const { functions } = subject;
  const index = indexOf(subject, start);
  const type = functions?.btf.type(functions.typeIds[index] ?? 0);
  return { index, name: functions?.btf.name(type?.name ?? 0) ?? "" };
}

/** What a function takes. Without BTF nothing is known of that: no arguments. */
export function parametersOf(subject: Subject, start: number): Parameter[] | PrototypeFault {
  const { functions } = subject;
  if (functions === null) return [];
  const { btf } = functions;
  const typeId = functions.typeIds[indexOf(subject, start)] ?? 0;
  const type = btf.type(typeId);
  const name = btf.name(type?.name ?? 0) ?? "";
  const speaks = type?.vlen === GLOBAL;
  const fault = (text: string): PrototypeFault => ({ errno: EINVAL, text: speaks ? text : "" });
  const prototype = btf.type(type?.sizeOrType ?? 0) ?? null;
  if (prototype === null) return fault(`Invalid type of function ${name}()`);
  const given = btf.parameters(prototype);
  if (given.length > MAX_ARGUMENTS) {
    const count = `${given.length} > ${MAX_ARGUMENTS}`;
    return fault(`Global function ${name}() with ${count} args. Buggy compiler.`);
  }
  if (!isNumber(btf.typeBehind(prototype.sizeOrType)?.kind)) {
    const text = `Global function ${name}() doesn't return scalar. Only those are supported.`;
    return fault(text);
  }
  const parameters: Parameter[] = [];
  for (const [index, id] of given.entries()) {
    const tags = btf.argumentTags(typeId, index).filter((tag) => tag.startsWith(TAG_PREFIX));
    const owner = { name, isGlobal: speaks, context: subject.layout.name };
    const found = parameterOf(btf, id, index, new Set(tags.map(withoutPrefix)), owner);
    if ("errno" in found) return found;
    parameters.push(found);
  }
  return parameters;
}

function withoutPrefix(tag: string): string {
  return tag.slice(TAG_PREFIX.length);
}

function isNumber(kind: number | undefined): boolean {
  return kind === KIND.BTF_KIND_INT || kind === KIND.BTF_KIND_ENUM || kind === KIND.BTF_KIND_ENUM64;
}

/** The function that an argument is of. */
interface Owner {
  readonly name: string;
  readonly isGlobal: boolean;
  /** The struct that programs of this type get. */
  readonly context: string;
}

function parameterOf(
  btf: Btf,
  id: number,
  index: number,
  tags: ReadonlySet<string>,
  owner: Owner,
): Parameter | PrototypeFault {
  const fault = (text: string, errno: number = EINVAL): PrototypeFault => ({
    errno,
    text: `arg#${index} ${text}`,
  });
  if (tags.size > 0 && !owner.isGlobal) {
    return fault("type tag is not supported in static functions", EOPNOTSUPP);
  }
  if (![...tags].every((tag) => TAGS.has(tag))) {
    return fault("has unsupported set of tags", EOPNOTSUPP);
  }
  const type = btf.typeBehind(id);
  if (type?.kind !== KIND.BTF_KIND_PTR) {
    if (tags.size > 0) return fault("has pointer tag, but is not a pointer type");
    if (isNumber(type?.kind)) return { kind: "number" };
    const what = `Arg#${index} type ${KIND.kindName(type)} in ${owner.name}()`;
    const text = `${what} is not supported yet.`;
    return { errno: EINVAL, text: owner.isGlobal ? text : "" };
  }
  const target = btf.typeBehind(type.sizeOrType);
  const targetName = btf.name(target?.name ?? 0) ?? "";
  const isStruct = target?.kind === KIND.BTF_KIND_STRUCT || target?.kind === KIND.BTF_KIND_UNION;
  const combines = fault("has invalid combination of tags");
  const isContext = isStruct && targetName === owner.context;
  if (tags.has("ctx") || isContext || (isStruct && targetName === PROJECTED[owner.context])) {
    if (tags.size > (tags.has("ctx") ? 1 : 0)) return combines;
    if (!tags.has("ctx") || isContext || target === null) return { kind: "context" };
    return fault(`should be \`struct ${owner.context} *\``);
  }
  if (tags.has("trusted") && tags.has("nonnull")) return combines;
  for (const tag of ["untrusted", "arena"]) {
    const others = `${tag} cannot be combined with any other tags`;
    if (tags.has(tag) && !tags.has("trusted") && tags.size > 1) return fault(others);
  }
  const named = `reference type('${KIND.kindName(target)} ${targetName}')`;
  const isPlain = target === null || isNumber(target.kind);
  if (tags.has("trusted") || (tags.has("untrusted") && !isPlain)) {
    // The embedded kernel has no types of its own that a program could be handed.
    return fault(`${named} has no matches`, ENOENT);
  }
  if (tags.has("untrusted") || tags.has("arena")) {
    const tag = tags.has("arena") ? "arena" : "untrusted";
    return fault(`is tagged ${tag}, which Linux has and the embedded kernel has not`);
  }
  if (!owner.isGlobal) return { errno: EINVAL, text: "" };
  if (tags.has("nullable")) return combines;
  const size = target === null ? null : btf.sizeOf(type.sizeOrType);
  if (size === null) return fault(`${named} size cannot be determined: -${EINVAL}`);
  return { kind: "memory", size, mayBeNull: !tags.has("nonnull") };
}
