// How long a kernel takes for BPF_PROG_LOAD alone, whoever calls it.

import * as BPF from "../dist/abi/bpf.js";
import { cpuTime } from "./measure.mjs";

/**
 * The same kernel, with a stop watch on BPF_PROG_LOAD.
 *
 * @returns {{ kernel: import("nslink").Kernel, take: () => number }} `take` tells the ns of
 *   CPU time since it was last asked.
 */
export function watchLoads(kernel) {
  let elapsed = 0;
  const bpf = (cmd, attr, size) => {
    if (cmd !== BPF.BPF_PROG_LOAD) return kernel.bpf(cmd, attr, size);
    let result = 0;
    elapsed += cpuTime(() => {
      result = kernel.bpf(cmd, attr, size);
    });
    return result;
  };
  const watched = new Proxy(kernel, {
    get(_, key) {
      if (key === "bpf") return bpf;
      const value = kernel[key];
      return typeof value === "function" ? value.bind(kernel) : value;
    },
  });
  const take = () => {
    const taken = elapsed;
    elapsed = 0;
    return taken;
  };
  return { kernel: watched, take };
}
