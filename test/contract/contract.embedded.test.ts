/**
 * The contract on the embedded kernel: what fails here behaves otherwise on Linux.
 */

import { afterAll, beforeAll } from "vitest";
import { CHAPTERS } from "./chapters.ts";
import { embeddedKind } from "./embedded_world.ts";
import { runChapters } from "./rules.ts";
import type { World } from "./world.ts";

let world: World;

beforeAll(async () => {
  world = await embeddedKind.open();
});

afterAll(() => world.end());

runChapters(CHAPTERS, embeddedKind, () => world);
