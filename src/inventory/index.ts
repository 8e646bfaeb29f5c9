/**
 * The entry `nslink/inventory`: what is attached where on a kernel, who holds it, and what would
 * come of it.
 */

export type {
  DirectEntry,
  Holder,
  LinkEntry,
  LinkState,
  NamespaceEntry,
  PinEntry,
  ProgramEntry,
  Unknown,
} from "./entries.ts";
export {
  type Explanation,
  explain,
  type Foretelling,
  type LinkEvent,
  type LinkOutcome,
  type PacketPath,
} from "./explain.ts";
export { formatExplanation, unknownText } from "./format.ts";
export {
  type Inventory,
  type InventoryOptions,
  listDirect,
  listLinks,
  takeInventory,
} from "./inventory.ts";
export { listPins } from "./objects.ts";
