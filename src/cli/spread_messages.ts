/**
 * What the threads of `nslink run --jobs` say to each other.
 */

import type { Dissected, DissectorImage, HelperCall, PlacedBatch } from "../kernel/index.ts";
import type { Page } from "./page.ts";
import type { Format, ReportPart } from "./report.ts";

/** What a thread is started with. */
export interface ThreadStart {
  readonly image: DissectorImage;
  readonly cpu: number;
  readonly format: Format;
  /** One word: what became of a call of the kernel. */
  readonly answer: Int32Array;
  /** The pages that it is given, by number. */
  readonly pages: readonly Pick<Page, "lengths" | "places">[];
}

/** States of {@link ThreadStart.answer}. */
export const ANSWER = { waiting: 0, goesOn: 1, stopped: 2 } as const;

/** A page for a thread. */
export interface PageJob extends PlacedBatch {
  readonly page: number;
  readonly packets: number;
  /** The number of its first packet in the capture. */
  readonly first: number;
}

/** What came of a page. */
export interface PageResult {
  readonly part: ReportPart;
  readonly dissected: Dissected;
  /** See {@link Dissection.overLimit}. */
  readonly overLimit: number | null;
}

/** What a thread says. */
export type ThreadMessage =
  | { readonly kind: "page"; readonly result: PageResult }
  | { readonly kind: "call"; readonly page: number; readonly call: HelperCall };
