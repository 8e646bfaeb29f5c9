// The push parser with an object for each packet.

import { CaptureScanner } from "./capture_scanner.ts";
import { CapturedPacket } from "./captured_packet.ts";

/**
 * Reads a pcap or pcapng file, told apart by its first bytes.
 *
 * Where chunks begin and end makes no difference to what is emitted. Memory stays flat: nothing is
 * kept but the one record that a chunk's end cuts, and a section's interfaces.
 *
 * ```ts
 * import { createReadStream } from "node:fs";
 * import { CaptureReader } from "nslink/packet";
 *
 * const reader = new CaptureReader((packet) => console.log(packet.number, packet.data.length));
 * for await (const chunk of createReadStream("examples/traffic.pcap")) reader.push(chunk);
 * reader.end();
 * ```
 */
export class CaptureReader {
  readonly #scanner: CaptureScanner;
  #packets = 0;

  /** @param emit - called for each packet, in order, from within {@link push}. */
  constructor(emit: (packet: CapturedPacket) => void) {
    this.#scanner = new CaptureScanner({
      packet: (...facts) => emit(new CapturedPacket(++this.#packets, ...facts)),
    });
  }

  /**
   * Takes the next bytes of the file. Packets refer to `chunk`, so it must not be written to while
   * they are in use.
   *
   * @throws {CaptureError} if the file can't be read further; so does every later call.
   */
  push(chunk: Uint8Array): void {
    this.#scanner.push(chunk);
  }

  /**
   * Says that the file is over.
   *
   * @throws {CaptureError} of kind `truncated` if it ends in the middle of a record.
   */
  end(): void {
    this.#scanner.end();
  }
}
