/**
 * bpf_trace_printk: a line of text for people, formatted as Linux formats it.
 */

import { EINVAL } from "../../abi/errno.ts";
import { BPF_FUNC } from "../../abi/helpers.ts";
import { hexText } from "../../abi/hex_text.ts";
import { BPF_REG_1, BPF_REG_2, BPF_REG_3 } from "../../abi/insn.ts";
import type { Registers } from "../interpreter/registers.ts";
import type { Helper, HelperCaller } from "./helper.ts";

/** Arguments after the format. */
const MAX_ARGUMENTS = 3;
/** A line is cut here (MAX_BPRINTF_BUF); the result counts what was cut as well. */
const MAX_LINE_BYTES = 1023;
/** A string argument that is not NUL-terminated is read so far. */
const MAX_STRING_BYTES = 512;
/** No padding is wider; Linux counts wider ones but writes no more than a line either. */
const MAX_WIDTH = 1 << 20;

/** Flags, width and what to print: `%-5d`, `%08llx`, `%s`, `%pI4`. */
const CONVERSION = new RegExp(
  [
    "^%([0+\\- ]*)([1-9][0-9]*)?(?:(%)|(c|s|pks|pus)|(p[iI][46])|(pB)",
    "p[Kxs S]?(?![A-Za-z0-9])|p[KxsS]|(l{0,2})([diuxX]))",
  ].join("|"),
);

/**
 * long bpf_trace_printk(fmt, fmt_size, …): the length of the line before it is cut. -EINVAL for a
 * format that does not end with a NUL, has a conversion that BPF doesn't know, or asks for more
 * than three arguments.
 */
const tracePrintk: Helper = (caller, registers) => {
  const address = caller.address(BPF_REG_1, 0);
  const size = registers.low(BPF_REG_2);
  caller.checkRead(address, size);
  const bytes = caller.bytes.subarray(address, address + size);
  const line = size > 0 && bytes[size - 1] === 0 ? format(caller, registers, bytes) : null;
  if (line === null) return -EINVAL;
  const text = decodeUtf8(line.slice(0, MAX_LINE_BYTES));
  // The trace buffer ends each entry with a line feed of its own.
  caller.machine.options.trace(text.endsWith("\n") ? text.slice(0, -1) : text);
  return line.length;
};

/** The line, one character a byte; null for a bad format. */
function format(caller: HelperCaller, registers: Registers, bytes: Uint8Array): string | null {
  const template = latin1(bytes.subarray(0, bytes.indexOf(0)));
  if (!isPrintable(template)) return null;
  let line = "";
  let used = 0;
  let at = 0;
  while (at < template.length) {
    const percent = template.indexOf("%", at);
    if (percent < 0) return line + template.slice(at);
    line += template.slice(at, percent);
    const match = CONVERSION.exec(template.slice(percent));
    if (match === null) return null;
    at = percent + match[0].length;
    if (match[3] === "%") {
      // Only the bare `%%`: flags and a width make it a conversion that isn't known.
      if (match[0] !== "%%") return null;
      line += "%";
      continue;
    }
    if (used === MAX_ARGUMENTS) return null;
    line += convert(caller, registers, BPF_REG_3 + used, match);
    used++;
  }
  return line;
}

function convert(
  caller: HelperCaller,
  registers: Registers,
  register: number,
  [whole, flags = "", width = "0", , text, ip, symbol, long, kind]: RegExpExecArray,
): string {
  const size = Math.min(Number(width), MAX_WIDTH);
  const pad = (body: string, sign: string = "", zeros: boolean = false): string => {
    if (flags.includes("-")) return (sign + body).padEnd(size);
    if (zeros && flags.includes("0")) return sign + body.padStart(size - sign.length, "0");
    return (sign + body).padStart(size);
  };
  if (text === "c") return pad(String.fromCharCode(registers.low(register) & 0xff));
  if (text !== undefined) return pad(readString(caller, registers, register));
  if (ip !== undefined) return pad(readAddress(caller, registers, register, ip));
  if (symbol !== undefined) return pad(`0x${registers.get(register).toString(16)}`);
  // Linux hashes pointers; here they are offsets that tell nobody anything.
  if (kind === undefined) return pad(registers.get(register).toString(16).padStart(16, "0"));
  const bits = long === "" ? 32 : 64;
  const isSigned = kind === "d" || kind === "i";
  const value = isSigned
    ? BigInt.asIntN(bits, registers.get(register))
    : BigInt.asUintN(bits, registers.get(register));
  const magnitude = (value < 0n ? -value : value).toString(kind.toLowerCase() === "x" ? 16 : 10);
  const plus = flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
  const sign = value < 0n ? "-" : isSigned ? plus : "";
  return pad(whole.endsWith("X") ? magnitude.toUpperCase() : magnitude, sign, true);
}

/** The string that a register points to; "" for one that can't be read, as in Linux. */
function readString(caller: HelperCaller, registers: Registers, register: number): string {
  if (registers.high(register) !== 0) return "";
  const address = registers.low(register);
  let text = "";
  while (text.length < MAX_STRING_BYTES && caller.canRead(address + text.length, 1)) {
    const byte = caller.view.getUint8(address + text.length);
    if (byte === 0) break;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** `%pi4`, `%pI4`, `%pi6`, `%pI6`: the address that a register points to. */
function readAddress(
  caller: HelperCaller,
  registers: Registers,
  register: number,
  kind: string,
): string {
  const size = kind.endsWith("4") ? 4 : 16;
  const address = registers.high(register) === 0 ? registers.low(register) : 0;
  const bytes = caller.canRead(address, size)
    ? caller.bytes.subarray(address, address + size)
    : new Uint8Array(size);
  if (kind === "pI4") return Array.from(bytes).join(".");
  if (kind === "pi4") return Array.from(bytes, (byte) => String(byte).padStart(3, "0")).join(".");
  const digits = hexText(bytes);
  return kind === "pi6" ? digits : (digits.match(/.{4}/g) ?? []).join(":");
}

/** ASCII must be printable or white space; bytes of other characters may be anything. */
function isPrintable(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the question.
  return !/[\x00-\x08\x0e-\x1f\x7f]/.test(text);
}

function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

function decodeUtf8(text: string): string {
  return new TextDecoder().decode(Uint8Array.from(text, (character) => character.charCodeAt(0)));
}

export const TRACE_HELPERS: ReadonlyMap<number, Helper> = new Map([
  [BPF_FUNC.trace_printk, tracePrintk],
]);
