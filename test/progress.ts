/**
 * Says how far a run of the tests is, line by line, and at its end what came of it in one line.
 */

import { writeFileSync } from "node:fs";
import { relative } from "node:path";
import type { Reporter, TestModule } from "vitest/node";
import { MOVING_SEED } from "./settings.ts";

/** Files that are named at the end, as they took longest. */
const SLOWEST = 8;

/** A reporter of vitest's, beside its own. */
export class Progress implements Reporter {
  #startMs = 0;
  #files = 0;
  readonly #ended: TestModule[] = [];

  onTestRunStart(specifications: readonly unknown[]): void {
    this.#startMs = performance.now();
    this.#files = specifications.length;
    console.log(`seed ${MOVING_SEED}: NSLINK_SEED=${MOVING_SEED} npm test runs the same again`);
  }

  onTestModuleEnd(module: TestModule): void {
    this.#ended.push(module);
    const count = `${this.#ended.length} of ${this.#files}`;
    const seconds = Math.round((performance.now() - this.#startMs) / 1000);
    console.log(`[${count}, ${seconds} s] ${nameOf(module)}: ${module.state()}`);
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const slowest = [...modules].sort((a, b) => secondsOf(b) - secondsOf(a)).slice(0, SLOWEST);
    const times = slowest.map((module) => `${nameOf(module)} ${secondsOf(module).toFixed(1)} s`);
    console.log(`longest: ${times.join(", ")}`);
    const line = tally(modules, errors.length);
    console.log(line);
    // For .ci/run, whose last line it is.
    const file = process.env.NSLINK_TALLY ?? "";
    if (file !== "") writeFileSync(file, `${line}\n`);
  }
}

/** A file that can't be run, and an error outside of tests, count as a failed test each. */
function tally(modules: readonly TestModule[], errors: number): string {
  const counts = { passed: 0, failed: errors, skipped: 0 };
  for (const module of modules) {
    if (module.errors().length > 0) counts.failed++;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      counts[state === "pending" ? "skipped" : state]++;
    }
  }
  return `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
}

function nameOf(module: TestModule): string {
  return relative(process.cwd(), module.moduleId);
}

function secondsOf(module: TestModule): number {
  return module.diagnostic().duration / 1000;
}
