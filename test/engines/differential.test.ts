/**
 * Breaks when one of the engines, or Linux, leaves something else behind of a random program than
 * the others do. NSLINK_ENGINES_PROGRAMS says how many are run, NSLINK_ENGINES_SEED where to begin
 * (elsewhere in each run, by default).
 */

import { expect, test } from "vitest";
import { reasonNotToUseLinux } from "../contract/linux_available.ts";
import { numberSetting, seedSetting } from "../settings.ts";
import { Engines } from "./differential.ts";

const PROGRAMS = numberSetting("NSLINK_ENGINES_PROGRAMS", 1000);
const SEED = seedSetting("NSLINK_ENGINES_SEED");
const MAX_DIFFERENCES = 3;

test(`engines agree on ${PROGRAMS} random programs that the verifier accepts`, async () => {
  const reason = await reasonNotToUseLinux();
  if (reason !== null && process.env.NSLINK_REQUIRE_LINUX === "1") expect.fail(reason);
  using engines = await Engines.open(reason === null);
  const counts = engines.compare({
    seed: SEED,
    programs: PROGRAMS,
    maxDifferences: MAX_DIFFERENCES,
  });
  const { tried, programs, onLinux, refusedByLinux, differences } = counts;
  const where = reason === null ? `${onLinux} of them on Linux` : `NOT ON LINUX: ${reason}`;
  const names = engines.names.join(", ");
  console.info(`engines: seed ${SEED}, ${programs} programs of ${tried} on ${names}; ${where}`);
  expect(differences.join("\n\n")).toBe("");
  expect(programs).toBe(PROGRAMS);
  // What Linux refuses tells nothing of engines; it is the business of test/verifier/.
  if (reason === null) expect(onLinux + refusedByLinux).toBeGreaterThan(PROGRAMS * 0.9);
  expect(refusedByLinux).toBeLessThan(PROGRAMS / 50);
});
