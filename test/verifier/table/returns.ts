/** Rows about what programs of each type may return. */

import { accepted, type Row, type RowOptions, refused } from "./row.ts";

const LOOKUP: RowOptions = { type: "sk_lookup" };
const UNKNOWN = "call bpf_get_prandom_u32";

export const RETURN_ROWS: readonly Row[] = [
  accepted("sk_lookup: SK_PASS", "r0 = 1\nexit", LOOKUP),
  accepted("sk_lookup: SK_DROP", "r0 = 0\nexit", LOOKUP),
  refused("EINVAL", "return-value", "sk_lookup: 2", "r0 = 2\nexit", LOOKUP),
  refused("EINVAL", "return-value", "sk_lookup: -1", "r0 = -1\nexit", LOOKUP),
  refused("EINVAL", "return-value", "sk_lookup: any number", `${UNKNOWN}\nexit`, LOOKUP),
  accepted("sk_lookup: a number that is masked", `${UNKNOWN}\nr0 &= 1\nexit`, LOOKUP),
  refused(
    "EINVAL",
    "return-value",
    "sk_lookup: a mask that is too wide",
    `${UNKNOWN}\nr0 &= 3\nexit`,
    LOOKUP,
  ),
  accepted(
    "sk_lookup: a number that is compared",
    `${UNKNOWN}\nif r0 < 2 goto out\nr0 = 0\nout:\nexit`,
    LOOKUP,
  ),
  refused("EINVAL", "return-value", "sk_lookup: the context", "r0 = r1\nexit", LOOKUP),
  refused(
    "EINVAL",
    "return-value",
    "sk_lookup: wrong on one path",
    `${UNKNOWN}\nif r0 == 7 goto bad\nr0 = 1\nexit\nbad:\nr0 = 7\nexit`,
    LOOKUP,
  ),
  accepted("xdp: any number", `${UNKNOWN}\nexit`),
  accepted("xdp: -1", "r0 = -1\nexit"),
  accepted("socket filter: any number", `${UNKNOWN}\nexit`, { type: "socket_filter" }),
  accepted("flow dissector: any number", `${UNKNOWN}\nexit`, { type: "flow_dissector" }),
  accepted("flow dissector: BPF_FLOW_DISSECTOR_CONTINUE", "r0 = 129\nexit", {
    type: "flow_dissector",
  }),
];
