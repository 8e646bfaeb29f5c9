/** Breaks when the embedded kernel lets those without capabilities do more, or less, than Linux. */

import { afterAll, beforeAll, describe } from "vitest";
import { embeddedKind, openEmbeddedWorld } from "./embedded_world.ts";
import { describeOnOpenLinux } from "./open_to_all.ts";
import { runChapters } from "./rules.ts";
import { unprivilegedChapter } from "./unprivileged.ts";
import type { World } from "./world.ts";

describe.each(["interpreter", "jit"] as const)("on the %s", (engine) => {
  let world: World;
  beforeAll(() => {
    world = openEmbeddedWorld({ possibleCpus: 2, engine, unprivilegedBpfDisabled: 0 });
  });
  afterAll(() => world.end());

  runChapters([unprivilegedChapter], embeddedKind, () => world);
});

await describeOnOpenLinux("unprivileged tasks", async () => {
  // Not before it is known that koffi can be loaded.
  const { linuxKind } = await import("./linux_world.ts");
  let world: World;
  beforeAll(async () => {
    world = await linuxKind.open();
  });
  afterAll(() => world.end());

  runChapters([unprivilegedChapter], linuxKind, () => world);
});
