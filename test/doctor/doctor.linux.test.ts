/** The doctor on Linux itself, which has to be a newer one: 6.5 at least. */

import { describeOnLinux } from "../contract/linux_available.ts";
import { doctor } from "./doctor.ts";

await describeOnLinux("the doctor", async () => {
  // Not before it is known that koffi can be loaded.
  const { linuxKind } = await import("../contract/linux_world.ts");
  doctor(linuxKind, []);
});
