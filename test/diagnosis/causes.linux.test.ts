/** The causes of refusals on Linux itself: what is said of them has to be true there as well. */

import { describeOnLinux } from "../contract/linux_available.ts";
import { causes } from "./causes.ts";

await describeOnLinux("causes", async () => {
  // Not before it is known that koffi can be loaded.
  const { linuxKind } = await import("../contract/linux_world.ts");
  const { withCapabilities } = await import("./linux_capabilities.ts");
  causes({
    kind: linuxKind,
    kernel: "linux",
    withCapabilities:
      ({ kernel }) =>
      (capabilities, call) =>
        withCapabilities(capabilities, () => call(kernel)),
  });
});
