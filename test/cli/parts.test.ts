/**
 * Parts of the command that its whole runs don't tell apart: colours, source lines of listings, and
 * pins of maps that are there already.
 */

import { describe, expect, test } from "vitest";
import { linesOf } from "../../src/cli/disasm.ts";
import { doctor } from "../../src/cli/doctor.ts";
import { type PinnedMaps, pinMaps as pinMapsHeld } from "../../src/cli/map_pins.ts";
import { Output, type Sink } from "../../src/cli/output.ts";
import type { Session } from "../../src/cli/session.ts";
import { loadObject } from "../../src/elf/index.ts";
import { BpfMap } from "../../src/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { projectFile } from "./command.ts";

/** A line's first word, and the number of its colour. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what sets a colour
const COLOURED = /^(?:\x1b\[(\d+)m)?(\w+)/;

/** What the doctor says of a kernel to a terminal. */
async function doctorsWords(kernel: EmbeddedKernel): Promise<string[]> {
  let text = "";
  const sink = {
    isTTY: true,
    write: (part: string) => {
      text += part;
      return true;
    },
  } as unknown as Sink;
  const session = { output: new Output(sink, sink, {}), kernel: async () => kernel, exitCode: 0 };
  await doctor(session as unknown as Session, { kernel: "embedded" });
  return text.split("\n");
}

test("the doctor's words have colours: what is well, what to note, what is wrong", async () => {
  using kernel = EmbeddedKernel.boot();
  using nobody = kernel.task({ capabilities: [] });
  const colours = new Map<string, Set<string>>();
  for (const line of [...(await doctorsWords(kernel)), ...(await doctorsWords(nobody))]) {
    const [, code = "", word = ""] = COLOURED.exec(line) ?? [];
    if (!["ok", "note", "PROBLEM"].includes(word)) continue;
    colours.set(word, (colours.get(word) ?? new Set()).add(code));
  }
  // Green, yellow and red of ECMA-48.
  expect(Object.fromEntries([...colours].map(([word, codes]) => [word, [...codes]]))).toEqual({
    ok: ["32"],
    note: ["33"],
    PROBLEM: ["31"],
  });
});

describe("the source lines of a listing", () => {
  const program = [...loadObject(projectFile("bpf/flow.bpf.o")).programs.values()][0];
  if (program === undefined) throw new RangeError("the object has no program");
  /** Slots above which a line is shown, when records are of these lines of these files. */
  const shown = (...records: readonly (readonly [file: string, line: number])[]) => {
    const lines = records.map(([file, line], slot) => ({ slot, file, line, column: 1, text: "" }));
    return linesOf({ ...program, lines })
      .filter(({ source }) => source !== undefined)
      .map(({ slot, source }) => [slot, source?.file, source?.line]);
  };

  test("are shown where another line begins, in the same file or not", () => {
    expect(shown(["a.c", 1], ["a.c", 1], ["a.c", 2], ["b.c", 2], ["b.c", 2], ["a.c", 2])).toEqual([
      [0, "a.c", 1],
      [2, "a.c", 2],
      [3, "b.c", 2],
      [5, "a.c", 2],
    ]);
  });

  test("are shown again when they come back", () => {
    expect(shown(["a.c", 1], ["a.c", 2], ["a.c", 1])).toHaveLength(3);
  });
});

describe("a pin of a map", () => {
  const SHAPE = { type: 2, keySize: 4, valueSize: 4, maxEntries: 1 };
  const DIRECTORY = "/sys/fs/bpf/maps";

  /** Pins maps, and leaves nothing open. */
  function pinMaps(kernel: EmbeddedKernel, path: string, maps: [string, BpfMap][]): PinnedMaps {
    const held: Disposable[] = [];
    try {
      const { paths, undo } = pinMapsHeld(kernel, path, new Map(maps), (one) => held.push(one));
      return { paths, undo };
    } catch (error) {
      for (const one of held.reverse()) one[Symbol.dispose]();
      throw error;
    }
  }

  test("that is there already is left there, whatever happens then", () => {
    using kernel = EmbeddedKernel.boot();
    using map = BpfMap.create(kernel, SHAPE);
    expect(pinMaps(kernel, DIRECTORY, [["m", map]]).paths).toEqual([`${DIRECTORY}/m`]);
    const again = pinMaps(kernel, DIRECTORY, [["m", map]]);
    expect(again.paths).toEqual([`${DIRECTORY}/m`]);
    again.undo();
    expect(kernel.bpffs.readdir(DIRECTORY)).toEqual(["m"]);
  });

  test("of another map is refused, and nothing is left of the others", () => {
    using kernel = EmbeddedKernel.boot();
    using map = BpfMap.create(kernel, SHAPE);
    using other = BpfMap.create(kernel, SHAPE);
    pinMaps(kernel, DIRECTORY, [["b", other]]);
    const maps: [string, BpfMap][] = [
      ["a", map],
      ["b", map],
    ];
    expect(() => pinMaps(kernel, DIRECTORY, maps)).toThrow(expect.objectContaining({ errno: 17 }));
    expect(kernel.bpffs.readdir(DIRECTORY)).toEqual(["b"]);
  });

  test("that the kernel refuses for another reason says which", () => {
    using kernel = EmbeddedKernel.boot();
    using map = BpfMap.create(kernel, SHAPE);
    const refused = () => pinMaps(kernel, `/sys/fs/bpf/none${DIRECTORY}`, [["m", map]]);
    expect(refused).toThrow(expect.objectContaining({ errno: 2 }));
    expect(kernel.bpffs.readdir("/sys/fs/bpf")).toEqual([]);
  });
});
