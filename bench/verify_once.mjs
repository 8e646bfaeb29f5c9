// Loads the programs of an object as users do, and says what memory this process took for that.
// A refused program is verified once more for its log, which is printed.

import { readFileSync } from "node:fs";
import { Collection, VerifierError } from "nslink";
import { loadObject } from "nslink/elf";
import { EmbeddedKernel } from "nslink/embedded";
import { peakMemoryKiB } from "./measure.mjs";

const [file] = process.argv.slice(2);
const kernel = EmbeddedKernel.boot();
let log = "";
try {
  if (file !== undefined) Collection.load(kernel, loadObject(readFileSync(file)));
} catch (error) {
  if (!(error instanceof VerifierError)) throw error;
  log = error.log;
}
globalThis.gc?.();
const residentMb = peakMemoryKiB() / 1024;
console.log(JSON.stringify({ residentMb, log: log.slice(-500) }));
