/**
 * What an inventory has to find, on every kernel.
 */

import type { Chapter } from "../contract/rules.ts";
import { lists } from "./lists.ts";
import { orders } from "./orders.ts";
import { whoHoldsWhat } from "./who_holds_what.ts";

export const CHAPTERS: readonly Chapter[] = [whoHoldsWhat, lists, orders];
