/** The causes of refusals on the embedded kernel. */

import { describe } from "vitest";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { embeddedKind } from "../contract/embedded_world.ts";
import { causes } from "./causes.ts";

describe("causes on the embedded kernel", () => {
  causes({
    kind: embeddedKind,
    kernel: "embedded",
    withCapabilities:
      ({ kernel }) =>
      (capabilities, call) => {
        if (!(kernel instanceof EmbeddedKernel))
          throw new TypeError("kernel: not the embedded one");
        using task = kernel.task({ capabilities });
        return call(task);
      },
  });
});
