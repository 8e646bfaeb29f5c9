/** What people and scripts read of the doctor: ids, words and ages, noticed when one changes. */

import { expect, test } from "vitest";
import { examine } from "../../src/doctor/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";

test("features and checks have the ids and words that they always had", () => {
  using kernel = EmbeddedKernel.boot();
  const { features, checks } = examine(kernel.task({ capabilities: [] }));
  expect(features).toMatchSnapshot("features");
  expect(checks).toMatchSnapshot("checks");
});
