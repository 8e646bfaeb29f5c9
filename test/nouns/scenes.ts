/**
 * The tests of the nouns, the same for every kernel.
 */

import { afterAll, afterEach, beforeAll, describe } from "vitest";
import type { WorldKind } from "../contract/world.ts";
import { collections } from "./collections.ts";
import { handles } from "./handles.ts";
import { lettingGo } from "./letting_go.ts";
import { links } from "./links.ts";
import { maps } from "./maps.ts";
import { namespaces } from "./namespaces.ts";
import { programs } from "./programs.ts";
import { refusals } from "./refusals.ts";
import { Stage } from "./stage.ts";

/** Registers tests that ask for the stage once they run. */
export type Scene = (stage: () => Stage) => void;

const SUBJECTS: Readonly<Record<string, Scene>> = {
  handles,
  programs,
  maps,
  links,
  namespaces,
  lettingGo,
  collections,
  refusals,
};

/** One for each noun; each clears up after every test and fails when something is left. */
export const SCENES: readonly ((kind: WorldKind) => void)[] = Object.entries(SUBJECTS).map(
  ([title, register]) =>
    (kind) =>
      describe(title, () => {
        let stage: Stage;
        beforeAll(async () => {
          stage = new Stage(await kind.open());
        });
        afterEach(() => stage.clear());
        afterAll(() => stage.world.end());
        register(() => stage);
      }),
);
