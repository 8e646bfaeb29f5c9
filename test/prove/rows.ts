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
