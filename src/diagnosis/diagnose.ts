/**
 * From a refused call to its cause: the kernel is asked again, and the first cause that it owns up
 * to is the answer.
 */

import type { Cause, Diagnosis, FailedCall } from "./cause.ts";
import { DIRECT_CAUSES } from "./direct.ts";
import { COMMON_CAUSES } from "./fds.ts";
import { LINK_CAUSES } from "./links.ts";
import { MAP_CAUSES, MAP_TYPE_CAUSES } from "./maps.ts";
import { NETNS_CAUSES } from "./netns.ts";
import { OBJECT_CAUSES } from "./objects.ts";
import { ROOT_RULE_CAUSES } from "./occupied.ts";
import { PROGRAM_CAUSES } from "./programs.ts";
import { RIGHTS_CAUSES } from "./rights.ts";
import { RUN_CAUSES } from "./runs.ts";

/**
 * All causes, in the order in which they are looked for: rights first, as kernels do, then
 * what links and programs know better than anybody, then what can befall any call.
 */
export const CAUSES: readonly Cause[] = [
  ...RIGHTS_CAUSES,
  ...LINK_CAUSES,
  ...DIRECT_CAUSES,
  ...ROOT_RULE_CAUSES,
  ...PROGRAM_CAUSES,
  ...RUN_CAUSES,
  ...MAP_TYPE_CAUSES,
  ...COMMON_CAUSES,
  ...MAP_CAUSES,
  ...OBJECT_CAUSES,
  ...NETNS_CAUSES,
];

/**
 * Why a call was refused, or null when nothing more is known than its errno says. Never throws, and
 * leaves nothing open and nothing changed.
 */
export function diagnose(call: FailedCall): Diagnosis | null {
  for (const { id, commands, errnos, find } of CAUSES) {
    if (!errnos.includes(call.errno)) continue;
    if (commands !== null && !commands.includes(call.command)) continue;
    const finding = attempt(() => find(call));
    if (finding !== null) {
      return { reason: id, hint: finding.hint, remedies: finding.remedies ?? [] };
    }
  }
  return null;
}

/** A question that goes wrong is one that has no answer: the refusal itself is what counts. */
function attempt<T>(question: () => T | null): T | null {
  try {
    return question();
  } catch {
    return null;
  }
}
