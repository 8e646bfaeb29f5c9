/**
 * Bytes as text.
 */

/** Bytes as lower-case hexadecimal digits: "00ff". */
export function hexText(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
