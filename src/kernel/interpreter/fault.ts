/**
 * Why a run was stopped: what a verifier would have refused to load.
 */

/** Why a run was stopped that took more instructions than it may. */
export const OVER_INSTRUCTION_LIMIT = "takes more instructions than a run may";

/** A program did what it must not do; it was stopped before that had any effect. */
export class RunFault extends Error {
  override readonly name: string = "RunFault";
  /** Id of the program, and the slot of the instruction in it. */
  readonly progId: number;
  readonly slot: number;
  /** What was wrong, in words. */
  readonly reason: string;
  /** The address that it would have touched; null when it is not about memory. */
  readonly address: bigint | null;

  constructor(progId: number, slot: number, reason: string, address: bigint | null = null) {
    const where = address === null ? "" : ` at address 0x${address.toString(16)}`;
    super(`program ${progId}, instruction ${slot}: ${reason}${where}`);
    this.progId = progId;
    this.slot = slot;
    this.reason = reason;
    this.address = address;
  }
}
