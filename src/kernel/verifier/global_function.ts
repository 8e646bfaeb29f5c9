/**
 * Functions that are not static: each is verified by itself, for whatever arguments its BTF
 * signature allows, and callers only have to keep to that. Analogous to
 * btf_check_func_arg_match() and the first half of check_func_call() in kernel/bpf/verifier.c.
 */

import { EINVAL } from "../../abi/errno.ts";
import { BPF_REG_0, BPF_REG_1 } from "../../abi/insn.ts";
import { clearCallerSaved } from "./alu.ts";
import type { Environment, Subject } from "./environment.ts";
import { checkUnmoved } from "./memory.ts";
import { changesPacket, forgetPacket } from "./packet_changes.ts";
import { checkPassedMemory, PASSED_KINDS } from "./passed_memory.ts";
import { functionName, type Parameter, parametersOf } from "./prototype.ts";
import { Refusal } from "./refusal.ts";
import { pointer, type Register, UNKNOWN_SCALAR } from "./register.ts";

/** What a global function takes. @throws {Refusal} when it can't be verified by itself. */
export function requiredParameters(subject: Subject, start: number): Parameter[] {
  const found = parametersOf(subject, start);
  if (Array.isArray(found)) return found;
  throw new Refusal(found.errno, found.text);
}

/** What a parameter holds when the function is verified by itself. */
export function initialContents(env: Environment, parameter: Parameter): Register {
  switch (parameter.kind) {
    case "number":
      return UNKNOWN_SCALAR;
    case "context":
      return pointer("ctx");
    case "memory": {
      const { size, mayBeNull } = parameter;
      return mayBeNull
        ? pointer("mem_or_null", { id: env.nextId(), size })
        : pointer("mem", { size });
    }
  }
}

/** A call of a global function: arguments that fit, and a number comes back. */
export function callGlobal(env: Environment, start: number): void {
  const { index, name } = functionName(env.subject, start);
  try {
    checkArguments(env, start);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.message !== "") env.log.line(error.message);
    const text = `Caller passes invalid args into func#${index} ('${name}')`;
    throw new Refusal(error.errno, text);
  }
  if (env.log.hasPaths) env.log.line(`Func#${index} ('${name}') is global and assumed valid.`);
  env.globals.add(start);
  clearCallerSaved(env);
  env.state.frame.set(BPF_REG_0, UNKNOWN_SCALAR);
  if (changesPacket(env.subject, start)) forgetPacket(env);
}

/**
 * What is passed to a static function is only held against its signature for the log: the function
 * is walked with what its caller has.
 */
export function checkStaticArguments(env: Environment, start: number): void {
  if (env.subject.functions === null || env.mistyped.has(start)) return;
  const { frame } = env.state;
  const before = frame.registers.slice();
  try {
    checkArguments(env, start);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    env.mistyped.add(start);
    if (error.message !== "") env.log.line(error.message);
  }
  for (const [i, register] of before.entries()) frame.set(i, register);
}

function checkArguments(env: Environment, start: number): void {
  for (const [i, parameter] of requiredParameters(env.subject, start).entries()) {
    checkPassed(env, BPF_REG_1 + i, parameter);
  }
}

function refuse(text: string): Refusal {
  return new Refusal(EINVAL, text);
}

function checkPassed(env: Environment, register: number, parameter: Parameter): void {
  const contents = env.state.frame.get(register);
  if (parameter.kind === "number") {
    if (!contents.isScalar) throw refuse(`R${register} is not a scalar`);
    return;
  }
  if (parameter.kind === "memory" && contents.isNull) return;
  const mayBeMoved = contents.isScalar || PASSED_KINDS.has(contents.type);
  if (!mayBeMoved) checkUnmoved(contents, register);
  const index = register - BPF_REG_1;
  if (parameter.kind === "context") {
    if (contents.type !== "ctx") throw refuse(`arg#${index} expects pointer to ctx`);
    return;
  }
  checkPassedMemory(env, register, contents, parameter.size);
  if (contents.mayBeNull && !parameter.mayBeNull) {
    throw refuse(`arg#${index} is expected to be non-NULL`);
  }
}
