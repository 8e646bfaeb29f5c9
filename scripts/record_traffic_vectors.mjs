// Records what Linux makes of the example capture: every packet through flow.bpf.o and flow-v2.bpf.o
// by BPF_PROG_TEST_RUN, as root. Prints the JSON that test/vectors/traffic.json holds.
// `npm run build` first.

import { readFileSync } from "node:fs";
import { release } from "node:os";
import { Collection, loadObject } from "nslink";
import { openLinuxKernel } from "nslink/linux";
import { readCapture } from "nslink/packet";

/** Which input flags each object's programs are run with. */
const FLAGS = { flow: [0, 7], "flow-v2": [0] };

const packets = [];
for await (const packet of readCapture([readFileSync("examples/traffic.pcap")])) {
  packets.push(packet.data.slice());
}
const kernel = await openLinuxKernel();
const runs = [];
for (const [object, allFlags] of Object.entries(FLAGS)) {
  const collection = Collection.load(kernel, loadObject(readFileSync(`bpf/${object}.bpf.o`)));
  const program = collection.program("dissect");
  for (const flags of allFlags) {
    const outcomes = packets.map((packet) => {
      const { retval, data } = program.run(packet, { flags });
      return `${retval} ${Buffer.from(data).toString("hex")}`;
    });
    runs.push({ object, flags, outcomes });
  }
  collection[Symbol.dispose]();
}
kernel[Symbol.dispose]();
const about =
  "What the example dissectors made of each packet of examples/traffic.pcap on " +
  `Linux ${release().split("-")[0]}: return value and the 56 bytes of flow keys, by input flags`;
console.log(JSON.stringify({ about, runs }, null, 1));
