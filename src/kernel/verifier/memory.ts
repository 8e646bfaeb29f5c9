/**
 * Access to memory: which bytes may be read and written through each kind of pointer, and what a
 * load finds. Analogous to check_mem_access() in kernel/bpf/verifier.c.
 */

import { BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG, BPF_PROG_TYPE_XDP } from "../../abi/bpf.ts";
import { EACCES, EINVAL, EPERM } from "../../abi/errno.ts";
import { findField } from "../bpf/context.ts";
import { ArrayMap } from "../bpf/map/array.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import { isSecret } from "./alu.ts";
import type { Environment } from "./environment.ts";
import { Refusal } from "./refusal.ts";
import { checkRegion, checkValueRegion, type Extent, negative } from "./region.ts";
import {
  known,
  pointer as makePointer,
  type Register,
  type RegisterType,
  UNKNOWN_SCALAR,
} from "./register.ts";
import { findSocketField } from "./socket.ts";
import { loadStack, narrowed, type Stored, storeStack } from "./stack_access.ts";
import * as tnum from "./tnum.ts";

/** sizeof(struct bpf_flow_keys) */
const FLOW_KEYS_SIZE = 56;
/** How far packets are off a multiple of 4, where alignment counts (NET_IP_ALIGN). */
const PACKET_ALIGNMENT = 2;

/** One access. */
export interface Access {
  /** The pointer's register. */
  readonly register: number;
  /** Bytes, `pointer.off` not included. */
  readonly off: number;
  readonly size: number;
  /** A misaligned one is refused whatever the machine can do. */
  readonly aligned?: boolean;
}

/** What an access is to, as the log says of one that is misaligned. */
const ACCESSED: Readonly<Partial<Record<RegisterType, string>>> = {
  fp: "stack ",
  ctx: "context ",
  pkt: "packet ",
  pkt_meta: "packet ",
  map_value: "value ",
  map_key: "key ",
  flow_keys: "flow keys ",
  sock: "sock ",
  sock_common: "sock_common ",
};

/** The first check of every access. */
function checkAlignment(env: Environment, pointer: Register, access: Access): void {
  const { size, off } = access;
  const strict = env.subject.strictAlignment || access.aligned === true || pointer.type === "fp";
  if (!strict || size === 1) return;
  const shift = pointer.isPacket ? PACKET_ALIGNMENT : 0;
  const fixed = pointer.off + off + shift;
  const at = tnum.add(pointer.bounds.bits, tnum.constantWords(fixed >> 31, fixed | 0));
  if (tnum.isAligned(at, size)) return;
  const what = ACCESSED[pointer.type] ?? "";
  const start = pointer.isPacket ? `${shift}+` : "";
  const where = `${start}${tnum.format(pointer.bounds.bits)}+${pointer.off}+${off}`;
  const text = `misaligned ${what}access off ${where} size ${size}`;
  throw new Refusal(EACCES, text);
}

/** Loads. @param fills - null: only whether it is allowed. @returns what is loaded. */
export function load(
  env: Environment,
  access: Access,
  { signed, fills }: { readonly signed: boolean; readonly fills: boolean },
): Register {
  const pointer = env.state.frame.get(access.register);
  checkAlignment(env, pointer, access);
  return narrowed(loadAny(env, pointer, access, signed, fills), access.size, signed);
}

function loadAny(
  env: Environment,
  pointer: Register,
  { register, off: offset, size }: Access,
  signed: boolean,
  fills: boolean,
): Register {
  const off = offset + pointer.off;
  switch (pointer.type) {
    case "fp":
      return loadStack(env, register, pointer, off, size, fills);
    case "ctx":
      checkUnmoved(pointer, register);
      return loadContext(env, off, size, signed);
    case "map_value":
      checkMapAccess(env, register, pointer, off, size, false);
      return constantOf(pointer, off, size, signed) ?? UNKNOWN_SCALAR;
    case "map_key":
      checkRegion(register, pointer, off, size, mapKey(pointer));
      return UNKNOWN_SCALAR;
    case "mem":
      checkRegion(register, pointer, off, size, plainMemory(pointer));
      return UNKNOWN_SCALAR;
    case "pkt":
    case "pkt_meta":
      checkPacket(register, pointer, off, size);
      return UNKNOWN_SCALAR;
    case "flow_keys":
      checkFlowKeys(off, size);
      return UNKNOWN_SCALAR;
    case "sock":
    case "sock_common":
      if (!findSocketField(off, size, pointer.type === "sock")) {
        const text = `R${register} invalid ${pointer.type} access off=${off} size=${size}`;
        throw new Refusal(EACCES, text);
      }
      return UNKNOWN_SCALAR;
    default:
      throw invalidAccess(env, register, pointer);
  }
}

function invalidAccess(env: Environment, register: number, { type }: Register): Refusal {
  // Linux lets programs read its struct bpf_map, by BTF that the embedded kernel doesn't have.
  const isHidden = type === "map_ptr" && !env.subject.perfmon;
  return new Refusal(isHidden ? EPERM : EACCES, `R${register} invalid mem access '${type}'`);
}

/** Stores. */
export function store(env: Environment, access: Access, stored: Stored): void {
  const pointer = env.state.frame.get(access.register);
  checkAlignment(env, pointer, access);
  const { register, size } = access;
  const off = access.off + pointer.off;
  switch (pointer.type) {
    case "fp":
      storeStack(env, register, pointer, off, size, stored);
      return;
    case "ctx":
      checkLeak(env, stored, "ctx");
      checkUnmoved(pointer, register);
      if (findField(env.subject.layout, off, size, true) === null) throw badContext(off, size);
      return;
    case "map_value":
      checkLeak(env, stored, "map");
      checkMapAccess(env, register, pointer, off, size, true);
      return;
    case "map_key":
      throw new Refusal(EACCES, `write to change key R${register} not allowed`);
    case "mem":
      checkLeak(env, stored, "mem");
      checkRegion(register, pointer, off, size, plainMemory(pointer));
      return;
    case "pkt":
    case "pkt_meta":
      if (env.subject.type !== BPF_PROG_TYPE_XDP) {
        throw new Refusal(EACCES, "cannot write into packet");
      }
      checkLeak(env, stored, "packet");
      checkPacket(register, pointer, off, size);
      return;
    case "flow_keys":
      checkLeak(env, stored, "flow keys");
      checkFlowKeys(off, size);
      return;
    case "sock":
    case "sock_common":
      throw new Refusal(EACCES, `R${register} cannot write into ${pointer.type}`);
    default:
      throw invalidAccess(env, register, pointer);
  }
}

function checkLeak(env: Environment, { register, contents }: Stored, where: string): void {
  if (contents === null || !isSecret(env, contents)) return;
  throw new Refusal(EACCES, `R${register} leaks addr into ${where}`);
}

/** Nothing was added to the pointer. Analogous to check_ptr_off_reg() in Linux. */
export function checkUnmoved({ off, type, bounds }: Register, register: number): void {
  const { bits } = bounds;
  if (off === 0 && bits.isZero) return;
  const text =
    off < 0
      ? `negative offset ${type} ptr R${register} off=${off} disallowed`
      : off > 0
        ? `dereference of modified ${type} ptr R${register} off=${off} disallowed`
        : `variable ${type} access var_off=${tnum.format(bits)} disallowed`;
  throw new Refusal(EACCES, text);
}

function badContext(off: number, size: number): Refusal {
  return new Refusal(EACCES, `invalid bpf_context access off=${off} size=${size}`);
}

function loadContext(env: Environment, off: number, size: number, signed: boolean): Register {
  const field = findField(env.subject.layout, off, size, false);
  if (field === null) throw badContext(off, size);
  switch (field.kind) {
    case "scalar":
      return UNKNOWN_SCALAR;
    case "packet":
    case "packet_end":
    case "packet_meta":
      if (signed) throw badContext(off, size);
      return makePointer(PACKET_TYPES[field.kind]);
    case "flow_keys":
      return makePointer("flow_keys");
    default: {
      const type = env.subject.layout.name === "__sk_buff" ? "sock_common_or_null" : "sock_or_null";
      return makePointer(type, { id: env.nextId() });
    }
  }
}

const PACKET_TYPES = { packet: "pkt", packet_end: "pkt_end", packet_meta: "pkt_meta" } as const;

function checkFlowKeys(off: number, size: number): void {
  if (off >= 0 && off + size <= FLOW_KEYS_SIZE) return;
  const text = `invalid access to flow keys off=${off} size=${size}`;
  throw new Refusal(EACCES, text);
}

/** What was compared with the packet's end covers the access. */
export function checkPacket(register: number, pointer: Register, off: number, size: number): void {
  const { bounds, range, id } = pointer;
  if (bounds.sminHigh < 0) throw negative(register);
  if (range >= 0 && off >= 0 && off + size <= range) return;
  const text = `R${register} offset is outside of the packet`;
  if (range < 0) throw new Refusal(EINVAL, text);
  const access = `invalid access to packet, off=${off} size=${size}`;
  throw new Refusal(EACCES, `${access}, R${register}(id=${id},off=${off},r=${range})\n${text}`);
}

function mapKey({ map }: Register): Extent {
  const keySize = (map as BpfMap).facts.keySize;
  return {
    size: keySize,
    outside: (off, size) =>
      `invalid access to map key, key_size=${keySize} off=${off} size=${size}`,
  };
}

function plainMemory({ size: total }: Register): Extent {
  return {
    size: total,
    outside: (off, size) => `invalid access to memory, mem_size=${total} off=${off} size=${size}`,
  };
}

/** A map's value, as far as the map lets programs. */
export function checkMapAccess(
  env: Environment,
  register: number,
  pointer: Register,
  off: number,
  size: number,
  write: boolean,
): void {
  const { valueSize, flags } = (pointer.map as BpfMap).facts;
  if ((flags & (write ? BPF_F_RDONLY_PROG : BPF_F_WRONLY_PROG)) !== 0) {
    const what = write ? "write into" : "read from";
    const text = `${what} map forbidden, value_size=${valueSize} off=${off} size=${size}`;
    throw new Refusal(EACCES, text);
  }
  checkValueRegion(register, pointer, off, size);
  void env;
}

/** Memory of a map's key or of plain memory, for helpers. */
export function checkPlainRegion(register: number, pointer: Register, size: number): void {
  const extent = pointer.type === "map_key" ? mapKey(pointer) : plainMemory(pointer);
  checkRegion(register, pointer, pointer.off, size, extent);
}

/** Nobody can change the map's values any more: they are constants. */
export function isConstantMap(map: BpfMap): map is ArrayMap {
  const isReadOnly = (map.facts.flags & BPF_F_RDONLY_PROG) !== 0 && map.frozen;
  return isReadOnly && map instanceof ArrayMap && !map.perCpu && map.facts.maxEntries === 1;
}

function constantOf(
  { map, bounds }: Register,
  off: number,
  size: number,
  signed: boolean,
): Register | null {
  if (map === null || !bounds.bits.isConstant || !isConstantMap(map)) return null;
  const address = map.directValueAddress(0) + off + Number(bounds.bits.value);
  const bytes = map.machine.memory.bytes.subarray(address, address + size);
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
  return known(signed ? BigInt.asIntN(size * 8, value) : value);
}
