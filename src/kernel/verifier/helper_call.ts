/**
 * Calls of helpers: arguments against the prototype, and what is left afterwards. Analogous to
 * check_helper_call() in kernel/bpf/verifier.c.
 */

import * as BPF from "../../abi/bpf.ts";
import { EACCES, EFAULT, EINVAL, ENOMEM, ENOTSUPP } from "../../abi/errno.ts";
import { BPF_FUNC, helperName } from "../../abi/helpers.ts";
import { BPF_REG_0, BPF_REG_1, BPF_REG_2, BPF_REG_3, BPF_REG_4 } from "../../abi/insn.ts";
import { ArrayMap } from "../bpf/map/array.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import { clearCallerSaved, isSecret, readRegister } from "./alu.ts";
import * as B from "./bounds.ts";
import { enterCallback, leaveFunction } from "./calls.ts";
import type { Environment } from "./environment.ts";
import { checkStaticArguments } from "./global_function.ts";
import { checkMemory } from "./helper_memory.ts";
import { type Argument, PROTOTYPES, type Prototype } from "./helper_prototypes.ts";
import * as memory from "./memory.ts";
import { forgetPacket } from "./packet_changes.ts";
import { markPrecise, markSlotPrecise } from "./precision.ts";
import { acquire, checkNothingHeld, release } from "./references.ts";
import { Refusal } from "./refusal.ts";
import { BPF_MAX_VAR_OFF } from "./region.ts";
import {
  pointer as makePointer,
  NOT_INIT,
  notNull,
  type Register,
  scalar,
  UNKNOWN_SCALAR,
} from "./register.ts";
import * as S from "./stack.ts";
import { frameOf, storeStack } from "./stack_access.ts";
import type { State } from "./state.ts";
import { noteTailCall } from "./tail_calls.ts";

/** No size may be larger (BPF_MAX_VAR_SIZ). */
const MAX_SIZE = BigInt(BPF_MAX_VAR_OFF);
const U32_SIZE = 4;
/** Instead of the callback that is always called from there. */
const NO_INLINE = -1;

/** What the arguments were found to be, as far as later ones ask. */
interface Call {
  readonly id: number;
  readonly prototype: Prototype;
  map: BpfMap | null;
  /** The key, when it is one known number. */
  key: bigint | null;
  /** First slot of the callback. */
  callback: number;
  /** The reference that is given back; 0: none. */
  released: number;
  /** Stack that the helper fills: where to write. */
  fresh: { readonly register: number; readonly size: number } | null;
}

/** Walks a call of a helper. @returns the slot to go on at. */
export function callHelper(env: Environment, id: number): number {
  const prototype = PROTOTYPES.get(id);
  if (prototype === undefined) {
    const text = `Linux has helper ${helperName(id)}#${id}, the embedded kernel does not`;
    throw new Refusal(EINVAL, text);
  }
  const call: Call = {
    id,
    prototype,
    map: null,
    key: null,
    callback: 0,
    released: 0,
    fresh: null,
  };
  prototype.arguments.forEach((argument, i) => {
    checkArgument(env, BPF_REG_1 + i, argument, call);
  });
  fillFresh(env, call);
  if (call.released !== 0 && !release(env, call.released)) {
    const text = `func ${helperName(id)}#${id} reference has not been acquired before`;
    throw new Refusal(EINVAL, text);
  }
  if (id === BPF_FUNC.tail_call) {
    if (call.map?.facts.type !== BPF.BPF_MAP_TYPE_PROG_ARRAY) {
      throw new Refusal(EINVAL, "expected prog array map for tail call", "");
    }
    markIndex(env, call);
    checkNothingHeld(env, "tail_call");
  }
  if (id === BPF_FUNC.loop) callLoop(env, call.callback);
  if (id === BPF_FUNC.for_each_map_elem) callForEach(env, call);
  clearCallerSaved(env);
  env.state.frame.set(BPF_REG_0, resultOf(env, call));
  if (call.map !== null) checkMapKind(call.map, id);
  if (id !== BPF_FUNC.tail_call) return env.slot + 1;
  noteTailCall(env, call.map as BpfMap);
  return leaveByTailCall(env);
}

/** A known index is written into the program. Analogous to record_func_key() in Linux. */
function markIndex(env: Environment, { map }: Call): void {
  const { bounds, isScalar } = env.state.frame.get(BPF_REG_3);
  if (map === null || !isScalar || !bounds.bits.isConstant) return;
  if (bounds.bits.value < BigInt(map.facts.maxEntries)) markPrecise(env, BPF_REG_3);
}

/**
 * A tail call that doesn't come about changes nothing. One that does is the program's end; from a
 * function it is as if that returned, with whatever number.
 */
function leaveByTailCall(env: Environment): number {
  const { state, slot } = env;
  if (state.depth === 0) return slot + 1;
  env.branch(slot + 1, ENOMEM);
  forgetPacket(env);
  state.frame.set(BPF_REG_0, UNKNOWN_SCALAR);
  return leaveFunction(env);
}

function resultOf(env: Environment, { id, prototype, map, key }: Call): Register {
  if (prototype.result === "nothing") return NOT_INIT;
  if (prototype.result === "value or null") {
    const hasValue = map instanceof ArrayMap && key !== null && key < BigInt(map.facts.maxEntries);
    return hasValue
      ? makePointer("map_value", { map })
      : makePointer("map_value_or_null", { map, id: env.nextId() });
  }
  if (prototype.result !== "number") {
    // Linux gives the pointer an id of its own first.
    env.nextId();
    const reference = acquire(env);
    const type = prototype.result === "socket or null" ? "sock_or_null" : "sock_common_or_null";
    return makePointer(type, { id: reference, reference });
  }
  if (id !== BPF_FUNC.get_smp_processor_id) return UNKNOWN_SCALAR;
  const bounds = B.unbounded();
  const last = env.subject.possibleCpus - 1;
  Object.assign(bounds, { umin: 0n, umax: BigInt(last), smin: 0n, smax: BigInt(last) });
  Object.assign(bounds, { u32min: 0, u32max: last, s32min: 0, s32max: last });
  B.sync(bounds);
  return scalar(bounds);
}

/** Analogous to check_map_func_compatibility() in Linux. */
function checkMapKind({ facts }: BpfMap, id: number): void {
  const isProgArray = facts.type === BPF.BPF_MAP_TYPE_PROG_ARRAY;
  if (isProgArray === (id === BPF_FUNC.tail_call)) return;
  const text = `cannot pass map_type ${facts.type} into func ${helperName(id)}#${id}`;
  throw new Refusal(EINVAL, text);
}

/** Linux has more kinds of memory and of sockets; the log lists them, though none is met here. */
const MEMORY: readonly string[] = [
  ...["fp", "pkt", "pkt_meta", "map_key", "map_value", "mem"],
  ...["ringbuf_mem", "buf", "trusted_ptr_"],
];
const SOCKETS = ["sock_common", "sock", "tcp_sock", "xdp_sock", "ptr_", "trusted_ptr_"];

/** Types that an argument may have, as the log lists them. */
const EXPECTED: Readonly<
  Record<Exclude<Argument, "anything" | "size" | "size or zero">, readonly string[]>
> = {
  context: ["ctx"],
  map: ["map_ptr"],
  key: MEMORY,
  value: MEMORY,
  memory: MEMORY,
  "fresh memory": MEMORY,
  function: ["func"],
  "stack or null": ["fp"],
  "socket or null": ["sock"],
  "socket to release": SOCKETS,
  text: ["map_value"],
};

function checkArgument(env: Environment, register: number, argument: Argument, call: Call): void {
  const contents = readRegister(env, register);
  if (argument === "anything") {
    if (!isSecret(env, contents)) return;
    const text = `R${register} leaks addr into helper function`;
    throw new Refusal(EACCES, text);
  }
  if (contents.isPacket && !mayPassPacket(env, call)) {
    const text = "helper access to the packet is not allowed";
    throw new Refusal(EACCES, text);
  }
  if (argument === "size" || argument === "size or zero") {
    checkType(register, contents, ["scalar"]);
    checkSize(env, register, contents, call, argument === "size or zero");
    return;
  }
  const mayBeNull = argument === "stack or null" || argument === "socket or null";
  if (mayBeNull && contents.isNull) return;
  const given = mayBeNull && contents.mayBeNull ? notNull(contents) : contents;
  checkType(register, given, EXPECTED[argument]);
  if (argument === "context" || argument === "map" || argument === "function") {
    memory.checkUnmoved(contents, register);
  }
  settleArgument(env, register, contents, argument, call);
}

function settleArgument(
  env: Environment,
  register: number,
  contents: Register,
  argument: Argument,
  call: Call,
): void {
  switch (argument) {
    case "map":
      call.map = contents.map;
      return;
    case "key": {
      const { keySize } = (call.map as BpfMap).facts;
      checkMemory(env, register, keySize, false);
      call.key = call.map instanceof ArrayMap ? constantKey(env, contents, keySize) : null;
      return;
    }
    case "value":
      checkMemory(env, register, (call.map as BpfMap).facts.valueSize, false);
      return;
    case "function":
      call.callback = contents.size;
      return;
    case "socket to release":
      if (contents.reference === 0) {
        const text = `R${register} must be referenced when passed to release function`;
        throw new Refusal(EINVAL, text);
      }
      call.released = contents.reference;
      return;
    case "text":
      checkText(env, register, contents);
      return;
    default:
  }
}

/** Which program types have a packet that helpers may be pointed to. */
function mayPassPacket({ subject }: Environment, { prototype }: Call): boolean {
  const hasPacket =
    subject.type === BPF.BPF_PROG_TYPE_XDP || subject.type === BPF.BPF_PROG_TYPE_FLOW_DISSECTOR;
  return hasPacket && prototype.packetAccess === true;
}

function checkType(register: number, { type }: Register, expected: readonly string[]): void {
  if (expected.includes(type)) return;
  const text = `R${register} type=${type} expected=${expected.join(", ")}`;
  throw new Refusal(EACCES, text);
}

/** Analogous to check_mem_size_reg() in Linux. The pointer is in the register before. */
function checkSize(
  env: Environment,
  register: number,
  { bounds }: Register,
  call: Call,
  mayBeZero: boolean,
): void {
  const refuse = (text: string): Refusal => new Refusal(EACCES, text);
  if (bounds.smin < 0n) {
    throw refuse(`R${register} min value is negative, either use unsigned or 'var &= const'`);
  }
  if (bounds.umin === 0n && !mayBeZero) {
    throw refuse(`R${register} invalid zero-sized read: u64=[${bounds.umin},${bounds.umax}]`);
  }
  if (bounds.umax >= MAX_SIZE) {
    const advice = "use 'var &= const' or 'if (var < const)'";
    throw refuse(`R${register} unbounded memory access, ${advice}`);
  }
  const size = Number(bounds.umax);
  const writes = call.prototype.arguments[register - 1 - BPF_REG_1] === "fresh memory";
  const filled = writes && bounds.bits.isConstant;
  const isFresh = checkMemory(env, register - 1, size, writes, filled);
  if (isFresh) call.fresh = { register: register - 1, size };
  markPrecise(env, register);
  if (!env.state.speculative) env.ranges.noteRange(env.slot, register, bounds);
}

/** What the helper writes into the stack is something afterwards. */
function fillFresh(env: Environment, { fresh }: Call): void {
  if (fresh === null) return;
  const contents = env.state.frame.get(fresh.register);
  for (let i = 0; i < fresh.size; i++) {
    const stored = { register: -1, contents: null };
    storeStack(env, fresh.register, contents, contents.off + i, 1, stored);
  }
}

/** The key of an array when it is known. Analogous to get_constant_map_key() in Linux. */
function constantKey(env: Environment, key: Register, keySize: number): bigint | null {
  if (!env.subject.bpfCapable) return null;
  if (key.type !== "fp" || !key.bounds.bits.isConstant) return null;
  const off = key.off + Number(BigInt.asIntN(64, key.bounds.bits.value));
  const index = S.slotIndex(off);
  const first = S.byteIndex(off);
  const slot = frameOf(env, key).slot(index);
  let zeros = 0;
  while (first + zeros < S.SLOT_BYTES && S.kindAt(slot, first + zeros) === S.ZERO_BYTE) zeros++;
  if (zeros >= keySize) return 0n;
  const { spilled } = slot;
  if (spilled?.isScalar !== true || !spilled.bounds.bits.isConstant) return null;
  let spills = 0;
  while (first + spills < S.SLOT_BYTES && S.kindAt(slot, first + spills) === S.SPILL) spills++;
  if (spills !== keySize || keySize !== U32_SIZE) return null;
  markSlotPrecise(env, key.frame, index);
  return spilled.bounds.bits.value;
}

/** Analogous to check_reg_const_str() in Linux. */
function checkText(env: Environment, register: number, contents: Register): void {
  const refuse = (text: string, errno: number = EACCES): Refusal => new Refusal(errno, text);
  const map = contents.map as BpfMap;
  if ((map.facts.flags & BPF.BPF_F_RDONLY_PROG) === 0 || !map.frozen) {
    throw refuse(`R${register} does not point to a readonly map'`);
  }
  const { bits } = contents.bounds;
  if (!bits.isConstant) throw refuse(`R${register} is not a constant address'`);
  if (!memory.isConstantMap(map)) {
    throw refuse("no direct value access support for this map type");
  }
  const { valueSize } = map.facts;
  const size = Math.max(1, valueSize - contents.off);
  memory.checkMapAccess(env, register, contents, contents.off, size, false);
  const from = contents.off + Number(bits.value);
  const start = map.directValueAddress(0);
  const bytes = map.machine.memory.bytes.subarray(start + from, start + valueSize);
  if (!bytes.includes(0)) throw refuse("string is not zero-terminated", EINVAL);
}

function callLoop(env: Environment, start: number): void {
  const { state } = env;
  const caller = state.frame;
  // Linux gets lost looking for the number that a pointer was.
  if (!caller.get(BPF_REG_1).isScalar) throw new Refusal(EFAULT, "backtracking misuse");
  noteInline(env, start);
  markPrecise(env, BPF_REG_1);
  if (BigInt(caller.callbackDepth) >= caller.get(BPF_REG_1).bounds.umax) {
    caller.callbackDepth = 0;
    if (env.log.isVerbose) env.log.line(`frame${state.depth} bpf_loop iteration limit reached`);
    return;
  }
  checkStaticArguments(env, start);
  enterCallback(env, start, (next: State) => {
    next.frame.set(BPF_REG_1, UNKNOWN_SCALAR);
    next.frame.set(BPF_REG_2, caller.get(BPF_REG_3));
  });
}

/**
 * A bpf_loop() with one callback and no flags may be put in place of the call, for which the flags
 * have to be 0. Analogous to update_loop_inline_state() in Linux.
 */
function noteInline(env: Environment, start: number): void {
  const { slot, inlined } = env;
  const before = inlined.get(slot);
  if (before === NO_INLINE) return;
  const isZero = env.state.frame.get(BPF_REG_4).isNull;
  if (isZero) markPrecise(env, BPF_REG_4);
  inlined.set(slot, isZero && (before ?? start) === start ? start : NO_INLINE);
}

/** Kinds of maps that helpers can walk. */
function hasForEach(map: BpfMap): boolean {
  return map.facts.type !== BPF.BPF_MAP_TYPE_PROG_ARRAY;
}

function callForEach(env: Environment, { map, callback }: Call): void {
  checkStaticArguments(env, callback);
  if (map === null || !hasForEach(map)) {
    throw new Refusal(ENOTSUPP, "callback function not allowed for map");
  }
  const caller = env.state.frame;
  enterCallback(env, callback, (next: State) => {
    const { frame } = next;
    frame.set(BPF_REG_1, caller.get(BPF_REG_1));
    frame.set(BPF_REG_2, makePointer("map_key", { map }));
    frame.set(BPF_REG_3, makePointer("map_value", { map }));
    frame.set(BPF_REG_3 + 1, caller.get(BPF_REG_3));
  });
}
