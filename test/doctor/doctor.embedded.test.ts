/** The doctor on the embedded kernel. */

import { describe } from "vitest";
import { embeddedKind } from "../contract/embedded_world.ts";
import { doctor } from "./doctor.ts";

describe("the doctor on the embedded kernel", () => {
  doctor(embeddedKind, ["test-run-sk-lookup"]);
});
