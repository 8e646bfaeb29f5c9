/**
 * The embedded kernel says of a helper that Linux has it for this type of program, or that nobody
 * has, and is wrong, if this breaks.
 */

import { expect, test } from "vitest";
import { describeOnLinux } from "../contract/linux_available.ts";
import { describeOnOpenLinux } from "../contract/open_to_all.ts";
import { embeddedJudge, linuxJudge } from "./table/judge.ts";
import { type Row, TYPES, type Verdict } from "./table/row.ts";

/** A few more than there are. */
const HELPERS = 215;
/** Causes that say whether a program may call a helper at all. */
const ABOUT_CALLS: ReadonlySet<string> = new Set([
  "helper-missing",
  "helper-not-for-type",
  "helper-gpl-only",
]);

/** What is said of the call, before its arguments are looked at. */
function said({ cause }: Verdict): string {
  return ABOUT_CALLS.has(cause) ? cause : "may be called";
}

type Loader = Pick<Row, "license" | "without">;

/** Where the embedded kernel says something else than Linux. */
async function differences(
  type: keyof typeof TYPES,
  loaders: readonly Loader[],
): Promise<string[]> {
  using embedded = embeddedJudge();
  using linux = await linuxJudge();
  const different: string[] = [];
  for (const loader of loaders) {
    for (let id = 0; id < HELPERS; id++) {
      const text = `call ${id}\nr0 = 1\nexit`;
      const row: Row = { title: "", text, type, ...loader, errno: "", cause: "" };
      const [ours, theirs] = [said(embedded.judge(row)), said(linux.judge(row))];
      if (ours !== theirs) {
        different.push(`${id} ${JSON.stringify(loader)}: ${ours}, Linux: ${theirs}`);
      }
    }
  }
  return different;
}

await describeOnLinux("helpers beside Linux", () => {
  const types = Object.keys(TYPES) as (keyof typeof TYPES)[];
  const loaders: readonly Loader[] = [{}, { license: "proprietary" }, { without: "CAP_PERFMON" }];
  for (const type of types) {
    test(`${type}: every helper may be called, or not, as on Linux`, async () => {
      expect(await differences(type, loaders)).toEqual([]);
    });
  }
});

await describeOnOpenLinux("helpers beside Linux, without CAP_BPF", () => {
  test("every helper may be called, or not, as on Linux", async () => {
    const loaders: readonly Loader[] = [
      { without: "all capabilities" },
      { without: "all capabilities", license: "proprietary" },
      { without: "CAP_BPF" },
    ];
    expect(await differences("socket_filter", loaders)).toEqual([]);
  });
});
