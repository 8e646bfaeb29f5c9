/**
 * Decompression by Node.js. Loaded when a capture is compressed: most are not, and zlib takes time
 * to load.
 */

import type { Transform } from "node:stream";
import * as zlib from "node:zlib";

/** How much is decompressed at once, in bytes. */
const OPTIONS = { chunkSize: 1 << 18 } as const;

/** Makes a stream that decompresses; null where this Node.js can't. */
export function decompressor(name: "gzip" | "zstd"): Transform | null {
  return name === "gzip" ? zlib.createGunzip(OPTIONS) : zstdOf(zlib);
}

/** Types of Node.js 20 don't know it. */
function zstdOf(library: object): Transform | null {
  const create = "createZstdDecompress" in library ? library.createZstdDecompress : null;
  return typeof create === "function" ? create(OPTIONS) : null;
}
