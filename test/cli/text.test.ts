/** Text for people: if this fails, a terminal obeys a name, or a table can't be read. */

import { expect, test } from "vitest";
import { decodeName } from "../../src/abi/names.ts";
import { describeFailure } from "../../src/cli/failure.ts";
import { Output, type Sink } from "../../src/cli/output.ts";
import { oneLine, printable, table } from "../../src/cli/text.ts";
import { BpfError } from "../../src/errors.ts";
import { HOSTILE_BYTES, HOSTILE_NAMES } from "../hostile_names.ts";

const NAMES = [...HOSTILE_NAMES, ...HOSTILE_BYTES.map(decodeName)];
/** Whatever a terminal may obey, or hide, or show elsewhere. */
const OBEYED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

class Written implements Sink {
  text: string = "";
  readonly isTTY: boolean = true;
  readonly columns: number;
  constructor(columns: number = 80) {
    this.columns = columns;
  }
  write(text: string): boolean {
    this.text += text;
    return true;
  }
  once(): void {}
}

test.each(NAMES)("%j is shown, and not obeyed", async (name) => {
  expect(oneLine(name)).not.toMatch(OBEYED);
  expect(printable(name).replaceAll(/[\n\t]/g, "")).not.toMatch(OBEYED);
  const out = new Written();
  const errors = new Written();
  const output = new Output(out, errors, { NO_COLOR: "1" });
  await output.lines([`network namespace ${name} removed`]);
  await output.table([{ title: "name" }, { title: "more" }], [[name, "x"]]);
  output.complain(describeFailure(new BpfError("x", -1, `no ${name}`)).text);
  expect(out.text.split("\n"), "a line, and a table of two").toHaveLength(4);
  expect(errors.text.split("\n")).toHaveLength(2);
  expect((out.text + errors.text).replaceAll("\n", "")).not.toMatch(OBEYED);
  const json = new Written();
  await new Output(json).json({ [name]: name });
  expect(json.text, "JSON has them escaped").not.toMatch(/[^\P{Cc}\n]|\p{Cs}/u);
  expect(Object.entries(JSON.parse(json.text))).toEqual([[name, name]]);
});

test("different names are shown differently", () => {
  expect(new Set(NAMES.map(oneLine)).size).toBe(NAMES.length);
});

test("a table is no wider than the terminal, and says all of each cell", async () => {
  const columns = [
    { title: "id", align: "right" },
    { title: "name", folds: true },
    { title: "paths", folds: true },
  ] as const;
  const row = ["12", "a name of some length", "/sys/fs/bpf/one/two/three, /sys/fs/bpf/four"];
  for (const width of [30, 40, 60, 200]) {
    const out = new Written(width);
    await new Output(out, out, {}).table(columns, [row]);
    const lines = out.text.trimEnd().split("\n");
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(width);
    const shown = lines.slice(1).join("").replaceAll(/\s/g, "");
    expect([...shown].sort()).toEqual([...row.join("").replaceAll(/\s/g, "")].sort());
  }
  expect(table(columns, [row]), "without a terminal nothing folds").toHaveLength(
    table(columns, [row], 1000).length,
  );
  expect(table(columns, [row], 1).split("\n").length, "too narrow for anything").toBeLessThan(12);
});
