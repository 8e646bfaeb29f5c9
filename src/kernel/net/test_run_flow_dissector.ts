/**
 * BPF_PROG_TEST_RUN of flow dissectors. Mirrors bpf_prog_test_run_flow_dissector() in Linux.
 */

import { TEST_RUN } from "../../abi/attr.ts";
import { EINVAL } from "../../abi/errno.ts";
import { BPF_FLOW_KEYS_SIZE, ETH_HLEN, FLOW_KEYS } from "../../abi/flow_keys.ts";
import type { Attr } from "../attr.ts";
import type { Prog } from "../bpf/prog.ts";
import type { Task } from "../task.ts";
import { bpfFlowDissect } from "./flow_dissector.ts";
import {
  finishContext,
  finishData,
  isZeroBut,
  PAGE_SIZE,
  readContext,
  readPacket,
  repeatRun,
} from "./test_run.ts";

/** An Ethernet header has its protocol here. */
const ETHERTYPE_OFFSET = 12;
const FLAGS_AT = FLOW_KEYS.flags[0];

/**
 * The context that goes in is flow keys with nothing but input flags set, and comes out as it went
 * in; the result is the data that comes out.
 */
export function testRunFlowDissector(task: Task, prog: Prog, attr: Attr): number {
  if (attr.u32(TEST_RUN.flags) !== 0 || attr.u32(TEST_RUN.cpu) !== 0) return -EINVAL;
  if (attr.u32(TEST_RUN.batch_size) !== 0) return -EINVAL;
  const data = readPacket(task, attr, attr.u32(TEST_RUN.data_size_in), PAGE_SIZE);
  if (typeof data === "number") return data;
  const context = readContext(task, attr, BPF_FLOW_KEYS_SIZE);
  if (typeof context === "number") return context;
  if (context !== null && !isZeroBut(context, [[FLAGS_AT, FLAGS_AT + 4]])) return -EINVAL;
  const flags = context === null ? 0 : new DataView(context.buffer).getUint32(FLAGS_AT, true);
  const protocol = new DataView(data.buffer).getUint16(ETHERTYPE_OFFSET, false);
  const frame = { data, networkOffset: ETH_HLEN, protocol };
  const repeated = repeatRun(task, attr.u32(TEST_RUN.repeat), (times) =>
    bpfFlowDissect(task.machine, prog, frame, flags, { times }),
  );
  if (typeof repeated === "number") return repeated;
  const error = finishData(task, attr, repeated.outcome.keys, repeated);
  return error === 0 ? finishContext(task, attr, context) : error;
}
