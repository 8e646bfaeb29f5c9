/**
 * Helpers that look into maps.
 */

import { EINVAL } from "../../abi/errno.ts";
import { BPF_FUNC } from "../../abi/helpers.ts";
import { BPF_REG_1, BPF_REG_2, BPF_REG_3, BPF_REG_4 } from "../../abi/insn.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import type { Registers } from "../interpreter/registers.ts";
import type { Helper, HelperCaller } from "./helper.ts";

/** void *bpf_map_lookup_elem(map, key): the value's address, or 0. */
const mapLookupElem: Helper = (caller, registers) => {
  const map = mapArgument(caller, registers);
  return map.lookup(keyArgument(caller, map), caller.cpu);
};

/** long bpf_map_update_elem(map, key, value, flags) */
const mapUpdateElem: Helper = (caller, registers) => {
  const map = mapArgument(caller, registers);
  const key = keyArgument(caller, map);
  const value = caller.address(BPF_REG_3, 0);
  caller.checkRead(value, map.facts.valueSize);
  // Flags that need more than 32 bits are as unknown as any other unknown one.
  if (registers.high(BPF_REG_4) !== 0) return -EINVAL;
  return map.update(key, value, registers.low(BPF_REG_4), caller.cpu);
};

/** long bpf_map_delete_elem(map, key) */
const mapDeleteElem: Helper = (caller, registers) => {
  const map = mapArgument(caller, registers);
  return map.delete(keyArgument(caller, map));
};

function mapArgument(caller: HelperCaller, registers: Registers): BpfMap {
  return caller.map(registers.low(BPF_REG_1), registers.high(BPF_REG_1));
}

function keyArgument(caller: HelperCaller, map: BpfMap): number {
  const key = caller.address(BPF_REG_2, 0);
  caller.checkRead(key, map.facts.keySize);
  return key;
}

/**
 * long bpf_for_each_map_elem(map, callback, callback_ctx, flags): how many elements the callback
 * saw. It is called with (map, key, value, ctx) and ends the walk by returning 1.
 */
const forEachMapElem: Helper = (caller, registers) => {
  const map = mapArgument(caller, registers);
  const callback = caller.functionSlot(BPF_REG_2);
  const context = registers.get(BPF_REG_3);
  if (registers.get(BPF_REG_4) !== 0n) return -EINVAL;
  const visit = (key: number, value: number): boolean =>
    caller.lend(key, map.facts.keySize, () => {
      return caller.callFunction(callback, map.address, key, value, context) === 0n;
    });
  return map.forEach(visit, caller.cpu);
};

export const MAP_HELPERS: ReadonlyMap<number, Helper> = new Map([
  [BPF_FUNC.map_lookup_elem, mapLookupElem],
  [BPF_FUNC.map_update_elem, mapUpdateElem],
  [BPF_FUNC.map_delete_elem, mapDeleteElem],
  [BPF_FUNC.for_each_map_elem, forEachMapElem],
]);
