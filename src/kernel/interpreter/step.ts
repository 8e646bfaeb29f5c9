/**
 * What a decoded instruction is: a function that does it and says where to go on.
 */

import type { Run } from "./run.ts";

/** Does one instruction and returns the slot of the next; {@link LEAVE_LOOP} ends the loop. */
export type Step = (run: Run) => number;

/** The main function, or a callback, has come to its exit. */
export const LEAVE_LOOP = -1;
