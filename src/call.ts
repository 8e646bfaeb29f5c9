/**
 * One bpf(2) call: encode, call, decode.
 */

import { BPF_ATTR_SIZE } from "./abi/attr.ts";
import { decode, encodeInto, endOf, type Layout, type Values } from "./abi/layout.ts";
import { encodeName } from "./abi/names.ts";
import type { Kernel } from "./kernel.ts";

/** What a call returned, and its attr afterwards. */
export interface Answer<L extends Layout> {
  /** 0 or an fd when the call succeeded, else a negative errno. */
  readonly result: number;
  /** The attr's fields, those that the kernel wrote among them. */
  readonly attr: Values<L>;
}

/** `union bpf_attr`, as a call passes it. */
interface Attr {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly view: DataView;
}

/** The attr of an earlier call, to use again: making one costs as much as a call. */
let spare: Attr | null = null;

function newAttr(): Attr {
  const { buffer } = new Uint8Array(BPF_ATTR_SIZE);
  return {
    bytes: new Uint8Array(buffer),
    words: new Uint32Array(buffer),
    view: new DataView(buffer),
  };
}

/** An attr that is the caller's until he gives it back: a call may come in another's middle. */
function takeAttr<L extends Layout>(layout: L, values: Partial<Values<L>>, size: number): Attr {
  const attr = spare ?? newAttr();
  spare = null;
  // The kernel looks no further than `size`.
  for (let i = 0; i < size / 4; i++) attr.words[i] = 0;
  encodeInto(attr.view, layout, values);
  return attr;
}

/**
 * Calls bpf(2) for its result alone: decoding what came back costs as much as the call.
 *
 * @returns 0 or an fd, or a negative errno.
 */
export function bpfResult<L extends Layout>(
  kernel: Kernel,
  cmd: number,
  layout: L,
  values: Partial<Values<L>>,
): number {
  const size = endOf(layout);
  const attr = takeAttr(layout, values, size);
  const result = kernel.bpf(cmd, attr.bytes, size);
  spare = attr;
  return result;
}

/** Calls bpf(2) and hands back whatever it said. */
export function tryBpf<L extends Layout>(
  kernel: Kernel,
  cmd: number,
  layout: L,
  values: Partial<Values<L>>,
): Answer<L> {
  const size = endOf(layout);
  const attr = takeAttr(layout, values, size);
  const result = kernel.bpf(cmd, attr.bytes, size);
  const answer = { result, attr: decode(layout, attr.bytes) };
  spare = attr;
  return answer;
}

/**
 * The addresses of bytes that a call only reads. They are copied into one buffer: a kernel keeps a
 * note of every buffer that it gives the address of.
 */
export function addressesOf<Parts extends readonly Uint8Array[]>(
  kernel: Kernel,
  ...parts: Parts
): { [Part in keyof Parts]: bigint } {
  let size = 0;
  for (const { length } of parts) size += length;
  const together = new Uint8Array(size);
  const base = kernel.addressOf(together);
  let at = 0;
  const addresses = parts.map((part) => {
    const address = base + BigInt(at);
    together.set(part, at);
    at += part.length;
    return address;
  });
  return addresses as { [Part in keyof Parts]: bigint };
}

const encoder: TextEncoder = new TextEncoder();

/**
 * A string as the kernel reads it: UTF-8, or bytes as names have them, and a NUL.
 *
 * @throws {TypeError} for a string with a NUL in it: the kernel would see only its start.
 */
export function cString(text: string): Uint8Array {
  if (text.includes("\0")) throw new TypeError(`${JSON.stringify(text)} has a NUL in it`);
  return encodeName(`${text}\0`);
}

/** The text before the first NUL. */
export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** An object's name as the kernel takes it: at most 15 bytes, what it doesn't allow as `_`. */
export function objectName(name: string): Uint8Array {
  const allowed = name.replaceAll(/[^A-Za-z0-9_.]/g, "_").slice(0, 15);
  return encoder.encode(allowed);
}
