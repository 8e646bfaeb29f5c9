/** What is said of refused maps of the embedded kernel. */

import { SUPPORTED_MAP_TYPES } from "../../src/kernel/bpf/map/create.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { mapShapes } from "./map_shapes.ts";

mapShapes(
  () => EmbeddedKernel.boot(),
  2000,
  (type) => SUPPORTED_MAP_TYPES.includes(type),
);
