/**
 * Faults that Linux finds in itself are passed over, or laid at somebody else's door, if this
 * breaks.
 */

import { expect, test } from "vitest";
import { faultsInLog, faultsOf, kindOfFault } from "./kernel_log.ts";

const BOUNDS =
  "verifier bug: REG INVARIANTS VIOLATION (false_reg1): range bounds violation u64=[0x1, 0x0]";
const RECORDS = [
  "------------[ cut here ]------------",
  BOUNDS,
  "WARNING: CPU: 1 PID: 10671 at kernel/bpf/verifier.c:2786 reg_bounds_sanity_check+0x17b/0x230",
  "CPU: 1 UID: 0 PID: 10671 Comm: node Not tainted 6.18.44 #1 PREEMPT(none) ",
  "------------[ cut here ]------------",
  "WARNING: CPU: 0 PID: 29713 at kernel/bpf/btf.c:4009 btf_parse_fields+0x80c/0x910",
  "BUG: kernel NULL pointer dereference, address: 0000000000000000",
  "#PF: supervisor read access in kernel mode",
  "CPU: 0 UID: 0 PID: 77 Comm: node Not tainted 6.18.44 #1 PREEMPT(none) ",
  "eth0: link becomes ready",
];

test("faults are those of one thread, in the verifier's words where it has any", () => {
  expect(faultsOf(RECORDS, "10671")).toEqual([BOUNDS]);
  expect(faultsOf(RECORDS, "29713")).toEqual([RECORDS[5]]);
  expect(faultsOf(RECORDS, "77")).toEqual([RECORDS[6]]);
  expect(faultsOf(RECORDS, "1")).toEqual([]);
  expect(faultsOf(RECORDS, null)).toHaveLength(3);
});

test("the verifier's log is searched line by line", () => {
  expect(faultsInLog(`0: R1=ctx()\n${BOUNDS}\nprocessed 1 insns`)).toEqual([BOUNDS]);
  expect(faultsInLog("0: R1=ctx()\nprocessed 1 insns")).toEqual([]);
});

test("a fault is of one kind wherever it comes", () => {
  const other = BOUNDS.replace("0x1", "0x7").replace("0x0", "0x3");
  expect(kindOfFault(other)).toBe(kindOfFault(BOUNDS));
  expect(kindOfFault(BOUNDS)).toContain("false_reg1");
  const [warning = ""] = faultsOf(RECORDS, "29713");
  expect(kindOfFault(warning.replace("CPU: 0 PID: 29713", "CPU: 1 PID: 4"))).toBe(
    kindOfFault(warning),
  );
  expect(kindOfFault(warning.replace("4009", "4028"))).not.toBe(kindOfFault(warning));
});
