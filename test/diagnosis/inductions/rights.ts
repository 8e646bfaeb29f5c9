/**
 * How refusals are brought about that have to do with rights, or with what can befall any call.
 */

import * as bpf from "../../../src/abi/bpf.ts";
import { EINVAL, ENFILE, EPERM } from "../../../src/abi/errno.ts";
import { BAD_POINTER, CLOSED_FD } from "../../contract/case.ts";
import { lying } from "../trial.ts";
import type { Inductions } from "./induction.ts";

const O_PATH = 0o10000000;
const { BPF_LINK_CREATE: CREATE, BPF_PROG_LOAD: LOAD, BPF_FLOW_DISSECTOR: DISSECTOR } = bpf;
const OLD_LINUX = "this Linux is too new; a kernel is made to answer as an old one does";

/** By cause. */
export const RIGHTS: Inductions = {
  "user-namespace": {
    notOn: { linux: "it takes another process: see user_namespace.linux.test.ts" },
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
    induce: (t) => t.why(lying(t.kernel, { opened: -ENFILE }), bpf.BPF_MAP_CREATE, -ENFILE),
  },
  "no-memory": {
    induce: (t) => {
      const huge = { value_size: 1 << 20, max_entries: 1 << 24 };
      return t.refused(bpf.BPF_MAP_CREATE, t.mapFields(huge));
    },
  },
};
