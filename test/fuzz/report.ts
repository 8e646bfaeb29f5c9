/**
 * A difference as text: what was asked, what came back from either kernel, and how to ask again.
 */

import { COMMAND_NAMES } from "../../src/abi/bpf.ts";
import type { Difference } from "./compare.ts";
import { type Operation, print } from "./operation.ts";
import type { Answer } from "./subject.ts";

/** @param operations - those that lead up to the difference, itself the last. */
export function report(
  operations: readonly Operation[],
  { operation, tried, oracle }: Difference,
  names: readonly [tried: string, oracle: string],
): string {
  const title =
    operation.do === "bpf"
      ? (COMMAND_NAMES[operation.cmd] ?? `bpf ${operation.cmd}`)
      : operation.do;
  const lines = [`${title}: ${names[0]} ${tried.result}, ${names[1]} ${oracle.result}`];
  const count = Math.max(tried.outputs.length, oracle.outputs.length);
  for (let i = 0; i < count; i++) lines.push(...unlike(i, tried, oracle, names));
  return [...lines, print(operations)].join("\n");
}

function unlike(
  index: number,
  a: Answer,
  b: Answer,
  [nameA, nameB]: readonly [string, string],
): string[] {
  const [textA, textB] = [textOf(a.outputs[index]), textOf(b.outputs[index])];
  if (textA === textB) return [];
  return [`  output ${index}`, `    ${nameA}: ${textA}`, `    ${nameB}: ${textB}`];
}

function textOf(output: Uint8Array | string | undefined): string {
  if (output === undefined) return "none";
  return typeof output === "string" ? JSON.stringify(output) : Buffer.from(output).toString("hex");
}
