/**
 * Every family of instructions, with literal expectations: a case that fails is an instruction that
 * computes something else than Linux does.
 */
import { describe, expect, test } from "vitest";
import { INSTRUCTION_CASES } from "./instructions.ts";
import { boot, ENGINES, evaluate } from "./support.ts";

describe.each(Object.entries(ENGINES))("on the %s", (_engine, options) => {
  const { machine } = boot(options);

  describe.each(Object.entries(INSTRUCTION_CASES))("%s", (_family, cases) => {
    test.each(cases)("%s", (_name, text, r0) => {
      expect(evaluate(machine, text).toString(16)).toBe(r0.toString(16));
    });
  });
});
