/**
 * The whole contract.
 */

import { progAttach } from "./attach.ts";
import { capabilities } from "./capabilities.ts";
import { copyOut } from "./copy_out.ts";
import { dissection } from "./dissect.ts";
import { fdTable } from "./fd_table.ts";
import { frame } from "./frame.ts";
import { idsAndPins } from "./ids_pins.ts";
import { objectInfo } from "./info.ts";
import { linkCreate } from "./link_create.ts";
import { linkDetach } from "./link_detach.ts";
import { linkLife } from "./link_life.ts";
import { linkUpdate } from "./link_update.ts";
import { mapFields } from "./map_fields.ts";
import { maps } from "./maps.ts";
import { mapBatches } from "./maps_batch.ts";
import { netnsLife } from "./netns_life.ts";
import { progLoad } from "./prog_load.ts";
import { progQuery } from "./query.ts";
import { rootRule } from "./root_rule.ts";
import type { Chapter } from "./rules.ts";
import { testRun } from "./test_run.ts";

export const CHAPTERS: readonly Chapter[] = [
  frame,
  fdTable,
  linkCreate,
  linkUpdate,
  linkDetach,
  rootRule,
  progAttach,
  progQuery,
  linkLife,
  objectInfo,
  idsAndPins,
  maps,
  mapBatches,
  mapFields,
  progLoad,
  testRun,
  netnsLife,
  capabilities,
  copyOut,
  dissection,
];
