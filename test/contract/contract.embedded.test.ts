/**
 * The contract on the embedded kernel, whatever runs its programs: what fails here behaves
 * otherwise on Linux.
 */

import { afterAll, beforeAll, describe } from "vitest";
import { CHAPTERS } from "./chapters.ts";
import { embeddedKind, openEmbeddedWorld } from "./embedded_world.ts";
import { runChapters } from "./rules.ts";
import type { World } from "./world.ts";

describe.each(["interpreter", "jit"] as const)("on the %s", (engine) => {
  let world: World;

  beforeAll(() => {
    world = openEmbeddedWorld({ possibleCpus: 2, engine });
  });

  afterAll(() => world.end());

  runChapters(CHAPTERS, embeddedKind, () => world);
});
