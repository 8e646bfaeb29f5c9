/**
 * How each cause is brought about: a call that really fails, on the kernels where it can.
 */

import { ATTACHING } from "./attaching.ts";
import type { Inductions } from "./induction.ts";
import { LOADING } from "./loading.ts";
import { OBJECTS } from "./objects.ts";
import { RIGHTS } from "./rights.ts";

/** By cause. */
export const INDUCTIONS: Inductions = { ...RIGHTS, ...ATTACHING, ...LOADING, ...OBJECTS };
