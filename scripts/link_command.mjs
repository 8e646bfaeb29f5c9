// Makes `npx nslink` find the command that was built here, as it finds one of a package that is
// installed. Without this link npx installs the project into its cache, which builds it once more.

import { existsSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const bin = fileURLToPath(new URL("../node_modules/.bin", import.meta.url));
const link = join(bin, "nslink");
if (existsSync(bin)) {
  rmSync(link, { force: true });
  symlinkSync("../../dist/bin/nslink.js", link);
}
