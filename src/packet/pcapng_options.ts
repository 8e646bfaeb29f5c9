// The options of a pcapng interface description that give its timestamps their meaning.

import type { Clock } from "./captured_packet.ts";
import { CaptureError } from "./errors.ts";
import type { Stretch } from "./record_parser.ts";

const OPT_END_OF_OPTIONS = 0;
const IF_TSRESOL = 9;
const IF_TSOFFSET = 14;

const OPTION_HEADER_LENGTH = 4;
const NANOSECONDS_PER_SECOND = 1_000_000_000n;
const DEFAULT_TICKS_PER_SECOND = 1_000_000n;
/** Finest resolutions whose ticks per second fit in 64 bits. */
const MAX_DECIMAL_EXPONENT = 19;
const MAX_BINARY_EXPONENT = 63;

/**
 * Reads the options between `at` and `end` and makes the interface's clock of them.
 *
 * @throws {CaptureError} if an option runs past `end` or has the wrong length.
 */
export function interfaceClock(
  from: Stretch,
  at: number,
  end: number,
  littleEndian: boolean,
): Clock {
  const { view } = from;
  let ticksPerSecond = DEFAULT_TICKS_PER_SECOND;
  let offsetSeconds = 0n;
  // Ends: each turn moves on by 4 bytes at least, in a block of bounded length.
  for (let option = at; option + OPTION_HEADER_LENGTH <= end; ) {
    const code = view.getUint16(option, littleEndian);
    const length = view.getUint16(option + 2, littleEndian);
    const value = option + OPTION_HEADER_LENGTH;
    if (code === OPT_END_OF_OPTIONS) break;
    if (value + length > end) {
      throw malformed(from, option, `option ${code} of ${length} bytes runs out of its block`);
    }
    if (code === IF_TSRESOL) {
      expectLength(from, option, length, 1);
      ticksPerSecond = ticks(from, value);
    } else if (code === IF_TSOFFSET) {
      expectLength(from, option, length, 8);
      offsetSeconds = view.getBigInt64(value, littleEndian);
    }
    option = value + Math.ceil(length / 4) * 4;
  }
  const offsetNs = offsetSeconds * NANOSECONDS_PER_SECOND;
  return {
    nanoseconds(high, low) {
      const time = (BigInt(high) << 32n) | BigInt(low);
      return offsetNs + (time * NANOSECONDS_PER_SECOND) / ticksPerSecond;
    },
  };
}

/** if_tsresol: the top bit tells a power of two from a power of ten, the rest is the exponent. */
function ticks(from: Stretch, at: number): bigint {
  const resolution = from.view.getUint8(at);
  const exponent = resolution & 0x7f;
  const [base, max] =
    resolution & 0x80
      ? ([2n, MAX_BINARY_EXPONENT] as const)
      : ([10n, MAX_DECIMAL_EXPONENT] as const);
  if (exponent > max) {
    throw malformed(from, at, `timestamps in units of ${base}^-${exponent} s are too fine`);
  }
  return base ** BigInt(exponent);
}

function expectLength(from: Stretch, option: number, length: number, expected: number): void {
  if (length === expected) return;
  const code = expected === 1 ? "if_tsresol" : "if_tsoffset";
  throw malformed(from, option, `option ${code} of ${length} bytes, not ${expected}`);
}

function malformed(from: Stretch, at: number, problem: string): CaptureError {
  return new CaptureError("malformed", from.fileOffset + at, problem);
}
