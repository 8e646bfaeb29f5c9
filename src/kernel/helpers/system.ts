/**
 * Helpers that say something about the machine.
 */

import { BPF_FUNC } from "../../abi/helpers.ts";
import type { Helper } from "./helper.ts";

const prandom: Helper = ({ machine }) => machine.options.random() >>> 0;
const processorId: Helper = ({ cpu }) => cpu;
const numaNodeId: Helper = () => 0;

export const SYSTEM_HELPERS: ReadonlyMap<number, Helper> = new Map([
  [BPF_FUNC.get_prandom_u32, prandom],
  [BPF_FUNC.get_smp_processor_id, processorId],
  [BPF_FUNC.get_numa_node_id, numaNodeId],
]);
