/**
 * The inventory of the embedded kernel.
 */

import { afterAll, beforeAll } from "vitest";
import { embeddedKind } from "../contract/embedded_world.ts";
import { runChapters } from "../contract/rules.ts";
import type { World } from "../contract/world.ts";
import { CHAPTERS } from "./chapters.ts";

let world: World;

beforeAll(async () => {
  world = await embeddedKind.open();
});

afterAll(() => world.end());

runChapters(CHAPTERS, embeddedKind, () => world);
