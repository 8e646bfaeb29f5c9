/**
 * A loaded program: struct bpf_prog and the fd that holds it.
 */

import { hexText } from "../../abi/hex_text.ts";
import type { Instruction } from "../../asm/index.ts";
import { File, O_CLOEXEC, O_RDWR } from "../file.ts";
import { type FaultLog, NO_FAULTS } from "../interpreter/fault_log.ts";
import type { Machine } from "../machine.ts";
import type { Assumptions } from "../verifier/assumptions.ts";
import type { Btf } from "./btf.ts";
import type { BpfMap } from "./map/map.ts";

/** What a loader says about the source of a program. */
export interface DebugInfo {
  /** The program takes a reference. */
  readonly btf: Btf;
  /** struct bpf_func_info, 8 bytes each, one a function; empty when none were given. */
  readonly funcInfo: Uint8Array;
  /** struct bpf_line_info, 16 bytes each; empty when none were given. */
  readonly lineInfo: Uint8Array;
}

/** What loading a program found out about it. */
export interface ProgFacts {
  /** BPF_PROG_TYPE_… */
  readonly type: number;
  readonly expectedAttachType: number;
  /** Loaded with BPF_F_XDP_HAS_FRAGS, whatever its type. */
  readonly xdpHasFrags?: boolean;
  readonly name: string;
  /** First 8 bytes of the SHA-256 of its instructions, map fds zeroed. */
  readonly tag: Uint8Array;
  readonly gplCompatible: boolean;
  /**
   * The instructions, decoded, one entry a slot; `lddw` of a map holds the map's address, or that
   * of a value in it.
   */
  readonly instructions: readonly Instruction[];
  /** The bytes as info gives them out: map fds replaced by map ids. */
  readonly xlated: Uint8Array;
  /** The maps that it names; the program takes a reference on each. */
  readonly maps: readonly BpfMap[];
  /** Clock reading at load, in ns since boot. */
  readonly loadTimeNs: bigint;
  readonly uid: number;
  /** How many instructions the verifier walked. */
  readonly verifiedInsns: number;
  /** What its verification relied on; engines stop a run that it does not hold for. */
  readonly assumptions?: Assumptions | null;
  /** First slots of its functions, the main one (0) first. */
  readonly subprograms?: readonly number[];
  readonly debugInfo?: DebugInfo;
}

/** A program of the embedded kernel. */
export class Prog {
  readonly id: number;
  readonly facts: ProgFacts;
  /** Where it is in the table of compiled programs; 0 while it has no place there. */
  entry: number = 0;
  /** How often it ran, and for how long in ns, while statistics were kept. */
  runCount: bigint = 0n;
  /** Runs that were stopped, of which Linux has none. */
  faults: FaultLog = NO_FAULTS;
  readonly #machine: Machine;
  #references: number = 1;

  constructor(machine: Machine, facts: ProgFacts) {
    this.#machine = machine;
    this.facts = facts;
    for (const map of facts.maps) map.get();
    facts.debugInfo?.btf.get();
    this.id = machine.progs.alloc(this);
  }

  get type(): number {
    return this.facts.type;
  }

  get xdpHasFrags(): boolean {
    return this.facts.xdpHasFrags === true;
  }

  get expectedAttachType(): number {
    return this.facts.expectedAttachType;
  }

  get isCompiled(): boolean {
    return this.#machine.engine.describe(this).engine === "jit";
  }

  get(): this {
    this.#references++;
    return this;
  }

  /** Lets go; with the last holder its id is gone and its maps are let go. */
  put(): void {
    this.#references--;
    if (this.#references === 0) this.#release();
  }

  #release(): void {
    this.#machine.engine.forget(this);
    this.#machine.progs.free(this.id);
    for (const map of this.facts.maps) map.put();
    this.facts.debugInfo?.btf.put();
  }
}

/** An fd on a program. */
export class ProgFile extends File {
  readonly prog: Prog;

  /** @param prog - the file takes the caller's reference over. */
  constructor(prog: Prog) {
    super("anon_inode:bpf-prog", O_RDWR | O_CLOEXEC);
    this.prog = prog;
  }

  override fdinfo(): string {
    const { facts, faults, id } = this.prog;
    return [
      ["prog_type", facts.type],
      ["prog_jited", this.prog.isCompiled ? 1 : 0],
      ["prog_tag", hexText(facts.tag)],
      ["memlock", pageAligned(facts.xlated.length)],
      ["prog_id", id],
      ["run_time_ns", 0],
      ["run_cnt", this.prog.runCount],
      ["recursion_misses", 0],
      ["verified_insns", facts.verifiedInsns],
      // Only here; Linux has no program that is stopped.
      ...(faults.count === 0 ? [] : [["faults", faults.count]]),
    ]
      .map(([key, value]) => `${key}:\t${value}\n`)
      .join("");
  }

  protected release(): void {
    this.prog.put();
  }
}

function pageAligned(sizeBytes: number): number {
  return Math.ceil(sizeBytes / 4096) * 4096;
}
