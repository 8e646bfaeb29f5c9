// Imported before a command, this has it tell at its end, as the last line on standard error, what
// memory it took at most, in KiB.

import { peakMemoryKiB } from "./measure.mjs";

process.on("exit", () => console.error(peakMemoryKiB()));
