/** The table of all that is shown of the verifier's numbers. */

import type { Row } from "./lemma.ts";
import { ARITHMETIC_ROWS } from "./rows/arithmetic.ts";
import { BOUNDS_ROWS } from "./rows/bounds.ts";
import { COMPARE_ROWS } from "./rows/compare.ts";
import { EXTENSION_ROWS } from "./rows/extension.ts";
import { LINK_ROWS } from "./rows/links.ts";
import { RANGE_ROWS } from "./rows/ranges.ts";
import { TNUM_ROWS } from "./rows/tnum.ts";
import { MUL_ROWS } from "./rows/tnum_mul.ts";

/** Rows that take seconds to minutes: `npm run prove` proves them, `npm test` does not. */
const SLOW: readonly RegExp[] = [
  /^tnum\.(sub|mul|multiples|shift|step)/,
  /^bounds\.(learnFromBits|settleOnlyOne|deduce32|deduce64|sync|includes|isEmpty)$/,
  /^extension\.(signExtend64|truncate)$/,
  /^scalar_alu\.(subRanges|mul|bitwise|shift)/,
  /^scalar_alu\.arithmetic, [LRA]/,
  /^compare\.(outcome|refine)/,
  /^alu\.|^branch\.|^stack_access\./,
];

/** Whether a row is one of those that `npm test` and --quick prove. */
export function isQuick({ name }: Row): boolean {
  return !SLOW.some((pattern) => pattern.test(name));
}

export const ROWS: readonly Row[] = [
  ...TNUM_ROWS,
  ...MUL_ROWS,
  ...BOUNDS_ROWS,
  ...EXTENSION_ROWS,
  ...RANGE_ROWS,
  ...ARITHMETIC_ROWS,
  ...COMPARE_ROWS,
  ...LINK_ROWS,
];
