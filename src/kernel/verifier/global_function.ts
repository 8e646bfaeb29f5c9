/**
 * Functions that are not static: each is verified by itself, for whatever arguments its BTF
 * signature allows, and callers only have to keep to that. Analogous to btf_prepare_func_args() in
 * kernel/bpf/btf.c and btf_check_func_arg_match() in kernel/bpf/verifier.c.
 */

import { EINVAL } from "../../abi/errno.ts";
import { BPF_REG_0, BPF_REG_1 } from "../../abi/insn.ts";
import { clearCallerSaved } from "./alu.ts";
import * as KIND from "./btf_parse.ts";
import type { Environment, Subject } from "./environment.ts";
import { forgetPacket } from "./helper_call.ts";
import { checkUnmoved } from "./memory.ts";
import { changesPacket } from "./packet_changes.ts";
import { checkPassedMemory, PASSED_KINDS } from "./passed_memory.ts";
import { Refusal } from "./refusal.ts";
import { pointer, type Register, UNKNOWN_SCALAR } from "./register.ts";

/** linkage of a FUNC (BTF_FUNC_GLOBAL) */
const GLOBAL = 1;
const MAX_ARGUMENTS = 5;

/** An argument as its BTF type has it. */
export type Parameter =
  | { readonly kind: "number" | "context" }
  | { readonly kind: "memory"; readonly size: number };

/** Whether the function that begins there is verified by itself. */
export function isGlobal({ subprograms, functions }: Subject, start: number): boolean {
  if (functions === null) return false;
  const index = subprograms.findIndex((subprogram) => subprogram.start === start);
  return functions.btf.type(functions.typeIds[index] ?? 0)?.vlen === GLOBAL;
}

function refuse(text: string): Refusal {
  return new Refusal(EINVAL, text);
}

/** What a global function takes. @throws {Refusal} when it can't be verified by itself. */
export function parametersOf(
  { subprograms, functions, layout }: Subject,
  start: number,
): Parameter[] {
  if (functions === null) return [];
  const { btf, typeIds } = functions;
  const index = subprograms.findIndex((subprogram) => subprogram.start === start);
  const type = btf.type(typeIds[index] ?? 0);
  const name = btf.name(type?.name ?? 0) ?? "";
  const prototype = btf.type(type?.sizeOrType ?? 0) ?? null;
  if (prototype === null) throw refuse(`Invalid type of function ${name}()`);
  const given = btf.parameters(prototype);
  if (given.length > MAX_ARGUMENTS) {
    throw refuse(
      `Global function ${name}() with ${given.length} > ${MAX_ARGUMENTS} args. Buggy compiler.`,
    );
  }
  if (!isNumber(btf.typeBehind(prototype.sizeOrType)?.kind)) {
    throw refuse(
      `Global function ${name}() return value not void or scalar. Only those are supported.`,
    );
  }
  return given.map((id, i) => parameter(id, i, name));

  function parameter(id: number, i: number, owner: string): Parameter {
    const behind = btf.typeBehind(id);
    if (isNumber(behind?.kind)) return { kind: "number" };
    if (behind?.kind !== KIND.BTF_KIND_PTR) {
      throw refuse(`Arg#${i} type in ${owner}() is not supported yet.`);
    }
    const target = btf.typeBehind(behind.sizeOrType);
    if (target?.kind === KIND.BTF_KIND_STRUCT && btf.name(target.name) === layout.name) {
      return { kind: "context" };
    }
    const size = target === null ? null : btf.sizeOf(behind.sizeOrType);
    if (size === null) throw refuse(`arg#${i} reference type size cannot be determined`);
    return { kind: "memory", size };
  }
}

function isNumber(kind: number | undefined): boolean {
  return kind === KIND.BTF_KIND_INT || kind === KIND.BTF_KIND_ENUM || kind === KIND.BTF_KIND_ENUM64;
}

/** What a parameter holds when the function is verified by itself. */
export function initialContents(env: Environment, parameter: Parameter): Register {
  switch (parameter.kind) {
    case "number":
      return UNKNOWN_SCALAR;
    case "context":
      return pointer("ctx");
    case "memory":
      return pointer("mem_or_null", { id: env.nextId(), size: parameter.size });
  }
}

/** A call of a global function: arguments that fit, and a number comes back. */
export function callGlobal(env: Environment, start: number): void {
  for (const [i, parameter] of parametersOf(env.subject, start).entries()) {
    checkPassed(env, BPF_REG_1 + i, parameter);
  }
  env.globals.add(start);
  clearCallerSaved(env);
  env.state.frame.set(BPF_REG_0, UNKNOWN_SCALAR);
  if (changesPacket(env.subject, start)) forgetPacket(env);
}

function checkPassed(env: Environment, register: number, parameter: Parameter): void {
  const contents = env.state.frame.get(register);
  const { kind } = parameter;
  if (kind === "number") {
    if (!contents.isScalar) throw refuse(`R${register} is not a scalar`);
    return;
  }
  if (kind === "memory" && contents.isNull) return;
  const mayBeMoved = contents.isScalar || PASSED_KINDS.has(contents.type);
  if (!mayBeMoved) checkUnmoved(contents, register);
  if (kind === "memory") {
    checkPassedMemory(env, register, contents, parameter.size);
  } else if (contents.type !== "ctx") {
    throw refuse(`arg#${register - BPF_REG_1} expects pointer to ctx`);
  }
}
