/**
 * For each cause a case beside it: the same call, refused with an errno that the cause is for,
 * where it isn't the reason. Most are made up: no kernel refuses without a reason.
 */

import * as bpf from "../../src/abi/bpf.ts";
import * as E from "../../src/abi/errno.ts";
import { CLOSED_FD, SK_LOOKUP_PROGRAM, SOCKET_FILTER, u32s } from "../contract/case.ts";
import { NOBODY, patientLink } from "./inductions/induction.ts";
import { prog, run } from "./inductions/loading.ts";
import { element, hash, open, progArray } from "./inductions/objects.ts";
import { lying, type Outcome, type Trial } from "./trial.ts";

const { BPF_FLOW_DISSECTOR: DISSECTOR, BPF_LINK_CREATE: CREATE, BPF_LINK_UPDATE: UPDATE } = bpf;
const { BPF_PROG_ATTACH: ATTACH, BPF_PROG_DETACH: DETACH, BPF_PROG_LOAD: LOAD } = bpf;
const { BPF_MAP_CREATE: MAKE, BPF_MAP_UPDATE_ELEM: SET, BPF_PROG_QUERY: QUERY } = bpf;

/** A case in which a cause must not be found. */
export interface Neighbour {
  readonly show: (t: Trial) => Outcome | Promise<Outcome>;
  /** Why the cause can't be missed where its errno is: the case has another errno then. */
  readonly byDefinition?: string;
}

/** A refusal that no kernel made, with this errno. */
function madeUp(
  command: number | string,
  errno: number,
  attr: (t: Trial) => Record<string, number | bigint | Uint8Array> = () => ({}),
): Neighbour {
  return { show: (t) => t.why(t.kernel, command, -errno, attr(t)) };
}

function byDefinition(
  command: number | string,
  errno: number,
  why: string,
  attr: (t: Trial) => Record<string, number> = () => ({}),
): Neighbour {
  return { ...madeUp(command, errno, attr), byDefinition: why };
}

/** A link to a namespace that has no other, for a program of a type and an attach type. */
function linking(
  errno: number,
  type: typeof SOCKET_FILTER | undefined,
  attachType: number,
): Neighbour {
  return madeUp(CREATE, errno, (t) => ({
    prog_fd: t.program(type ?? {}),
    target_fd: t.netns(),
    attach_type: attachType,
  }));
}

/** A refused attachment, or its end, inside of a namespace where nothing is attached. */
function alone(command: number, errno: number): Neighbour {
  return {
    show: (t) =>
      t.inside(t.netns(), () =>
        t.why(t.kernel, command, -errno, { attach_bpf_fd: t.program(), attach_type: DISSECTOR }),
      ),
  };
}

/** A program that is refused for a reason that its log doesn't name, or for another. */
const otherVerdict: Neighbour = { show: (t) => prog(t, "r0 = r3\nexit") };
const noVerdict: Neighbour = madeUp(LOAD, E.EINVAL, (t) => ({ ...t.programFields() }) as never);

/** By cause. */
export const NEIGHBOURS: Readonly<Record<string, Neighbour>> = {
  "user-namespace": madeUp(LOAD, E.EPERM, () => ({ prog_type: 22 })),
  "unprivileged-bpf-off": madeUp(MAKE, E.EPERM, (t) => ({ ...t.mapFields() }) as never),
  "no-cap-bpf": madeUp(LOAD, E.EPERM, () => ({ prog_type: 22 })),
  "no-cap-perfmon": {
    show: (t) =>
      t.withCapabilities(["CAP_BPF"], (kernel) => t.refusedOn(kernel, LOAD, t.programFields())),
  },
  "no-cap-net-admin": {
    show: (t) =>
      t.withCapabilities(["CAP_BPF"], (kernel) =>
        t.why(kernel, LOAD, -E.EPERM, { prog_type: bpf.BPF_PROG_TYPE_SOCKET_FILTER }),
      ),
  },
  "no-cap-sys-admin": madeUp(bpf.BPF_LINK_GET_FD_BY_ID, E.EPERM, () => ({ id: 1 })),
  memlock: madeUp(MAKE, E.EPERM),

  "wrong-program-type": {
    // A link of another kind: its target is no network namespace.
    show: (t) =>
      t.why(t.kernel, CREATE, -E.EINVAL, {
        prog_fd: t.program(SOCKET_FILTER),
        target_fd: t.map(),
        attach_type: bpf.BPF_XDP,
      }),
  },
  "link-type-as-attach-type": linking(E.EINVAL, SOCKET_FILTER, 5),
  "program-type-as-attach-type": linking(E.EINVAL, undefined, bpf.BPF_SK_LOOKUP),
  "wrong-attach-type": linking(E.EINVAL, undefined, DISSECTOR),
  "unknown-flags": {
    show: (t) =>
      t.why(t.kernel, CREATE, -E.EINVAL, {
        prog_fd: t.program(SOCKET_FILTER),
        target_fd: t.map(),
        attach_type: bpf.BPF_XDP,
        flags: 2,
      }),
  },
  "sk-lookup-links-full": {
    show: (t) => {
      const [program, netns] = [t.program(SK_LOOKUP_PROGRAM), t.netns()];
      for (let i = 0; i < 63; i++) t.link(program, netns, bpf.BPF_SK_LOOKUP);
      const fields = { prog_fd: program, target_fd: netns, attach_type: bpf.BPF_SK_LOOKUP };
      return t.why(t.kernel, CREATE, -E.E2BIG, fields);
    },
  },
  "occupied-by-link": linking(E.E2BIG, undefined, DISSECTOR),
  "occupied-by-program": linking(E.EEXIST, undefined, DISSECTOR),
  "link-defunct": {
    async show(t) {
      const program = t.program();
      const link = await patientLink(t, program, t.netns());
      return t.why(t.kernel, UPDATE, -E.ENOLINK, { link_fd: link, new_prog_fd: program });
    },
  },
  "old-program-mismatch": {
    async show(t) {
      const program = t.program();
      const link = await patientLink(t, program, t.netns());
      const swap = { link_fd: link, new_prog_fd: program, flags: 4, old_prog_fd: program };
      return t.why(t.kernel, UPDATE, -E.EPERM, swap);
    },
  },
  "replace-flag-missing": {
    async show(t) {
      const link = await patientLink(t, t.program(), t.netns());
      const swap = { link_fd: link, new_prog_fd: t.program(SK_LOOKUP_PROGRAM) };
      return t.refused(UPDATE, swap);
    },
  },
  "update-type-mismatch": {
    async show(t) {
      const link = await patientLink(t, t.program(), t.netns());
      return t.refused(UPDATE, { link_fd: link, new_prog_fd: t.map() });
    },
  },
  "link-cannot-detach": {
    async show(t) {
      const link = await patientLink(t, t.program(), t.netns());
      return t.why(t.kernel, bpf.BPF_LINK_DETACH, -E.EOPNOTSUPP, { link_fd: link });
    },
  },

  "sk-lookup-needs-link": {
    show: (t) =>
      t.refusedInside(t.netns(), ATTACH, {
        attach_bpf_fd: t.program(SOCKET_FILTER),
        attach_type: DISSECTOR,
      }),
  },
  "no-flow-dissector": madeUp(ATTACH, E.EINVAL, (t) => ({
    // Such a program is attached to a control group, if anywhere.
    attach_bpf_fd: t.program(SOCKET_FILTER),
    attach_type: bpf.BPF_CGROUP_INET_INGRESS,
  })),
  "direct-attach-type": {
    show: (t) =>
      t.refusedInside(t.netns(), ATTACH, {
        attach_bpf_fd: t.program(SOCKET_FILTER),
        attach_type: 22,
      }),
  },
  "direct-target-given": madeUp(ATTACH, E.EINVAL, (t) => ({
    attach_bpf_fd: t.program(SOCKET_FILTER),
    attach_type: bpf.BPF_CGROUP_INET_INGRESS,
    target_fd: t.netns(),
  })),
  "direct-flags-given": madeUp(ATTACH, E.EINVAL, (t) => ({
    attach_bpf_fd: t.program(SOCKET_FILTER),
    attach_type: bpf.BPF_CGROUP_INET_INGRESS,
    attach_flags: 1,
  })),
  "attached-already": alone(ATTACH, E.EINVAL),
  "link-here": alone(ATTACH, E.EEXIST),
  "held-by-link": alone(DETACH, E.EINVAL),
  "other-program-attached": alone(DETACH, E.ENOENT),
  "nothing-attached": madeUp(DETACH, E.ENOENT, (t) => ({
    attach_bpf_fd: t.program(SOCKET_FILTER),
    attach_type: bpf.BPF_CGROUP_INET_INGRESS,
  })),
  "query-room": madeUp(QUERY, E.ENOSPC, (t) => ({
    target_fd: t.netns(),
    attach_type: DISSECTOR,
    prog_cnt: 1,
  })),
  "query-attach-type": madeUp(QUERY, E.EINVAL, (t) => ({
    target_fd: t.map(),
    attach_type: bpf.BPF_CGROUP_INET_INGRESS,
  })),
  "query-flags": madeUp(QUERY, E.EINVAL, (t) => ({
    target_fd: t.map(),
    attach_type: bpf.BPF_CGROUP_INET_INGRESS,
    query_flags: 1,
  })),
  "root-dissector": linking(E.EEXIST, SOCKET_FILTER, bpf.BPF_XDP),
  "others-bar-root": linking(E.EEXIST, SOCKET_FILTER, bpf.BPF_XDP),
  "root-rule": linking(E.EEXIST, SOCKET_FILTER, bpf.BPF_XDP),

  "helper-missing": { show: (t) => prog(t, "call 25\nexit") },
  "helper-not-for-type": { show: (t) => prog(t, "call 9999\nexit") },
  "helper-gpl-only": otherVerdict,
  "verifier-rejected": noVerdict,
  "no-instructions": madeUp(LOAD, E.E2BIG, () => ({ insn_cnt: 1 })),
  "too-many-instructions": madeUp(LOAD, E.E2BIG, () => ({ insn_cnt: 1_000_000 })),
  "bad-object-name": madeUp(LOAD, E.EINVAL, () => ({
    prog_type: 22,
    prog_name: new TextEncoder().encode("fifteen_bytes_.").slice(0, 15),
  })),
  "unknown-load-flags": madeUp(LOAD, E.EINVAL, () => ({ prog_type: 22, prog_flags: 1 })),
  "unknown-section": {
    // The section is known, and the program is refused for something else.
    show: (t) => {
      const section = { name: "flow_dissector", nearest: "flow_dissector" };
      return t.why(t.kernel, LOAD, -E.EINVAL, { prog_type: 22 }, { section });
    },
  },
  "attach-target-missing": madeUp(LOAD, E.EINVAL, () => ({
    prog_type: bpf.BPF_PROG_TYPE_TRACING,
    attach_btf_id: 1,
  })),
  "wrong-expected-attach-type": madeUp(LOAD, E.EINVAL, () => ({
    prog_type: bpf.BPF_PROG_TYPE_SK_LOOKUP,
    expected_attach_type: bpf.BPF_SK_LOOKUP,
  })),
  "prog-array-owner": {
    // A program of the owner's own type: something else is wrong with it.
    show: (t) => {
      const map = progArray(t);
      t.must(SET, element(t, map, { value: u32s(t.program()) }));
      const instructions = Uint8Array.from([0x18, 0x12, 0, 0, map & 0xff, map >> 8, 0, 0]);
      return t.why(t.kernel, LOAD, -E.EINVAL, { prog_type: 22 }, { instructions });
    },
  },
  "program-type-missing": madeUp(LOAD, E.EINVAL, () => ({ prog_type: 1 })),
  "log-too-small": madeUp(LOAD, E.ENOSPC, () => ({ prog_type: 22 })),
  "btf-refused": madeUp(bpf.BPF_BTF_LOAD, E.EINVAL, () => ({ btf_log_level: 1 })),

  "run-takes-context": {
    show: (t) => {
      const context = new Uint8Array(72).fill(1);
      return t.why(t.kernel, bpf.BPF_PROG_TEST_RUN, -E.EINVAL, {
        prog_fd: t.program(SK_LOOKUP_PROGRAM),
        ctx_in: t.at(context),
        ctx_size_in: context.length,
      });
    },
  },
  "packet-too-short": { show: (t) => run(t, { cpu: 1 }) },
  "packet-too-long": { show: (t) => run(t, { cpu: 1 }) },
  "context-half-given": { show: (t) => run(t, { cpu: 1 }) },
  "run-options": { show: (t) => run(t, { data_size_in: 13 }) },
  "context-refused": { show: (t) => run(t, { cpu: 1 }) },
  "no-test-run": madeUp(bpf.BPF_PROG_TEST_RUN, E.ENOTSUPP, (t) => ({ prog_fd: t.map() })),
  "program-stopped": madeUp(bpf.BPF_PROG_TEST_RUN, E.EFAULT, (t) => ({ prog_fd: t.program() })),
  "run-interrupted": byDefinition(bpf.BPF_PROG_TEST_RUN, E.EINVAL, "EINTR is an interruption"),
  "network-header-outside": madeUp("netns.dissect", E.EINVAL, () => ({
    data_size_in: 20,
    network_offset: 20,
  })),
  "dissect-size": madeUp("netns.dissect", E.EINVAL, () => ({
    data_size_in: 4096,
    network_offset: 14,
  })),

  "command-missing": madeUp(bpf.BPF_LINK_DETACH, E.EINVAL, (t) => ({ link_fd: t.map() })),
  "fd-path-only": { show: (t) => t.refused(bpf.BPF_LINK_DETACH, { link_fd: CLOSED_FD }) },
  "fd-closed": {
    // The fd is closed, but Linux doesn't look at it.
    show: (t) => t.why(t.kernel, MAKE, -E.EBADF, { map_type: 1, inner_map_fd: CLOSED_FD }),
  },
  "fd-wrong-kind": madeUp(LOAD, E.EINVAL, (t) => ({ prog_type: 22, prog_btf_fd: t.map() })),
  "bad-address": {
    show: (t) => t.why(t.kernel, LOAD, -E.EFAULT, { prog_type: 22 }, { log: "verifier bug\n" }),
  },
  "fd-table-full": madeUp(MAKE, E.EMFILE),
  "file-table-full": madeUp(MAKE, E.ENFILE),
  "no-memory": byDefinition(MAKE, E.E2BIG, "ENOMEM is a want of memory"),

  "map-type-missing": { show: (t) => t.refused(MAKE, t.mapFields({ key_size: 8 })) },
  "map-shape": { show: (t) => t.refused(MAKE, t.mapFields({ map_type: 4000 })) },
  "map-too-large": byDefinition(MAKE, E.EINVAL, "E2BIG is a size", () => ({ map_type: 1 })),
  "map-full": madeUp(SET, E.E2BIG, (t) => ({ map_fd: t.map() })),
  "index-out-of-range": madeUp(SET, E.E2BIG, (t) => ({ map_fd: hash(t) })),
  "key-exists": madeUp(SET, E.EEXIST, (t) => ({ map_fd: hash(t) })),
  "key-missing": madeUp(SET, E.ENOENT, (t) => ({ map_fd: hash(t) })),
  "fd-write-only": madeUp(bpf.BPF_MAP_LOOKUP_ELEM, E.EPERM, (t) => ({ map_fd: t.map() })),
  "fd-read-only": madeUp(SET, E.EPERM, (t) => ({ map_fd: t.map() })),
  "map-frozen": madeUp(SET, E.EPERM, (t) => ({ map_fd: t.map() })),
  "map-busy": {
    show: (t) => {
      const map = t.map();
      t.must(bpf.BPF_MAP_FREEZE, { map_fd: map });
      return t.why(t.kernel, bpf.BPF_MAP_FREEZE, -E.EBUSY, { map_fd: map });
    },
  },
  "slot-not-a-program": {
    show: (t) => {
      const value = u32s(t.program());
      const fields = element(t, progArray(t), { value, flags: 1n });
      return t.refused(SET, fields, { value });
    },
  },
  "slot-owner": {
    show: (t) => {
      const map = progArray(t);
      t.must(SET, element(t, map, { value: u32s(t.program(SOCKET_FILTER)) }));
      const value = u32s(t.program());
      return t.refused(SET, element(t, map, { value, flags: 1n }), { value });
    },
  },
  "element-flags": madeUp(SET, E.EINVAL, (t) => ({ map_fd: hash(t), flags: 2n })),
  "element-refused": { show: (t) => t.refused(SET, element(t, hash(t), { flags: 8n })) },
  "map-operation": madeUp(bpf.BPF_MAP_LOOKUP_ELEM, E.EINVAL, (t) => ({
    map_fd: hash(t),
    flags: 4n,
  })),

  "pin-exists": byDefinition(bpf.BPF_OBJ_PIN, E.ENOENT, "EEXIST is a name that is taken"),
  "pin-directory-missing": {
    show: (t) => t.why(t.kernel, bpf.BPF_OBJ_PIN, -E.ENOENT, {}, { path: t.pinPath() }),
  },
  "pin-outside-bpffs": {
    show: (t) => t.why(t.kernel, bpf.BPF_OBJ_PIN, -E.EPERM, {}, { path: t.pinPath() }),
  },
  "pin-name-with-dot": {
    show: (t) => t.why(t.kernel, bpf.BPF_OBJ_PIN, -E.EPERM, {}, { path: "/tmp/a.b" }),
  },
  "path-through-a-file": byDefinition(bpf.BPF_OBJ_PIN, E.ENOENT, "ENOTDIR is just that"),
  "path-too-long": byDefinition(bpf.BPF_OBJ_PIN, E.ENOENT, "ENAMETOOLONG is just that"),
  "pin-directory-not-writable": byDefinition(bpf.BPF_OBJ_PIN, E.EPERM, "EACCES is a directory's"),
  "nothing-pinned": byDefinition(bpf.BPF_OBJ_GET, E.EACCES, "ENOENT is just that"),
  "link-opened-read-only": {
    show: (t) => {
      const path = t.pin(t.map());
      const fields = { file_flags: bpf.BPF_F_RDONLY | bpf.BPF_F_WRONLY };
      return t.refused(bpf.BPF_OBJ_GET, { pathname: t.string(path), ...fields }, { path });
    },
  },
  "not-a-pin": {
    show: (t) => {
      const path = t.pin(t.map());
      return t.world.unprivileged(
        [],
        (kernel) => t.refusedOn(kernel, bpf.BPF_OBJ_GET, { pathname: t.string(path) }, { path }),
        NOBODY,
      );
    },
  },
  "pin-not-yours": {
    show: (t) => {
      const path = t.world.pinDirectory;
      return t.refused(bpf.BPF_OBJ_GET, { pathname: t.string(path) }, { path });
    },
  },
  "no-such-id": byDefinition(bpf.BPF_LINK_GET_FD_BY_ID, E.EAGAIN, "ENOENT is just that"),
  "id-being-made": byDefinition(bpf.BPF_LINK_GET_FD_BY_ID, E.ENOENT, "EAGAIN is just that"),

  "netns-exists": byDefinition("netns.create", E.EINVAL, "EEXIST is just that"),
  "no-such-process": {
    show: (t) => {
      const name = t.name();
      return open(t, { name }, name);
    },
  },
  "no-such-netns": { show: (t) => open(t, { pid: 0x3fff_ffff }, "of process 1073741823") },
  "bad-netns-name": { show: (t) => open(t, { path: "/dev/null" }, "/dev/null") },
  "not-a-netns": {
    show: (t) => {
      const about = { netns: "of process 1", reference: { pid: 1 } };
      return t.why(lying(t.kernel, {}), "netns.open", -E.EINVAL, {}, about);
    },
  },
  "netns-not-yours": byDefinition("netns.open", E.EINVAL, "EPERM is just that"),
};
