/**
 * Names of files, as text and as bytes. Linux takes any bytes but "/" and NUL in a name. Bytes that
 * are no UTF-8 become lone surrogates, U+DC80 to U+DCFF, and those become the same bytes again, so
 * that each name has a text of its own. JSON writes them as `\udcff`.
 */

const decoder: TextDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder: TextEncoder = new TextEncoder();
/** The lone surrogate of the byte 0. */
const ESCAPED = 0xdc00;
/** With the flag u these are lone ones: a surrogate in a pair is no character of its own. */
const ESCAPED_BYTES = /[\udc80-\udcff]/u;
/** The longest sequence of UTF-8. */
const MAX_SEQUENCE = 4;

/** The text of a name. */
export function decodeName(bytes: Uint8Array): string {
  const whole = decoded(bytes);
  if (whole !== null) return whole;
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    let length = 1;
    let next = decoded(bytes.subarray(at, at + length));
    while (next === null && length < MAX_SEQUENCE) {
      length++;
      next = decoded(bytes.subarray(at, at + length));
    }
    text += next ?? String.fromCharCode(ESCAPED + (bytes[at] ?? 0));
    at += next === null ? 1 : length;
  }
  return text;
}

function decoded(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/** The bytes of a name; what {@link decodeName} made of bytes becomes those bytes. */
export function encodeName(text: string): Uint8Array {
  if (!ESCAPED_BYTES.test(text)) return encoder.encode(text);
  const parts = Array.from(text, (character) =>
    ESCAPED_BYTES.test(character)
      ? Uint8Array.of(character.charCodeAt(0) - ESCAPED)
      : encoder.encode(character),
  );
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Whether text can be a file's name. */
export function isFileName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\0]/.test(name);
}
