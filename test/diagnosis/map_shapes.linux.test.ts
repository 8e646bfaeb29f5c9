/** What is said of refused maps of Linux, which has all types. */

import { describeOnLinux } from "../contract/linux_available.ts";
import { mapShapes } from "./map_shapes.ts";

await describeOnLinux("shapes of maps", async () => {
  const { openLinuxKernel } = await import("../../src/linux/index.ts");
  const kernel = await openLinuxKernel();
  mapShapes(
    () => kernel,
    1000,
    () => true,
  );
});
