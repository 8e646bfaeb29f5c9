/**
 * Names of BPF objects. Mirrors bpf_obj_name_cpy() in kernel/bpf/syscall.c in Linux.
 */

import { EINVAL } from "../../../abi/errno.ts";

/** Letters and digits of ISO 8859-1, which is what Linux's isalnum() goes by, `_` and `.`. */
const NAME: RegExp = /^[A-Za-z0-9_.\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff]*$/;

/**
 * The name in a field of an attr.
 *
 * @returns its bytes, one a character; -EINVAL when it has no end or a character it can't have.
 */
export function loadObjectName(field: Uint8Array): string | number {
  const end = field.indexOf(0);
  if (end < 0) return -EINVAL;
  const name = String.fromCharCode(...field.subarray(0, end));
  return NAME.test(name) ? name : -EINVAL;
}

/** The bytes of a name, as a field of info holds them, without the zeros after it. */
export function objectNameBytes(name: string): Uint8Array {
  return Uint8Array.from(name, (character) => character.charCodeAt(0));
}
