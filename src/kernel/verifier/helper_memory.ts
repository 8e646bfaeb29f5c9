/**
 * Memory that helpers and global functions are handed. Analogous to check_helper_mem_access() in
 * kernel/bpf/verifier.c.
 */

import { EACCES } from "../../abi/errno.ts";
import type { Environment } from "./environment.ts";
import * as memory from "./memory.ts";
import { Refusal } from "./refusal.ts";
import { checkInitialized, stackReach } from "./stack_access.ts";

/**
 * Memory that a helper reads or writes.
 *
 * @param filled - the helper writes all of it. @returns whether it is stack that need not have been
 *   written before.
 */
export function checkMemory(
  env: Environment,
  register: number,
  size: number,
  writes: boolean,
  filled: boolean = false,
): boolean {
  const contents = env.state.frame.get(register);
  const { off } = contents;
  switch (contents.type) {
    case "pkt":
    case "pkt_meta":
      memory.checkPacket(register, contents, off, size);
      return false;
    case "map_value":
      memory.checkMapAccess(env, register, contents, off, size, writes);
      return false;
    case "fp": {
      const reach = stackReach(env, register, contents, off, size, writes);
      if (filled && contents.bounds.bits.isConstant) return true;
      checkInitialized(env, register, contents, size, reach, writes);
      return false;
    }
    case "map_key":
      if (writes) {
        const text = `R${register} cannot write into map_key`;
        throw new Refusal(EACCES, text);
      }
      memory.checkPlainRegion(register, contents, size);
      return false;
    default:
      memory.checkPlainRegion(register, contents, size);
      return false;
  }
}
