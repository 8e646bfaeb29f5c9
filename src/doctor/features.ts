/**
 * What a kernel can do, found out by trying and remembered for as long as the kernel object lives.
 */

import * as ATTR from "../abi/attr.ts";
import * as BPF from "../abi/bpf.ts";
import { EBADF, EINVAL, ENOENT, ENOTSUPP, EPERM } from "../abi/errno.ts";
import type { Layout, Values } from "../abi/layout.ts";
import { SMALLEST_BTF } from "../abi/smallest_btf.ts";
import { bpfResult } from "../call.ts";
import { loadSmallest } from "../diagnosis/programs.ts";
import { UnsupportedError } from "../errors.ts";
import type { Kernel } from "../kernel.ts";
import { withFd } from "../objects.ts";

/** `unknown`: this task may not try. */
export type FeatureState = "present" | "missing" | "unknown";

/** Something that not every kernel can do. */
export interface Feature {
  /** Stable, for programs to compare with: "netns-links". */
  readonly id: string;
  readonly title: string;
  /** The Linux that it came with. */
  readonly since: string;
  /** What a task needs to use it. */
  readonly capabilities: readonly string[];
}

/** A feature, and whether a kernel has it for this task. */
export interface ProbedFeature extends Feature {
  readonly state: FeatureState;
}

interface Probe extends Feature {
  readonly probe: (kernel: Kernel) => FeatureState;
}

/** An fd that isn't open. */
const NO_FD = 0xffff_ffff;
/** A frame that every type that takes one takes: zeros, 64 bytes. */
const FRAME_BYTES = 64;

/** A command is present when it gets as far as finding the fd closed. */
function byClosedFd<L extends Layout>(
  cmd: number,
  layout: L,
  values: Partial<Values<L>>,
): Probe["probe"] {
  return (kernel) => {
    const result = bpfResult(kernel, cmd, layout, values);
    if (result === -EPERM) return "unknown";
    return result === -EBADF ? "present" : "missing";
  };
}

/** A command is present when it finds that there is no such id, or finds one. */
function byId(cmd: number, layout: Layout): Probe["probe"] {
  return (kernel) => {
    const result = bpfResult(kernel, cmd, layout, {});
    if (result === -EPERM) return "unknown";
    return result === 0 || result === -ENOENT ? "present" : "missing";
  };
}

/** Looks at a program of a type, once it is loaded. */
function withProgram(
  kernel: Kernel,
  type: number,
  look: (fd: number) => FeatureState,
): FeatureState {
  const result = loadSmallest(kernel, type);
  if (result === -EPERM) return "unknown";
  return withFd(kernel, result, look) ?? "missing";
}

function loads(type: number): Probe["probe"] {
  return (kernel) => withProgram(kernel, type, () => "present");
}

/** A link is possible when the kernel gets as far as finding the namespace's fd closed. */
function links(type: number, attachType: number): Probe["probe"] {
  return (kernel) =>
    withProgram(kernel, type, (fd) => {
      const request = { prog_fd: fd, target_fd: NO_FD, attach_type: attachType };
      const result = bpfResult(kernel, BPF.BPF_LINK_CREATE, ATTR.LINK_CREATE, request);
      return result === -EBADF ? "present" : "missing";
    });
}

function runs(type: number): Probe["probe"] {
  return (kernel) =>
    withProgram(kernel, type, (fd) => {
      const isContextOnly = type === BPF.BPF_PROG_TYPE_SK_LOOKUP;
      const size = isContextOnly ? SK_LOOKUP_CONTEXT.length : FRAME_BYTES;
      const address = kernel.addressOf(isContextOnly ? SK_LOOKUP_CONTEXT : new Uint8Array(size));
      const result = bpfResult(kernel, BPF.BPF_PROG_TEST_RUN, ATTR.TEST_RUN, {
        prog_fd: fd,
        ...(isContextOnly
          ? { ctx_in: address, ctx_size_in: size }
          : { data_in: address, data_size_in: size }),
      });
      return result === -ENOTSUPP || result === -EINVAL ? "missing" : "present";
    });
}

/** struct bpf_sk_lookup with nothing but its family: AF_INET. */
const SK_LOOKUP_CONTEXT: Uint8Array = Uint8Array.from({ length: 72 }, (_, at) =>
  at === 8 ? 2 : 0,
);

function loadsBtf(kernel: Kernel): FeatureState {
  const request = {
    btf: kernel.addressOf(Uint8Array.from(SMALLEST_BTF)),
    btf_size: SMALLEST_BTF.length,
  };
  const result = bpfResult(kernel, BPF.BPF_BTF_LOAD, ATTR.BTF_LOAD, request);
  if (result === -EPERM) return "unknown";
  return withFd(kernel, result, () => "present" as const) ?? "missing";
}

/** Opening a pin from a directory's fd: a kernel that knows the flag finds the fd closed. */
function pinsFromFd(kernel: Kernel): FeatureState {
  const pathname = kernel.addressOf(Uint8Array.of(0x78, 0));
  const request = { pathname, file_flags: BPF.BPF_F_PATH_FD, path_fd: -1 };
  const result = bpfResult(kernel, BPF.BPF_OBJ_GET, ATTR.OBJ, request);
  return result === -EBADF ? "present" : "missing";
}

const LOADING: readonly string[] = ["CAP_BPF", "CAP_NET_ADMIN"];
const NO_RIGHTS: readonly string[] = [];
const BY_ID_RIGHTS: readonly string[] = ["CAP_SYS_ADMIN"];

function feature(
  id: string,
  title: string,
  since: string,
  capabilities: readonly string[],
  probe: Probe["probe"],
): Probe {
  return { id, title, since: `Linux ${since}`, capabilities, probe };
}

const { BPF_PROG_TYPE_FLOW_DISSECTOR, BPF_PROG_TYPE_SK_LOOKUP } = BPF;

/** In the order in which the doctor lists them. */
const PROBES: readonly Probe[] = [
  feature("flow-dissector", "flow dissector programs", "4.20", LOADING, loads(22)),
  feature(
    "netns-links",
    "links between flow dissectors and network namespaces",
    "5.8",
    LOADING,
    links(BPF_PROG_TYPE_FLOW_DISSECTOR, BPF.BPF_FLOW_DISSECTOR),
  ),
  feature("sk-lookup", "sk_lookup programs", "5.9", ["CAP_BPF"], loads(30)),
  feature(
    "sk-lookup-links",
    "links between sk_lookup programs and network namespaces",
    "5.9",
    ["CAP_BPF"],
    links(BPF_PROG_TYPE_SK_LOOKUP, BPF.BPF_SK_LOOKUP),
  ),
  feature(
    "link-update",
    "putting another program in a link (BPF_LINK_UPDATE)",
    "5.7",
    NO_RIGHTS,
    byClosedFd(BPF.BPF_LINK_UPDATE, ATTR.LINK_UPDATE, { link_fd: NO_FD }),
  ),
  feature(
    "link-detach",
    "detaching a link that others hold (BPF_LINK_DETACH)",
    "5.9",
    NO_RIGHTS,
    byClosedFd(BPF.BPF_LINK_DETACH, ATTR.LINK_DETACH, { link_fd: NO_FD }),
  ),
  feature(
    "prog-query",
    "asking what is attached to a namespace (BPF_PROG_QUERY)",
    "5.2",
    ["CAP_NET_ADMIN"],
    byClosedFd(BPF.BPF_PROG_QUERY, ATTR.PROG_QUERY, {
      target_fd: NO_FD,
      attach_type: BPF.BPF_FLOW_DISSECTOR,
    }),
  ),
  feature(
    "link-ids",
    "walking all links by id",
    "5.8",
    BY_ID_RIGHTS,
    byId(BPF.BPF_LINK_GET_NEXT_ID, ATTR.GET_NEXT_ID),
  ),
  feature(
    "program-ids",
    "walking all programs by id",
    "4.13",
    BY_ID_RIGHTS,
    byId(BPF.BPF_PROG_GET_NEXT_ID, ATTR.GET_NEXT_ID),
  ),
  feature(
    "map-ids",
    "walking all maps by id",
    "4.13",
    BY_ID_RIGHTS,
    byId(BPF.BPF_MAP_GET_NEXT_ID, ATTR.GET_NEXT_ID),
  ),
  feature("test-run-flow-dissector", "running flow dissectors by hand", "5.1", LOADING, runs(22)),
  feature("test-run-sk-lookup", "running sk_lookup programs by hand", "5.13", LOADING, runs(30)),
  feature("test-run-xdp", "running XDP programs by hand", "4.12", LOADING, runs(6)),
  feature("test-run-socket-filter", "running socket filters by hand", "4.12", LOADING, runs(1)),
  feature("btf-load", "types of programs and maps (BTF)", "4.18", ["CAP_BPF"], loadsBtf),
  feature(
    "map-freeze",
    "making maps read-only (BPF_MAP_FREEZE)",
    "5.2",
    NO_RIGHTS,
    byClosedFd(BPF.BPF_MAP_FREEZE, ATTR.MAP_FREEZE, { map_fd: NO_FD }),
  ),
  feature(
    "map-batch",
    "reading and writing many elements of a map at once",
    "5.6",
    NO_RIGHTS,
    byClosedFd(BPF.BPF_MAP_LOOKUP_BATCH, ATTR.MAP_BATCH, { map_fd: NO_FD }),
  ),
  feature("pin-path-fd", "naming pins from a directory's fd", "6.5", NO_RIGHTS, pinsFromFd),
];

/** What is known of each kernel. What a task may not try is tried again: rights change. */
const known: WeakMap<Kernel, Map<string, FeatureState>> = new WeakMap();

/** All features that can be asked for. */
export const FEATURES: readonly Feature[] = PROBES.map(({ probe: _, ...facts }) => facts);

/**
 * Whether a kernel has a feature.
 *
 * @throws {RangeError} for an id that isn't one of {@link FEATURES}.
 */
export function probeFeature(kernel: Kernel, id: string): ProbedFeature {
  const found = PROBES.find((each) => each.id === id);
  if (found === undefined) throw new RangeError(`id: there is no feature ${id}`);
  const { probe, ...facts } = found;
  const states = known.get(kernel) ?? new Map<string, FeatureState>();
  known.set(kernel, states);
  const state = states.get(id) ?? probe(kernel);
  if (state !== "unknown") states.set(id, state);
  return { ...facts, state };
}

/** Whether a kernel has each feature. */
export function probeFeatures(kernel: Kernel): readonly ProbedFeature[] {
  return PROBES.map(({ id }) => probeFeature(kernel, id));
}

/**
 * Insists on a feature.
 *
 * @throws {UnsupportedError} naming the Linux version when it is missing, and the capabilities when
 *   this task may not even try.
 */
export function requireFeature(kernel: Kernel, id: string): void {
  const { state, title, since, capabilities } = probeFeature(kernel, id);
  if (state === "present") return;
  throw new UnsupportedError({
    feature: title,
    since: state === "missing" ? since : capabilities.join(" and "),
  });
}
