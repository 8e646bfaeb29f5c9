/** The nouns on Linux itself: what they say of a refusal has to be true there as well. */

import { describeOnLinux } from "../contract/linux_available.ts";
import { SCENES } from "./scenes.ts";

await describeOnLinux("the nouns", async () => {
  // Not before it is known that koffi can be loaded.
  const { linuxKind } = await import("../contract/linux_world.ts");
  for (const scene of SCENES) scene(linuxKind);
});
