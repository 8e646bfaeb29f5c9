/**
 * How refusals are brought about that have to do with links, and with programs attached without
 * one.
 */

import * as bpf from "../../../src/abi/bpf.ts";
import { MAX_PROGRAMS } from "../../../src/diagnosis/ask.ts";
import { SK_LOOKUP_PROGRAM, SOCKET_FILTER } from "../../contract/case.ts";
import { attachDirectly, direct, type Inductions, patientLink } from "./induction.ts";

const { BPF_LINK_CREATE: CREATE, BPF_LINK_UPDATE: UPDATE } = bpf;
const { BPF_PROG_ATTACH: ATTACH, BPF_PROG_DETACH: DETACH, BPF_FLOW_DISSECTOR: DISSECTOR } = bpf;
const NO_OTHER = "there are no other programs, maps or links than those of network namespaces";

/** By cause. */
export const ATTACHING: Inductions = {
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
      for (let i = 0; i < 64; i++) t.openLink = t.link(program, netns, bpf.BPF_SK_LOOKUP);
      const fields = { prog_fd: program, target_fd: netns, attach_type: bpf.BPF_SK_LOOKUP };
      return t.refused(CREATE, fields);
    },
  },
  "occupied-by-link": {
    async induce(t) {
      const [program, netns] = [t.program(), t.named()];
      await patientLink(t, program, netns.fd);
      const fields = { prog_fd: program, target_fd: netns.fd, attach_type: DISSECTOR };
      return t.refused(CREATE, fields, netns.about);
    },
    says: /^netns \S+ already has a flow dissector link \(id \d+, program \d+\); update/,
  },
  "occupied-by-program": {
    async induce(t) {
      const [program, netns] = [t.program(), t.named()];
      await attachDirectly(t, program, netns.fd);
      const fields = { prog_fd: program, target_fd: netns.fd, attach_type: DISSECTOR };
      return t.refused(CREATE, fields, netns.about);
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
    remediesNotOn: { linux: "it would detach links of others, and link to the root namespace" },
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
    says: /^link \d+ runs program \d+ \(contract\d*\), not the expected program \d+/,
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
    induce: (t) => t.refusedInside(t.named().fd, ATTACH, direct(t.program(SK_LOOKUP_PROGRAM))),
  },
  "no-flow-dissector": {
    induce: (t) => t.refusedInside(t.netns(), ATTACH, direct(t.program(SOCKET_FILTER))),
  },
  "direct-attach-type": {
    induce: (t) =>
      t.refusedInside(t.netns(), ATTACH, { attach_bpf_fd: t.program(), attach_type: 22 }),
    says: /the program type BPF_PROG_TYPE_FLOW_DISSECTOR; .*\(17\)$/,
  },
  "direct-target-given": {
    induce: (t) =>
      t.refusedInside(t.netns(), ATTACH, { ...direct(t.program()), target_fd: t.netns() }),
  },
  "direct-flags-given": {
    induce: (t) =>
      t.refusedInside(t.netns(), ATTACH, {
        ...direct(t.program()),
        attach_flags: bpf.BPF_F_ALLOW_OVERRIDE,
      }),
  },
  "attached-already": {
    async induce(t) {
      const [program, { fd }] = [t.program(), t.named()];
      await attachDirectly(t, program, fd);
      return t.refusedInside(fd, ATTACH, direct(program));
    },
  },
  "link-here": {
    async induce(t) {
      const [program, netns] = [t.program(), t.netns()];
      await patientLink(t, program, netns);
      return t.refusedInside(netns, ATTACH, direct(program));
    },
    says: /link \(id \d+, program \d+\)/,
  },
  "held-by-link": {
    async induce(t) {
      const [program, netns] = [t.program(), t.netns()];
      await patientLink(t, program, netns);
      return t.refusedInside(netns, DETACH, direct(program));
    },
  },
  "other-program-attached": {
    async induce(t) {
      const { fd } = t.named();
      await attachDirectly(t, t.program(), fd);
      return t.refusedInside(fd, DETACH, direct(t.program()));
    },
    says: /^program \d+ is attached here, not program \d+$/,
  },
  "nothing-attached": {
    induce: (t) => t.refusedInside(t.named().fd, DETACH, direct(t.program())),
  },
  "query-room": {
    induce: (t) => {
      const [program, netns] = [t.program(SK_LOOKUP_PROGRAM), t.netns()];
      for (let i = 0; i < 2; i++) t.link(program, netns, bpf.BPF_SK_LOOKUP);
      // The remedy's count is tried with the same buffer, and Linux writes as many ids as there is
      // room for, however few programs are attached.
      const room = { prog_ids: t.at(new Uint8Array(4 * MAX_PROGRAMS)), prog_cnt: 1 };
      const fields = { target_fd: netns, attach_type: bpf.BPF_SK_LOOKUP, ...room };
      return t.refused(bpf.BPF_PROG_QUERY, fields);
    },
  },
  "query-flags": {
    induce: (t) =>
      t.refused(bpf.BPF_PROG_QUERY, {
        target_fd: t.netns(),
        attach_type: DISSECTOR,
        query_flags: 1,
      }),
  },
  "query-attach-type": {
    induce: (t) => t.refused(bpf.BPF_PROG_QUERY, { target_fd: t.netns(), attach_type: 9999 }),
  },
};
