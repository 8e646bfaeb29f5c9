/**
 * The contract on Linux itself, the oracle: what fails here is a wrong rule, not a wrong kernel.
 */

import { beforeAll, expect, test } from "vitest";
import { CHAPTERS } from "./chapters.ts";
import { describeOnLinux } from "./linux_available.ts";
import { runChapters } from "./rules.ts";
import { until, type World } from "./world.ts";

await describeOnLinux("the contract", async () => {
  // Not before it is known that koffi can be loaded.
  const { linuxKind, objectsLeft, traces } = await import("./linux_world.ts");
  const before = traces();
  let world: World;
  beforeAll(async () => {
    world = await linuxKind.open();
  });

  runChapters(CHAPTERS, linuxKind, () => world);

  test("no program, map, fd, mount, name or change of namespace is left behind", async () => {
    await until(world, "programs and maps go", () => objectsLeft(world) === 0);
    await world.end();
    expect(traces()).toEqual(before);
  });
});
