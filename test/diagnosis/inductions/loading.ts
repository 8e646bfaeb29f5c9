/**
 * How refusals are brought about that have to do with loading programs and running them by hand.
 */

import { BTF_LOAD } from "../../../src/abi/attr.ts";
import * as bpf from "../../../src/abi/bpf.ts";
import { EINTR } from "../../../src/abi/errno.ts";
import { assemble } from "../../../src/asm/index.ts";
import { tryBpf } from "../../../src/call.ts";
import type { About } from "../../../src/diagnosis/cause.ts";
import { nearestSection } from "../../../src/elf/section_names.ts";
import { SK_LOOKUP_PROGRAM, SOCKET_FILTER, u32s } from "../../contract/case.ts";
import { lying, type Outcome, type Trial } from "../trial.ts";
import { type Inductions, patientLink } from "./induction.ts";
import { element, progArray } from "./objects.ts";

const LOAD = bpf.BPF_PROG_LOAD;
/** `tail_call(ctx, map, 0)`; the map's fd goes into the first slot. */
const TAIL_CALL = "r2 = map_fd[0]\nr3 = 0\ncall 12\nr0 = 0\nexit";

/** Loads a program, which has to be refused. */
export function prog(
  t: Trial,
  text: string,
  fields: Record<string, number | bigint | Uint8Array> = {},
  about: About = {},
): Outcome {
  const log = new Uint8Array(1 << 16);
  const insns = assemble(text);
  const request = {
    ...t.programFields(),
    insns: t.at(insns),
    insn_cnt: insns.length / 8,
    log_level: 1,
    log_size: log.length,
    log_buf: t.at(log),
    ...fields,
  };
  const result = t.call(LOAD, request);
  const written = new TextDecoder().decode(log.subarray(0, Math.max(0, log.indexOf(0))));
  const known = { log: written, instructions: insns, ...about };
  return t.why(t.kernel, LOAD, result, request, known, (attr) => t.call(LOAD, attr as object));
}

/** Runs a program, which has to be refused. */
export function run(t: Trial, fields: Record<string, number | bigint>): Outcome {
  const packet = { data_in: t.at(new Uint8Array(64)), data_size_in: 64 };
  return t.refused(bpf.BPF_PROG_TEST_RUN, { prog_fd: t.program(), ...packet, ...fields });
}

/** By cause. */
export const LOADING: Inductions = {
  "helper-missing": {
    induce: (t) => prog(t, "call 9999\nexit"),
    says: /unknown#9999; this kernel/,
  },
  "helper-not-for-type": { induce: (t) => prog(t, "call 25\nexit") },
  "helper-gpl-only": {
    induce: (t) => prog(t, "call 6\nexit", { license: t.string("MIT") }),
  },
  "verifier-rejected": { induce: (t) => prog(t, "goto +5\nexit"), says: /was rejected: .*range/ },
  "no-instructions": { induce: (t) => prog(t, "r0 = 0\nexit", { insn_cnt: 0 }) },
  "too-many-instructions": { induce: (t) => prog(t, "r0 = 0\nexit", { insn_cnt: 1_000_001 }) },
  "bad-object-name": {
    induce: (t) => prog(t, "r0 = 0\nexit", { prog_name: new TextEncoder().encode("a b") }),
    says: /^"a b" is no name/,
  },
  "unknown-load-flags": { induce: (t) => prog(t, "r0 = 0\nexit", { prog_flags: 1 << 30 }) },
  "wrong-expected-attach-type": {
    induce: (t) => prog(t, "r0 = 1\nexit", { prog_type: bpf.BPF_PROG_TYPE_SK_LOOKUP }),
  },
  "prog-array-owner": {
    induce: (t) => {
      const map = progArray(t);
      const slot = element(t, map, { value: u32s(t.program(SOCKET_FILTER)) });
      t.must(bpf.BPF_MAP_UPDATE_ELEM, slot);
      const call = new Uint8Array(assemble(TAIL_CALL));
      new DataView(call.buffer).setInt32(4, map, true);
      const request = { ...t.programFields(), insns: t.at(call), insn_cnt: call.length / 8 };
      const result = t.call(LOAD, request);
      const make = (attr: object): number => t.call(LOAD, attr);
      return t.why(t.kernel, LOAD, result, request, { instructions: call }, make);
    },
    says: /is for tail calls of BPF_PROG_TYPE_SOCKET_FILTER/,
  },
  "program-type-missing": {
    induce: (t) =>
      prog(t, "r0 = 0\nexit", {
        prog_type: t.kernel.name === "linux" ? 99 : bpf.BPF_PROG_TYPE_KPROBE,
      }),
    says: /there are no programs of type 99$|KPROBE isn't built into the embedded kernel$/,
  },
  "unknown-section": {
    induce: (t) => {
      const section = { name: "sk_lookp", nearest: nearestSection("sk_lookp") };
      return prog(t, "r0 = 0\nexit", { prog_type: 0 }, { section });
    },
    says: /did you mean "sk_lookup"\?$/,
  },
  "attach-target-missing": {
    notOn: { embedded: "programs of such types aren't built into it" },
    induce: (t) => prog(t, "r0 = 0\nexit", { prog_type: bpf.BPF_PROG_TYPE_TRACING }),
  },
  "context-half-given": { induce: (t) => run(t, { ctx_size_in: 56 }) },
  "log-too-small": { induce: (t) => prog(t, "r0 = 0\nexit", { log_size: 4 }) },
  "btf-refused": {
    induce: (t) => {
      const request = { btf: t.at(new Uint8Array(24)), btf_size: 24 };
      const { result } = tryBpf(t.kernel, bpf.BPF_BTF_LOAD, BTF_LOAD, request);
      return t.why(t.kernel, bpf.BPF_BTF_LOAD, result, request);
    },
  },
  "run-takes-context": { induce: (t) => run(t, { prog_fd: t.program(SK_LOOKUP_PROGRAM) }) },
  "packet-too-short": { induce: (t) => run(t, { data_size_in: 13 }) },
  "packet-too-long": {
    induce: (t) => run(t, { data_in: t.at(new Uint8Array(4097)), data_size_in: 4097 }),
  },
  "run-options": { induce: (t) => run(t, { cpu: 1 }) },
  "context-refused": {
    induce: (t) => run(t, { ctx_in: t.at(new Uint8Array(56).fill(1)), ctx_size_in: 56 }),
  },
  "no-test-run": {
    induce: (t) => {
      if (t.kernel.name === "linux") {
        return run(t, { prog_fd: t.program({ type: bpf.BPF_PROG_TYPE_KPROBE }) });
      }
      const context = new Uint8Array(72);
      context[8] = 2;
      const fields = { ctx_in: t.at(context), ctx_size_in: 72 };
      return t.refused(bpf.BPF_PROG_TEST_RUN, { prog_fd: t.program(SK_LOOKUP_PROGRAM), ...fields });
    },
  },
  "program-stopped": {
    notOn: {
      linux: "its verifier lets no such program in",
      embedded: "its verifier lets no such program in: see test/kernel/unverified.test.ts",
    },
    induce: (t) => run(t, { prog_fd: t.program({ text: "r1 = 0\nr0 = *(u64 *)(r1 + 0)\nexit" }) }),
  },
  "run-interrupted": {
    notOn: { linux: "it would take a signal in the middle of a synchronous call" },
    induce: (t) => t.why(lying(t.kernel, {}), bpf.BPF_PROG_TEST_RUN, -EINTR),
  },
  "network-header-outside": {
    notOn: { linux: "nothing is dissected where no program is attached" },
    induce: (t) => {
      const frame = { data: new Uint8Array(20), networkOffset: 21, protocol: 0x0800 };
      const result = Number(t.kernel.netns.dissect(t.netns(), frame, 0));
      return t.why(t.kernel, "netns.dissect", result, { data_size_in: 20, network_offset: 21 });
    },
  },
  "dissect-size": {
    notOn: { embedded: "it takes packets of all sizes" },
    async induce(t) {
      const netns = t.netns();
      await patientLink(t, t.program(), netns);
      const frame = { data: new Uint8Array(4097), networkOffset: 14, protocol: 0x0800 };
      const result = Number(t.kernel.netns.dissect(netns, frame, 0));
      const size = { fd: netns, data_size_in: 4097, network_offset: 14 };
      return t.why(t.kernel, "netns.dissect", result, size);
    },
  },
};
