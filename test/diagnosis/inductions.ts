/**
 * How each cause is brought about: a call that really fails, on the kernels where it can.
 */

import { BTF_LOAD } from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { EBUSY, EINTR, EINVAL, ENFILE, EPERM } from "../../src/abi/errno.ts";
import { assemble } from "../../src/asm/index.ts";
import { tryBpf } from "../../src/call.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import {
  BAD_POINTER,
  CLOSED_FD,
  SK_LOOKUP_PROGRAM,
  SOCKET_FILTER,
  u32s,
} from "../contract/case.ts";
import { until } from "../contract/world.ts";
import { lying, type Outcome, Trial } from "./trial.ts";

/** Brings a cause about and returns what was diagnosed. */
export interface Induction {
  /** Why it can't be brought about on a kernel, for those where it can't. */
  readonly notOn?: Readonly<Partial<Record<"embedded" | "linux", string>>>;
  readonly induce: (t: Trial) => Outcome | Promise<Outcome>;
  /** What the hint has to say beside its general words. */
  readonly says?: RegExp;
}

const DISSECTOR = bpf.BPF_FLOW_DISSECTOR;
const O_PATH = 0o10000000;
const NOBODY = 65_534;
const { BPF_LINK_CREATE: CREATE, BPF_LINK_UPDATE: UPDATE, BPF_PROG_LOAD: LOAD } = bpf;
const { BPF_PROG_ATTACH: ATTACH, BPF_PROG_DETACH: DETACH } = bpf;

const OLD_LINUX = "this Linux is too new; a kernel is made to answer as an old one does";
const NO_OTHER = "there are no other programs, maps or links than those of network namespaces";

/** The attr of a direct attachment, or of its end. */
function direct(program: number): { attach_bpf_fd: number; attach_type: number } {
  return { attach_bpf_fd: program, attach_type: DISSECTOR };
}

/** A link, as soon as the root rule lets us: another test may have the root for an instant. */
async function patientLink(t: Trial, program: number, netns: number): Promise<number> {
  const fields = { prog_fd: program, target_fd: netns, attach_type: DISSECTOR };
  let link = -1;
  await until(t.world, "the root rule lets us", () => {
    link = t.call(CREATE, fields);
    return link >= 0;
  });
  return link;
}

async function attachDirectly(t: Trial, program: number, netns: number): Promise<void> {
  await until(t.world, "the root rule lets us", () =>
    t.inside(netns, () => t.call(ATTACH, direct(program)) === 0),
  );
}

function prog(t: Trial, text: string, fields: Record<string, unknown> = {}): Outcome {
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
  return t.why(t.kernel, LOAD, result, request, { log: written, instructions: insns });
}

function progArray(t: Trial): number {
  return t.map({ map_type: bpf.BPF_MAP_TYPE_PROG_ARRAY, value_size: 4 });
}

function element(
  t: Trial,
  map: number,
  fields: { key?: number; value?: Uint8Array; flags?: bigint } = {},
): { map_fd: number; key: bigint; value: bigint; flags: bigint } {
  return {
    map_fd: map,
    key: t.at(u32s(fields.key ?? 0)),
    value: t.at(fields.value ?? new Uint8Array(8)),
    flags: fields.flags ?? 0n,
  };
}

const hash = (t: Trial): number => t.map({ map_type: bpf.BPF_MAP_TYPE_HASH, max_entries: 1 });

function pin(t: Trial, path: string): Outcome {
  const fields = { pathname: t.string(path), bpf_fd: t.map() };
  return t.refused(bpf.BPF_OBJ_PIN, fields, { path });
}

function run(t: Trial, fields: Record<string, number | bigint>): Outcome {
  const packet = { data_in: t.at(new Uint8Array(64)), data_size_in: 64 };
  return t.refused(bpf.BPF_PROG_TEST_RUN, { prog_fd: t.program(), ...packet, ...fields });
}

/** What each cause takes, by its id. */
export const INDUCTIONS: Readonly<Record<string, Induction>> = {
  "user-namespace": {
    notOn: { linux: "it would take another process" },
    induce: (t) => {
      const texts = { "/proc/thread-self/uid_map": "0 1000 1\n" };
      const kernel = lying(t.kernel, { result: -EPERM, texts });
      return t.why(kernel, LOAD, -EPERM, { prog_type: 22 });
    },
  },
  "unprivileged-bpf-off": {
    induce: (t) =>
      t.world.unprivileged([], (kernel) => t.refusedOn(kernel, bpf.BPF_MAP_CREATE, t.mapFields())),
    says: /kernel\.unprivileged_bpf_disabled = [12]/,
  },
  "no-cap-bpf": {
    induce: (t) =>
      t.world.unprivileged([], (kernel) => t.refusedOn(kernel, LOAD, t.programFields())),
  },
  "no-cap-perfmon": {
    induce: (t) =>
      t.withCapabilities(["CAP_BPF"], (kernel) =>
        t.refusedOn(kernel, LOAD, t.programFields({ type: bpf.BPF_PROG_TYPE_KPROBE })),
      ),
    says: /BPF_PROG_TYPE_KPROBE needs CAP_PERFMON$/,
  },
  "no-cap-net-admin": {
    induce: (t) =>
      t.withCapabilities(["CAP_BPF"], (kernel) => t.refusedOn(kernel, LOAD, t.programFields())),
    says: /BPF_PROG_TYPE_FLOW_DISSECTOR needs CAP_NET_ADMIN$/,
  },
  "no-cap-sys-admin": {
    induce: (t) =>
      t.withCapabilities(["CAP_BPF", "CAP_NET_ADMIN"], (kernel) =>
        t.refusedOn(kernel, bpf.BPF_LINK_GET_FD_BY_ID, { id: 1 }),
      ),
  },
  memlock: {
    notOn: { linux: OLD_LINUX },
    induce: (t) => {
      const texts = {
        "/proc/sys/kernel/osrelease": "5.10.0-23-amd64\n",
        "/proc/thread-self/limits":
          "Max locked memory         65536                65536    bytes\n",
      };
      return t.why(lying(t.kernel, { texts }), bpf.BPF_MAP_CREATE, -EPERM, t.mapFields());
    },
    says: /\(5\.10\.0-23-amd64\).* may lock 65536 bytes/,
  },

  "unknown-flags": {
    induce: (t) =>
      t.refused(CREATE, {
        prog_fd: t.program(),
        target_fd: t.netns(),
        attach_type: DISSECTOR,
        flags: 1,
      }),
  },
  "wrong-program-type": {
    induce: (t) =>
      t.refused(CREATE, {
        prog_fd: t.program(SOCKET_FILTER),
        target_fd: t.netns(),
        attach_type: DISSECTOR,
      }),
    says: /BPF_PROG_TYPE_SOCKET_FILTER/,
  },
  "link-type-as-attach-type": {
    induce: (t) =>
      t.refused(CREATE, { prog_fd: t.program(), target_fd: t.netns(), attach_type: 5 }),
    says: /BPF_LINK_TYPE_NETNS; give the attach type BPF_FLOW_DISSECTOR \(17\)$/,
  },
  "program-type-as-attach-type": {
    induce: (t) =>
      t.refused(CREATE, {
        prog_fd: t.program(SK_LOOKUP_PROGRAM),
        target_fd: t.netns(),
        attach_type: 30,
      }),
    says: /BPF_PROG_TYPE_SK_LOOKUP; give BPF_SK_LOOKUP \(36\)$/,
  },
  "wrong-attach-type": {
    induce: (t) =>
      t.refused(CREATE, { prog_fd: t.program(), target_fd: t.netns(), attach_type: 36 }),
    says: /as BPF_FLOW_DISSECTOR \(17\), not as BPF_SK_LOOKUP \(36\)$/,
  },
  "sk-lookup-links-full": {
    induce: (t) => {
      const [program, netns] = [t.program(SK_LOOKUP_PROGRAM), t.netns()];
      for (let i = 0; i < 64; i++) t.link(program, netns, bpf.BPF_SK_LOOKUP);
      const fields = { prog_fd: program, target_fd: netns, attach_type: bpf.BPF_SK_LOOKUP };
      return t.refused(CREATE, fields);
    },
  },
  "occupied-by-link": {
    async induce(t) {
      const [program, netns] = [t.program(), t.netns()];
      await patientLink(t, program, netns);
      const fields = { prog_fd: program, target_fd: netns, attach_type: DISSECTOR };
      return t.refused(CREATE, fields, { netns: "blue" });
    },
    says: /^netns blue already has a flow dissector link \(id \d+, program \d+\); update that link,/,
  },
  "occupied-by-program": {
    async induce(t) {
      const [program, netns] = [t.program(), t.netns()];
      await attachDirectly(t, program, netns);
      return t.refused(CREATE, { prog_fd: program, target_fd: netns, attach_type: DISSECTOR });
    },
    says: /^program \d+ is attached to netns .+ directly; detach it first$/,
  },
  "root-dissector": {
    notOn: {
      linux: "for as long as it lasts, no namespace of this machine could have a dissector",
    },
    induce: (t) => {
      const root = t.track(t.world.openRoot());
      const program = t.program();
      t.link(program, root);
      return t.refused(CREATE, { prog_fd: program, target_fd: t.netns(), attach_type: DISSECTOR });
    },
    says: /program \d+ .+ of the root namespace \(link \d+\) serves all namespaces/,
  },
  "others-bar-root": {
    async induce(t) {
      const program = t.program();
      await patientLink(t, program, t.netns());
      const root = t.track(t.world.openRoot());
      return t.refused(CREATE, { prog_fd: program, target_fd: root, attach_type: DISSECTOR });
    },
    says: /while others do: .*\(link \d+\).*; detach those first$/,
  },
  "root-rule": {
    async induce(t) {
      const [program, netns] = [t.program(), t.netns()];
      await attachDirectly(t, program, netns);
      return t.world.unprivileged([program, netns], (kernel, [prog_fd = -1, target_fd = -1]) =>
        t.refusedOn(kernel, CREATE, { prog_fd, target_fd, attach_type: DISSECTOR }),
      );
    },
  },
  "link-defunct": {
    async induce(t) {
      const program = t.program();
      const link = await patientLink(t, program, t.netns());
      t.must(bpf.BPF_LINK_DETACH, { link_fd: link });
      return t.refused(UPDATE, { link_fd: link, new_prog_fd: program });
    },
    says: /^link \d+ is defunct/,
  },
  "old-program-mismatch": {
    async induce(t) {
      const [first, second] = [t.program(), t.program()];
      const link = await patientLink(t, first, t.netns());
      const flags = bpf.BPF_F_REPLACE;
      return t.refused(UPDATE, { link_fd: link, new_prog_fd: first, flags, old_prog_fd: second });
    },
    says: /^link \d+ runs program \d+, not \d+; somebody else put program \d+ \(contract\d*\) there/,
  },
  "replace-flag-missing": {
    async induce(t) {
      const program = t.program();
      const link = await patientLink(t, program, t.netns());
      return t.refused(UPDATE, { link_fd: link, new_prog_fd: program, old_prog_fd: program });
    },
  },
  "update-type-mismatch": {
    async induce(t) {
      const link = await patientLink(t, t.program(), t.netns());
      return t.refused(UPDATE, { link_fd: link, new_prog_fd: t.program(SK_LOOKUP_PROGRAM) });
    },
  },
  "link-cannot-detach": {
    notOn: { embedded: NO_OTHER },
    induce: (t) => {
      const program = t.program({ type: bpf.BPF_PROG_TYPE_RAW_TRACEPOINT });
      const attr = new Uint8Array(16);
      const view = new DataView(attr.buffer);
      view.setBigUint64(0, t.string("sched_process_hang"), true);
      view.setUint32(8, program, true);
      const link = t.track(t.kernel.bpf(bpf.BPF_RAW_TRACEPOINT_OPEN, attr));
      return t.refused(bpf.BPF_LINK_DETACH, { link_fd: link });
    },
  },

  "sk-lookup-needs-link": {
    induce: (t) => t.refused(ATTACH, direct(t.program(SK_LOOKUP_PROGRAM))),
  },
  "no-flow-dissector": { induce: (t) => t.refused(ATTACH, direct(t.program(SOCKET_FILTER))) },
  "direct-attach-type": {
    induce: (t) => t.refused(ATTACH, { attach_bpf_fd: t.program(), attach_type: 22 }),
    says: /the program type BPF_PROG_TYPE_FLOW_DISSECTOR; .*\(17\)$/,
  },
  "direct-target-given": {
    induce: (t) => t.refused(ATTACH, { ...direct(t.program()), target_fd: t.netns() }),
  },
  "direct-flags-given": {
    induce: (t) =>
      t.refused(ATTACH, { ...direct(t.program()), attach_flags: bpf.BPF_F_ALLOW_OVERRIDE }),
  },
  "attached-already": {
    async induce(t) {
      const [program, netns] = [t.program(), t.netns()];
      await attachDirectly(t, program, netns);
      return t.inside(netns, () => t.refused(ATTACH, direct(program)));
    },
  },
  "link-here": {
    async induce(t) {
      const [program, netns] = [t.program(), t.netns()];
      await patientLink(t, program, netns);
      return t.inside(netns, () => t.refused(ATTACH, direct(program)));
    },
    says: /link \(id \d+, program \d+\)/,
  },
  "held-by-link": {
    async induce(t) {
      const [program, netns] = [t.program(), t.netns()];
      await patientLink(t, program, netns);
      return t.inside(netns, () => t.refused(DETACH, direct(program)));
    },
  },
  "other-program-attached": {
    async induce(t) {
      const netns = t.netns();
      await attachDirectly(t, t.program(), netns);
      return t.inside(netns, () => t.refused(DETACH, direct(t.program())));
    },
    says: /^program \d+ is attached here, not program \d+$/,
  },
  "nothing-attached": {
    induce: (t) => t.inside(t.netns(), () => t.refused(DETACH, direct(t.program()))),
  },
  "query-room": {
    induce: (t) => {
      const [program, netns] = [t.program(SK_LOOKUP_PROGRAM), t.netns()];
      for (let i = 0; i < 2; i++) t.link(program, netns, bpf.BPF_SK_LOOKUP);
      const room = { prog_ids: t.at(new Uint8Array(4)), prog_cnt: 1 };
      const fields = { target_fd: netns, attach_type: bpf.BPF_SK_LOOKUP, ...room };
      return t.refused(bpf.BPF_PROG_QUERY, fields);
    },
  },
  "query-attach-type": {
    induce: (t) => t.refused(bpf.BPF_PROG_QUERY, { target_fd: t.netns(), attach_type: 9999 }),
  },

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
      return t.why(t.kernel, LOAD, result, request, { instructions: call });
    },
    says: /is for tail calls of BPF_PROG_TYPE_SOCKET_FILTER/,
  },
  "program-type-missing": { induce: (t) => prog(t, "r0 = 0\nexit", { prog_type: 99 }) },
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
    notOn: { linux: "its verifier lets no such program in" },
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

  "command-missing": {
    induce: (t) => {
      if (t.kernel.name === "linux") {
        return t.why(lying(t.kernel, { result: -EINVAL }), bpf.BPF_LINK_DETACH, -EINVAL);
      }
      const result = t.kernel.bpf(bpf.BPF_ITER_CREATE, new Uint8Array(8));
      return t.why(t.kernel, bpf.BPF_ITER_CREATE, result);
    },
    says: /came with Linux 5\.[89]$/,
  },
  "fd-path-only": {
    induce: (t) => {
      const target_fd = t.open("/proc/self/ns/net", O_PATH);
      return t.refused(CREATE, { prog_fd: t.program(), target_fd, attach_type: DISSECTOR });
    },
    says: /^target_fd: fd \d+ was opened with O_PATH/,
  },
  "fd-closed": {
    induce: (t) => t.refused(bpf.BPF_LINK_DETACH, { link_fd: CLOSED_FD }),
    says: /^link_fd: fd 999999 is not open$/,
  },
  "fd-wrong-kind": {
    induce: (t) => t.refused(bpf.BPF_LINK_DETACH, { link_fd: t.program() }),
    says: /^link_fd: fd \d+ is open on anon_inode:bpf-prog, which is not a link$/,
  },
  "bad-address": {
    induce: (t) => t.refused(bpf.BPF_MAP_LOOKUP_ELEM, { map_fd: t.map(), key: BAD_POINTER }),
  },
  "fd-table-full": {
    induce: (t) =>
      t.world.withFullTable([], (kernel) => t.refusedOn(kernel, bpf.BPF_MAP_CREATE, t.mapFields())),
  },
  "file-table-full": {
    notOn: { linux: "it would take all files of the machine" },
    induce: (t) => t.why(lying(t.kernel, {}), bpf.BPF_MAP_CREATE, -ENFILE),
  },
  "no-memory": {
    induce: (t) => {
      const huge = { value_size: 1 << 20, max_entries: 1 << 24 };
      return t.refused(bpf.BPF_MAP_CREATE, t.mapFields(huge));
    },
  },

  "map-type-missing": {
    induce: (t) => t.refused(bpf.BPF_MAP_CREATE, t.mapFields({ map_type: 4000 })),
  },
  "map-shape": {
    induce: (t) => t.refused(bpf.BPF_MAP_CREATE, t.mapFields({ key_size: 8 })),
    says: /its keys are indexes of 4 bytes$/,
  },
  "map-too-large": {
    induce: (t) => {
      const fields = { map_type: bpf.BPF_MAP_TYPE_HASH, value_size: 0x7fff_ffff };
      return t.refused(bpf.BPF_MAP_CREATE, t.mapFields(fields));
    },
  },
  "map-full": {
    induce: (t) => {
      const map = hash(t);
      t.must(bpf.BPF_MAP_UPDATE_ELEM, element(t, map));
      return t.refused(bpf.BPF_MAP_UPDATE_ELEM, element(t, map, { key: 1 }));
    },
    says: /holds at most 1 entries/,
  },
  "index-out-of-range": {
    induce: (t) => t.refused(bpf.BPF_MAP_UPDATE_ELEM, element(t, t.map(), { key: 4 })),
    says: /indexes go from 0 to 3$/,
  },
  "key-exists": {
    induce: (t) =>
      t.refused(bpf.BPF_MAP_UPDATE_ELEM, element(t, t.map(), { flags: BigInt(bpf.BPF_NOEXIST) })),
  },
  "key-missing": {
    induce: (t) =>
      t.refused(bpf.BPF_MAP_UPDATE_ELEM, element(t, hash(t), { flags: BigInt(bpf.BPF_EXIST) })),
  },
  "fd-write-only": {
    induce: (t) =>
      t.refused(bpf.BPF_MAP_LOOKUP_ELEM, element(t, t.map({ map_flags: bpf.BPF_F_WRONLY }))),
  },
  "fd-read-only": {
    induce: (t) =>
      t.refused(bpf.BPF_MAP_UPDATE_ELEM, element(t, t.map({ map_flags: bpf.BPF_F_RDONLY }))),
  },
  "map-frozen": {
    induce: (t) => {
      const map = t.map();
      t.must(bpf.BPF_MAP_FREEZE, { map_fd: map });
      return t.refused(bpf.BPF_MAP_UPDATE_ELEM, element(t, map));
    },
  },
  "map-busy": {
    notOn: { linux: "it would take memory that is mapped for writing" },
    induce: (t) => t.why(t.kernel, bpf.BPF_MAP_FREEZE, -EBUSY, { map_fd: t.map() }),
  },
  "slot-not-a-program": {
    induce: (t) => {
      const value = u32s(t.map());
      const fields = element(t, progArray(t), { value });
      return t.refused(bpf.BPF_MAP_UPDATE_ELEM, fields, { value });
    },
    says: /is open on anon_inode:bpf-map$/,
  },
  "slot-owner": {
    induce: (t) => {
      const map = progArray(t);
      const first = element(t, map, { value: u32s(t.program(SOCKET_FILTER)) });
      t.must(bpf.BPF_MAP_UPDATE_ELEM, first);
      const value = u32s(t.program());
      return t.refused(bpf.BPF_MAP_UPDATE_ELEM, element(t, map, { value }), { value });
    },
  },
  "element-refused": {
    induce: (t) => t.refused(bpf.BPF_MAP_UPDATE_ELEM, element(t, hash(t), { flags: 8n })),
  },
  "map-operation": {
    induce: (t) => {
      const fields = { map_fd: t.map(), key: t.at(u32s(0)) };
      return t.refused(bpf.BPF_MAP_DELETE_ELEM, fields);
    },
    says: /BPF_MAP_TYPE_ARRAY, which doesn't allow that$/,
  },

  "pin-exists": { induce: (t) => pin(t, t.pin(t.map())) },
  "pin-directory-missing": { induce: (t) => pin(t, `${t.world.pinDirectory}/no/map`) },
  "pin-outside-bpffs": { induce: (t) => pin(t, "/tmp/nslink-no-pin"), says: /pin below \/sys\/fs/ },
  "pin-name-with-dot": { induce: (t) => pin(t, `${t.pinPath()}.old`) },
  "path-through-a-file": { induce: (t) => pin(t, `${t.pin(t.map())}/map`) },
  "path-too-long": { induce: (t) => pin(t, `${t.world.pinDirectory}/${"x".repeat(256)}`) },
  "pin-directory-not-writable": {
    induce: (t) => {
      const directory = `${t.world.pinDirectory}/ours`;
      t.kernel.bpffs.mkdir(directory);
      const path = `${directory}/map`;
      try {
        return t.world.unprivileged(
          [t.map()],
          (kernel, [bpf_fd = -1]) =>
            t.refusedOn(kernel, bpf.BPF_OBJ_PIN, { pathname: t.string(path), bpf_fd }, { path }),
          NOBODY,
        );
      } finally {
        t.kernel.bpffs.rmdir(directory);
      }
    },
  },
  "nothing-pinned": {
    induce: (t) => {
      const path = t.pinPath();
      return t.refused(bpf.BPF_OBJ_GET, { pathname: t.string(path) }, { path });
    },
  },
  "link-opened-read-only": {
    async induce(t) {
      const path = t.pin(await patientLink(t, t.program(), t.netns()));
      const fields = { pathname: t.string(path), file_flags: bpf.BPF_F_RDONLY };
      return t.refused(bpf.BPF_OBJ_GET, fields, { path });
    },
  },
  "not-a-pin": {
    induce: (t) => {
      const path = t.world.pinDirectory;
      return t.refused(bpf.BPF_OBJ_GET, { pathname: t.string(path) }, { path });
    },
  },
  "pin-not-yours": {
    induce: (t) => {
      const path = t.pin(t.map());
      return t.world.unprivileged(
        [],
        (kernel) => t.refusedOn(kernel, bpf.BPF_OBJ_GET, { pathname: t.string(path) }, { path }),
        NOBODY,
      );
    },
  },
  "no-such-id": {
    induce: (t) => t.refused(bpf.BPF_LINK_GET_FD_BY_ID, { id: 0x7fff_fff0 }),
    says: /^there is no link with id 2147483632$/,
  },
  "id-being-made": {
    notOn: { linux: "it would take a call of another CPU in the middle of ours" },
    induce: idBeingMade,
  },

  "netns-exists": {
    induce: (t) => {
      const name = t.name();
      t.kernel.netns.create(name);
      const outcome = t.why(
        t.kernel,
        "netns.create",
        t.kernel.netns.create(name),
        {},
        { netns: name },
      );
      t.kernel.netns.remove(name);
      return outcome;
    },
  },
  "no-such-process": {
    induce: (t) => {
      const pid = 0x3fff_ffff;
      return t.why(t.kernel, "netns.open", t.kernel.netns.open({ pid }), {}, { pid });
    },
  },
  "no-such-netns": {
    induce: (t) => {
      const name = t.name();
      return t.why(t.kernel, "netns.open", t.kernel.netns.open({ name }), {}, { netns: name });
    },
  },
  "bad-netns-name": {
    induce: (t) =>
      t.why(t.kernel, "netns.create", t.kernel.netns.create("a/b"), {}, { netns: "a/b" }),
  },
  "not-a-netns": {
    induce: (t) => {
      const path = "/dev/null";
      return t.why(t.kernel, "netns.open", t.kernel.netns.open({ path }), {}, { netns: path });
    },
  },
  "netns-not-yours": {
    notOn: { embedded: "everybody may open the namespaces of others" },
    induce: (t) =>
      t.world.unprivileged(
        [],
        (kernel) =>
          t.why(kernel, "netns.open", kernel.netns.open({ pid: 1 }), {}, { netns: "of process 1" }),
        NOBODY,
      ),
  },
};

/** Asks for a link by its id while the call that makes it is under way: the first id is 1. */
function idBeingMade(t: Trial): Outcome {
  let outcome: Outcome = null;
  const preempt = (point: string): void => {
    if (point !== "link_create: primed") return;
    outcome = t.refusedOn(kernel, bpf.BPF_LINK_GET_FD_BY_ID, { id: 1 });
  };
  const kernel = EmbeddedKernel.boot({ preempt });
  kernel.netns.create("blue");
  const own = new Trial({ ...t.world, kernel }, t.withCapabilities);
  own.link(own.program(), kernel.netns.open({ name: "blue" }));
  kernel[Symbol.dispose]();
  return outcome;
}

/** `tail_call(ctx, map, 0)`; the map's fd goes into the first slot. */
const TAIL_CALL: string = "r2 = map_fd[0]\nr3 = 0\ncall 12\nr0 = 0\nexit";
