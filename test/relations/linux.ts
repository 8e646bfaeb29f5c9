/**
 * The same programs on the kernel of this machine: what its verifier says, and what runs leave.
 */

import { MAP_ELEM, TEST_RUN } from "../../src/abi/attr.ts";
import * as BPF from "../../src/abi/bpf.ts";
import { decode, encode } from "../../src/abi/layout.ts";
import type { Kernel } from "../../src/kernel.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { type Linked, mapsOf } from "./code.ts";
import { type Input, packetOf } from "./inputs.ts";
import { type Furniture, firstValue, furnish, loadProgram, update, words } from "./loader.ts";
import { IN, MAPS, WRITABLE } from "./maps.ts";

const OUT_BYTES = 256;
const LOG_BYTES = 1 << 22;

/** Linux, as root. */
export class LinuxSubject implements Disposable {
  readonly #kernel: Kernel;
  readonly #furniture: Furniture;
  readonly #out: Uint8Array = new Uint8Array(OUT_BYTES);

  private constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#furniture = furnish(kernel);
  }

  static async open(): Promise<LinuxSubject> {
    return new LinuxSubject(await openLinuxKernel());
  }

  /** @returns an fd or a negative errno. */
  load(program: Linked): number {
    return loadProgram(this.#kernel, this.#furniture, program);
  }

  close(fd: number): void {
    this.#kernel.close(fd);
  }

  /** The verifier's log of a load, for people. */
  log(program: Linked): string {
    const log = new Uint8Array(LOG_BYTES);
    const fd = loadProgram(this.#kernel, this.#furniture, program, log);
    if (fd >= 0) this.close(fd);
    return new TextDecoder().decode(log.subarray(0, log.indexOf(0)));
  }

  /** What runs leave behind, in the words of {@link Subject.run}. */
  run(fd: number, program: Linked, inputs: readonly Input[]): string {
    const lines = inputs.map((input) => this.#runOn(fd, program.type, input));
    const named = mapsOf(program);
    const maps = WRITABLE.filter((map) => named.has(map));
    for (const map of maps) lines.push(this.#contents(map));
    for (const map of maps) this.#restore(map);
    return lines.join("\n");
  }

  #runOn(fd: number, type: number, input: Input): string {
    const kernel = this.#kernel;
    const value = firstValue(IN);
    value.set(new Uint8Array(BigUint64Array.from(input.numbers).buffer));
    update(kernel, this.#furniture.maps[IN] ?? -1, 0, value);
    const data = packetOf(input);
    const out = this.#out;
    const attr = encode(TEST_RUN, {
      prog_fd: fd,
      data_in: kernel.addressOf(data),
      data_size_in: data.length,
      data_out: kernel.addressOf(out),
      data_size_out: out.length,
    });
    const result = kernel.bpf(BPF.BPF_PROG_TEST_RUN, attr);
    if (result < 0) return `errno ${-result}`;
    const { retval, data_size_out } = decode(TEST_RUN, attr);
    const left = out.subarray(0, data_size_out);
    const isSame = type !== BPF.BPF_PROG_TYPE_XDP || Buffer.compare(left, data) === 0;
    return `${retval} ${isSame ? "" : Buffer.from(left).toString("hex")}`;
  }

  /** The values of a map, as they lie in memory here. */
  #contents(map: number): string {
    const { valueSize, maxEntries } = MAPS[map] ?? { valueSize: 0, maxEntries: 0 };
    const stride = 8 * Math.ceil(valueSize / 8);
    return Array.from({ length: maxEntries }, (_, i) => {
      const value = new Uint8Array(i === maxEntries - 1 ? valueSize : stride);
      const room = new Uint8Array(stride);
      const key = words(i);
      const attr = encode(MAP_ELEM, {
        map_fd: this.#furniture.maps[map] ?? -1,
        key: this.#kernel.addressOf(key),
        value: this.#kernel.addressOf(room),
      });
      const result = this.#kernel.bpf(BPF.BPF_MAP_LOOKUP_ELEM, attr);
      if (result < 0) throw new RangeError(`lookup: errno ${-result}`);
      value.set(room.subarray(0, Math.min(valueSize, value.length)));
      return Buffer.from(value).toString("hex");
    }).join("");
  }

  #restore(map: number): void {
    for (let i = 0; i < (MAPS[map]?.maxEntries ?? 0); i++) {
      update(this.#kernel, this.#furniture.maps[map] ?? -1, i, firstValue(map));
    }
  }

  [Symbol.dispose](): void {
    const { maps, btf } = this.#furniture;
    for (const fd of [...maps, btf]) this.#kernel.close(fd);
    this.#kernel[Symbol.dispose]();
  }
}
