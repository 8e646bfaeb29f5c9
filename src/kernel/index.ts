/**
 * `nslink/embedded`: the kernel in this process.
 */

export {
  type BootOptions,
  EmbeddedKernel,
  type FaultDescription,
  type ProgramDescription,
  type SpawnOptions,
} from "./embedded.ts";
export type { CompiledSize, EngineName, ProgramEngine } from "./engine.ts";
export type { CompiledListing, ProgramListing } from "./jit/listing.ts";
export {
  type CallKernel,
  type Dissected,
  type DissectorImage,
  DissectorReplica,
  type HelperCall,
  type Stopped,
} from "./jit/replica.ts";
export type { Spread } from "./jit/spread.ts";
export type { Trap } from "./jit/trap.ts";
export type { WasmFunction, WasmInstruction } from "./jit/wasm_text.ts";
export type { Clock, UnprivilegedBpf } from "./machine.ts";
export { type PacketBatch, type PlacedBatch, RECORD, VERDICT } from "./net/packet_batch.ts";
export { type Support, type SupportEntry, support } from "./support.ts";
export type { MissReason, TailCallMisses, TailCallMissReport } from "./tail_call_misses.ts";
export { ALL_CAPABILITIES, type Capability } from "./task.ts";
export type { UserMemory } from "./user_memory.ts";
export { ManualScheduler, microtaskScheduler, type Scheduler } from "./workqueue.ts";
