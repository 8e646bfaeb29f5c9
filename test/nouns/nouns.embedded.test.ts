/** The nouns on the embedded kernel. */

import { describe } from "vitest";
import { embeddedKind } from "../contract/embedded_world.ts";
import { SCENES } from "./scenes.ts";

describe("the nouns", () => {
  for (const scene of SCENES) scene(embeddedKind);
});
