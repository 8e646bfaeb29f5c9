/**
 * What became of a packet in a network namespace.
 */

import { BPF_FLOW_KEYS_SIZE, type FlowKeys, flowKeysAt } from "./abi/flow_keys.ts";
import type { Dissection } from "./kernel.ts";

/** What became of a packet. */
export class DissectedPacket {
  /** Who dissected: an attached program, or Linux's own dissector. */
  readonly by: "bpf" | "linux";
  /** `continue`: handed to Linux's own dissector; `drop`: the program said neither OK nor that. */
  readonly verdict: "ok" | "drop" | "continue";
  /** What the program returned, a u32; null when none ran. */
  readonly retval: number | null;
  /** Flow keys; null when Linux's own dissector has them. */
  readonly keys: FlowKeys | null;
  /** Id of the program that ran; null when none did. */
  readonly programId: number | null;
  /** The keys in 32-bit words: small typed arrays take longer to make than packets to dissect. */
  readonly #words: readonly number[] | null;

  constructor({ by, verdict, retval, keys, progId }: Dissection) {
    this.by = by;
    this.verdict = verdict;
    this.retval = retval;
    this.keys = keys === null ? null : flowKeysAt(keys, 0);
    this.programId = progId;
    this.#words = keys === null ? null : wordsOf(keys);
  }

  /** The keys as the program left them, 56 bytes of `struct bpf_flow_keys`; null without keys. */
  get keysBytes(): Uint8Array | null {
    if (this.#words === null) return null;
    const view = new DataView(new ArrayBuffer(BPF_FLOW_KEYS_SIZE));
    this.#words.forEach((word, index) => {
      view.setInt32(4 * index, word, true);
    });
    return new Uint8Array(view.buffer);
  }
}

/** Written out: the array is made in one go. */
function wordsOf(view: DataView): readonly number[] {
  return [
    view.getInt32(0, true),
    view.getInt32(4, true),
    view.getInt32(8, true),
    view.getInt32(12, true),
    view.getInt32(16, true),
    view.getInt32(20, true),
    view.getInt32(24, true),
    view.getInt32(28, true),
    view.getInt32(32, true),
    view.getInt32(36, true),
    view.getInt32(40, true),
    view.getInt32(44, true),
    view.getInt32(48, true),
    view.getInt32(52, true),
  ];
}
