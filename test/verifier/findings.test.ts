/**
 * docs/linux-findings.md says of Linux what isn't so, or the embedded verifier makes the same
 * mistakes, if this breaks. The programs are the page's own.
 */

import { readFileSync } from "node:fs";
import { release } from "node:os";
import { describe, expect, test } from "vitest";
import { BPF_F_TEST_STATE_FREQ } from "../../src/abi/bpf.ts";
import { BPF_LOG_LEVEL2 } from "../../src/kernel/verifier/log.ts";
import { describeOnLinux } from "../contract/linux_available.ts";
import { faultsInLog } from "./kernel_log.ts";
import { embeddedJudge, linuxJudge } from "./table/judge.ts";
import { accepted, type Row, type RowOptions } from "./table/row.ts";

interface Finding extends RowOptions {
  /** "" where it is accepted. */
  readonly here: string;
  readonly there: string;
  /** What Linux's verifier says of itself, if it does. */
  readonly fault?: string;
}

const ONE = { functions: ["main", "static"] } as const;
const TWO = { functions: ["main", "static", "static"] } as const;

/** By the headings under which the programs stand. */
const FINDINGS: Readonly<Record<string, Finding>> = {
  "A fill with the sign extended stays linked to what was spilled": { here: "EACCES", there: "" },
  "A callback's path is cut short before it is known what matters in it": {
    here: "EINVAL",
    there: "",
    flags: BPF_F_TEST_STATE_FREQ,
    ...ONE,
  },
  "REG INVARIANTS VIOLATION (true_reg1)": {
    here: "",
    there: "",
    fault: "REG INVARIANTS VIOLATION (true_reg1)",
  },
  "REG INVARIANTS VIOLATION (false_reg1)": {
    here: "",
    there: "",
    fault: "REG INVARIANTS VIOLATION (false_reg1)",
  },
  "REG INVARIANTS VIOLATION (true_reg2)": {
    here: "",
    there: "",
    fault: "REG INVARIANTS VIOLATION (true_reg2)",
  },
  "backtracking misuse": {
    here: "EFAULT",
    there: "EFAULT",
    fault: "backtracking misuse",
    ...ONE,
  },
  "No program to jit": {
    here: "EFAULT",
    there: "EFAULT",
    fault: "No program to jit at insn 6 (subprog < 0)",
    ...TWO,
  },
};

/** The page's programs by the headings before them. */
function programs(): Map<string, string> {
  const page = readFileSync("docs/linux-findings.md", "utf8");
  const found = new Map<string, string>();
  for (const section of page.split(/^### /m).slice(1)) {
    const program = /```asm\n([\s\S]*?)```/.exec(section)?.[1];
    if (program !== undefined) found.set(section.split("\n", 1)[0] as string, program);
  }
  return found;
}

const PROGRAMS = programs();

function rowOf(title: string, { functions, flags }: Finding): Row {
  const options = { ...(functions && { functions }), ...(flags !== undefined && { flags }) };
  return accepted(title, PROGRAMS.get(title) ?? "", options);
}

test("each program of the page is tried", () => {
  expect([...PROGRAMS.keys()]).toEqual(Object.keys(FINDINGS));
});

describe("the embedded verifier", () => {
  test.each(Object.entries(FINDINGS))("%s", (title, finding) => {
    using judge = embeddedJudge();
    const row = rowOf(title, finding);
    expect(judge.judge(row).errno).toBe(finding.here);
    expect(faultsInLog(judge.log(row, BPF_LOG_LEVEL2))).toEqual(
      finding.here === "EFAULT" && finding.fault === "backtracking misuse" ? [finding.fault] : [],
    );
  });
});

/** Other versions may have mended what is told of this one. */
const VERSION = "6.18.";
const isTold = release().startsWith(VERSION);
if (!isTold) console.warn(`not run on Linux: findings are of ${VERSION}x, this is ${release()}`);

await describeOnLinux("Linux's verifier", () => {
  test.skipIf(!isTold).each(Object.entries(FINDINGS))("%s", async (title, finding) => {
    using judge = await linuxJudge();
    const row = rowOf(title, finding);
    expect(judge.judge(row).errno).toBe(finding.there);
    const faults = faultsInLog(judge.log(row, BPF_LOG_LEVEL2));
    if (finding.fault === undefined) expect(faults).toEqual([]);
    else expect(faults[0]).toContain(finding.fault);
  });
});
