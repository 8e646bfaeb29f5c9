/**
 * A file read ahead of whoever works on it, on another thread of Node's.
 */

import { type FileHandle, open } from "node:fs/promises";

/** A regular file from its beginning, in pieces. A piece holds until the next one is asked for. */
export class ReadAhead implements AsyncIterable<Uint8Array>, AsyncDisposable {
  readonly #file: FileHandle;
  readonly #buffers: readonly [Uint8Array, Uint8Array];
  /** What comes next; a failure is told to the one who asks for it. */
  #reading: Promise<number>;

  private constructor(file: FileHandle, pieceBytes: number) {
    this.#file = file;
    this.#buffers = [new Uint8Array(pieceBytes), new Uint8Array(pieceBytes)];
    this.#reading = this.#read(0);
  }

  /** Opens a file and begins at once. @throws what the file system says. */
  static async open(path: string, pieceBytes: number): Promise<ReadAhead> {
    return new ReadAhead(await open(path, "r"), pieceBytes);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let turn: 0 | 1 = 0; ; turn = turn === 0 ? 1 : 0) {
      const bytesRead = await this.#reading;
      if (bytesRead === 0) return;
      this.#reading = this.#read(turn === 0 ? 1 : 0);
      yield this.#buffers[turn].subarray(0, bytesRead);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // It writes into memory of ours until it is over, whoever still wants it.
    await this.#reading.catch(() => {});
    await this.#file.close();
  }

  #read(turn: 0 | 1): Promise<number> {
    const reading = this.#file.read(this.#buffers[turn]).then(({ bytesRead }) => bytesRead);
    reading.catch(() => {});
    return reading;
  }
}
