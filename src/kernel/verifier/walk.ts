/**
 * The walk over all paths of one function and of what it calls: one instruction after the other,
 * one state at a time, the others waiting. Analogous to do_check() in kernel/bpf/verifier.c.
 */

import { BPF_PROG_TYPE_SK_LOOKUP } from "../../abi/bpf.ts";
import { E2BIG, EACCES, EINVAL, ENOMEM } from "../../abi/errno.ts";
import * as I from "../../abi/insn.ts";
import { isLoadImm64, jumpOffset, loadImm64Value } from "../../asm/index.ts";
import { alu, clearCallerSaved, isSecret, readRegister } from "./alu.ts";
import { exactlyWords } from "./bounds.ts";
import { conditionalJump } from "./branch.ts";
import { enterFunction, leaveFunction, outOfRange } from "./calls.ts";
import type { Environment } from "./environment.ts";
import type { Explored } from "./explored.ts";
import { callGlobal, checkStaticArguments } from "./global_function.ts";
import { callHelper } from "./helper_call.ts";
import { COMPLEXITY_LIMIT } from "./log.ts";
import * as memory from "./memory.ts";
import { markPrecise } from "./precision.ts";
import { isGlobal } from "./prototype.ts";
import { checkNothingHeld } from "./references.ts";
import { Refusal } from "./refusal.ts";
import { known, pointer, type RegisterType, scalar, UNKNOWN_SCALAR } from "./register.ts";
import { isBarred, speculate } from "./speculation.ts";
import type { Step } from "./state.ts";
import { widen } from "./widen.ts";

/** Where a path goes on when it is at its end. */
const END = -1;

/** Bytes of an access by BPF_SIZE(). */
export const SIZES: Readonly<Record<number, number>> = {
  [I.BPF_B]: 1,
  [I.BPF_H]: 2,
  [I.BPF_W]: 4,
  [I.BPF_DW]: 8,
};

/** Walks from `start` on with the environment's state. @throws {Refusal} */
export function walk(env: Environment, explored: Explored, start: number): void {
  const { log, trace } = env;
  explored.begin();
  env.slot = start;
  env.previous = -1;
  trace?.start();
  for (;;) {
    const next = step(env, explored);
    if (next !== END) {
      env.slot = next;
      continue;
    }
    trace?.touchAll();
    // What this path was seen to read counts when a stay in a loop ends with it.
    env.state.frame.use.update();
    explored.finishPath(env);
    const waiting = env.waiting.pop();
    if (!log.isVerbose) log.reset(waiting?.logged ?? 0);
    if (waiting === undefined) return;
    env.state = waiting.state;
    env.slot = waiting.slot;
    env.previous = waiting.from;
    trace?.startPath();
  }
}

/** One instruction. @returns where to go on, or END. */
function step(env: Environment, explored: Explored): number {
  const { slot } = env;
  env.processed++;
  if (env.processed > COMPLEXITY_LIMIT) {
    const text = `BPF program is too large. Processed ${env.processed} insn`;
    throw new Refusal(E2BIG, text);
  }
  const point = explored.points[slot] as number;
  if ((point & 1) !== 0 && explored.visit(env)) {
    env.trace?.safe(slot);
    return END;
  }
  const { state } = env;
  if (!state.speculative) env.seen[slot] = 1;
  env.subject.observer?.(slot, state);
  const isJoin = (point & 2) !== 0;
  const made: Step = {
    slot,
    before: state.history,
    access: null,
    linked: null,
    stackOperands: 0,
    counted: isJoin,
  };
  state.history = made;
  if (isJoin) state.historyLength++;
  env.trace?.step(slot);
  env.previous = slot;
  if (state.speculative && isBarred(env)) return END;
  const { use } = state.frame;
  env.writtenFrame = -1;
  const next = state.speculative ? speculate(env, checkedStep) : checkedStep(env);
  // A call of the program's own function reads and writes what that does.
  if (state.frame.use === use) use.settle(slot, env.writtenFrame, env.writtenIndex);
  return next;
}

function checkedStep(env: Environment): number {
  const fault = env.subject.faultOf(env.slot);
  if (fault === null) return execute(env);
  for (const register of fault.reads ?? []) readRegister(env, register);
  throw new Refusal(fault.errno, fault.text);
}

function execute(env: Environment): number {
  const { insn, slot } = env;
  switch (I.BPF_CLASS(insn.opcode)) {
    case I.BPF_ALU:
    case I.BPF_ALU64:
      alu(env);
      return slot + 1;
    case I.BPF_LDX:
      loadRegister(env, I.BPF_MODE(insn.opcode) === I.BPF_MEMSX, false);
      return slot + 1;
    case I.BPF_STX:
      if (I.BPF_MODE(insn.opcode) === I.BPF_ATOMIC) atomic(env);
      else storeRegister(env, false);
      return slot + 1;
    case I.BPF_ST:
      readRegister(env, insn.dst);
      storeChecked(
        env,
        { register: -1, contents: scalar(exactlyWords(insn.imm >> 31, insn.imm)) },
        false,
      );
      return slot + 1;
    case I.BPF_LD:
      if (isLoadImm64(insn)) {
        loadImmediate(env);
        env.seen[slot + 1] = env.seen[slot] as number;
        return slot + 2;
      }
      return loadLegacy(env);
    default:
      return jump(env);
  }
}

function sizeOf(opcode: number): number {
  return SIZES[I.BPF_SIZE(opcode)] as number;
}

function loadRegister(env: Environment, signed: boolean, aligned: boolean): void {
  const { dst, src, off, opcode } = env.insn;
  const { type } = readRegister(env, src);
  const access = { register: src, off, size: sizeOf(opcode), aligned };
  const loaded = memory.load(env, access, { signed, fills: true });
  env.state.frame.set(dst, loaded);
  notePointer(env, type);
}

function storeRegister(env: Environment, aligned: boolean): void {
  const { dst, src } = env.insn;
  const contents = readRegister(env, src);
  readRegister(env, dst);
  storeChecked(env, { register: src, contents }, aligned);
}

function storeChecked(
  env: Environment,
  stored: Parameters<typeof memory.store>[2],
  aligned: boolean,
): void {
  const { dst, off, opcode } = env.insn;
  const { type } = env.state.frame.get(dst);
  memory.store(env, { register: dst, off, size: sizeOf(opcode), aligned }, stored);
  notePointer(env, type);
}

/** Pointers whose access Linux rewrites, each kind in its own way. */
const REWRITTEN: ReadonlySet<string> = new Set(["ctx", "sock", "sock_common"]);

/** An instruction can be rewritten for one kind of pointer only. */
function notePointer(env: Environment, type: RegisterType): void {
  const before = env.pointerTypes[env.slot];
  if (before === undefined) {
    env.pointerTypes[env.slot] = type;
    return;
  }
  if (before === type || (!REWRITTEN.has(type) && !REWRITTEN.has(before))) return;
  const text = "same insn cannot be used with different pointers";
  throw new Refusal(EINVAL, text);
}

/** Kinds of memory that no atomic operation works on. */
const NOT_ATOMIC: ReadonlySet<string> = new Set([
  "ctx",
  "pkt",
  "pkt_meta",
  "flow_keys",
  "sock",
  "sock_common",
]);

function checkAtomicPointer(type: RegisterType, register: number, what: string): void {
  if (!NOT_ATOMIC.has(type)) return;
  const text = `BPF_ATOMIC ${what} R${register} ${type} is not allowed`;
  throw new Refusal(EACCES, text);
}

function atomic(env: Environment): void {
  const { dst, src, imm, off, opcode } = env.insn;
  if (imm === I.BPF_LOAD_ACQ) {
    const { type } = readRegister(env, src);
    loadRegister(env, false, true);
    checkAtomicPointer(type, src, "loads from");
    return;
  }
  if (imm === I.BPF_STORE_REL) {
    readRegister(env, src);
    const { type } = readRegister(env, dst);
    storeRegister(env, true);
    checkAtomicPointer(type, dst, "stores into");
    return;
  }
  const operand = readRegister(env, src);
  readRegister(env, dst);
  if (imm === I.BPF_CMPXCHG) checkOperand(env, I.BPF_REG_0);
  if (isSecret(env, operand)) checkOperand(env, src);
  checkAtomicPointer(env.state.frame.get(dst).type, dst, "stores into");
  const access = { register: dst, off, size: sizeOf(opcode), aligned: true };
  const fetches = (imm & I.BPF_FETCH) !== 0;
  const fetched = imm === I.BPF_CMPXCHG ? I.BPF_REG_0 : src;
  if (fetches) env.state.frame.set(fetched, UNKNOWN_SCALAR);
  memory.load(env, access, { signed: false, fills: false });
  if (fetches) {
    env.state.frame.set(fetched, memory.load(env, access, { signed: false, fills: true }));
  }
  memory.store(env, access, { register: -1, contents: null });
}

function checkOperand(env: Environment, register: number): void {
  if (!isSecret(env, readRegister(env, register))) return;
  throw new Refusal(EACCES, `R${register} leaks addr into mem`);
}

function loadImmediate(env: Environment): void {
  const { insn, slot, subject } = env;
  const { frame } = env.state;
  const reference = subject.references.get(slot);
  if (reference !== undefined) {
    const { map, valueOffset } = reference;
    frame.set(
      insn.dst,
      valueOffset === null
        ? pointer("map_ptr", { map })
        : pointer("map_value", { map, off: valueOffset }),
    );
  } else if (insn.src === I.BPF_PSEUDO_FUNC) {
    env.named.add(slot + insn.imm + 1);
    frame.set(insn.dst, pointer("func", { size: slot + insn.imm + 1 }));
  } else {
    const second = subject.insns[slot + 1] as typeof insn;
    frame.set(insn.dst, known(loadImm64Value(insn, second)));
  }
}

/** Analogous to check_ld_abs() in Linux. */
function loadLegacy(env: Environment): number {
  const { opcode, src } = env.insn;
  const context = readRegister(env, I.BPF_REG_6);
  if (context.type !== "ctx") {
    const text = "at the time of BPF_LD_ABS|IND R6 != pointer to skb";
    throw new Refusal(EINVAL, text);
  }
  if (I.BPF_MODE(opcode) === I.BPF_IND) readRegister(env, src);
  memory.checkUnmoved(context, I.BPF_REG_6);
  checkNothingHeld(env, "BPF_LD_[ABS|IND]");
  clearCallerSaved(env);
  env.state.frame.set(I.BPF_REG_0, UNKNOWN_SCALAR);
  if (env.state.depth === 0) return env.slot + 1;
  // Behind the packet's end, it is as if the function returned.
  env.branch(env.slot + 1, ENOMEM);
  env.state.frame.set(I.BPF_REG_0, known(0n));
  return leaveFunction(env);
}

function jump(env: Environment): number {
  const { insn, slot } = env;
  env.jumps++;
  switch (I.BPF_OP(insn.opcode)) {
    case I.BPF_CALL:
      return call(env);
    case I.BPF_JA:
      return slot + (jumpOffset(insn) as number) + 1;
    case I.BPF_EXIT:
      checkNothingHeld(env, "BPF_EXIT instruction in main prog");
      if (env.state.depth > 0) {
        const next = leaveFunction(env);
        env.trace?.startPath();
        return next;
      }
      checkResult(env);
      return END;
    case I.BPF_JCOND:
      return mayGoto(env);
    default:
      return conditionalJump(env);
  }
}

function call(env: Environment): number {
  const { insn, slot } = env;
  if (insn.src !== I.BPF_PSEUDO_CALL) {
    return callHelper(env, insn.imm);
  }
  const start = slot + insn.imm + 1;
  if (!isGlobal(env.subject, start)) {
    checkStaticArguments(env, start);
    enterFunction(env, start);
    return start;
  }
  callGlobal(env, start);
  return slot + 1;
}

/** A jump that is taken some time: the other way is walked later, widened. */
function mayGoto(env: Environment): number {
  const { insn, slot, state } = env;
  const waiting = env.branch(slot + 1, ENOMEM);
  waiting.mayGotoDepth++;
  widen(waiting, state.parent?.parent ?? null, slot);
  return slot + insn.off + 1;
}

/** Analogous to check_return_code() in Linux. */
function checkResult(env: Environment): void {
  const result = readRegister(env, I.BPF_REG_0);
  if (isSecret(env, result)) {
    throw new Refusal(EACCES, "R0 leaks addr as return value");
  }
  if (env.state.frame.start !== 0) {
    if (result.isScalar) return;
    const text = `At subprogram exit the register R0 is not a scalar value (${result.type})`;
    throw new Refusal(EINVAL, text);
  }
  if (env.subject.type !== BPF_PROG_TYPE_SK_LOOKUP) return;
  if (!result.isScalar) {
    const text = `At program exit the register R0 is not a known value (${result.type})`;
    throw new Refusal(EINVAL, text);
  }
  markPrecise(env, I.BPF_REG_0);
  const { smin, smax } = result.bounds;
  if (smin >= 0n && smax <= 1n) return;
  throw outOfRange("At program exit", result);
}
