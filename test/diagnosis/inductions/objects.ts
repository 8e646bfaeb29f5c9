/**
 * How refusals are brought about that have to do with maps, pins, ids and namespaces.
 */

import * as bpf from "../../../src/abi/bpf.ts";
import { EBUSY } from "../../../src/abi/errno.ts";
import { EmbeddedKernel } from "../../../src/kernel/index.ts";
import type { NetNsReference } from "../../../src/kernel.ts";
import { SOCKET_FILTER, u32s } from "../../contract/case.ts";
import { type Outcome, Trial } from "../trial.ts";
import { type Inductions, NOBODY, patientLink } from "./induction.ts";

/** A prog array that nobody has used yet. */
export function progArray(t: Trial): number {
  return t.map({ map_type: bpf.BPF_MAP_TYPE_PROG_ARRAY, value_size: 4 });
}

/** The attr of an element; by default the first, and zeros. */
export function element(
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

/** Takes away what a remedy has pinned. */
function unpinLater(t: Trial, path: string): void {
  t.keep({ [Symbol.dispose]: () => t.kernel.bpffs.unlink(path) });
}

/** A hash map for one entry. */
export const hash = (t: Trial): number =>
  t.map({ map_type: bpf.BPF_MAP_TYPE_HASH, max_entries: 1 });

/** Pins an object, a map by default, which has to be refused. */
export function pin(t: Trial, path: string, fd: number = t.map()): Outcome {
  const fields = { pathname: t.string(path), bpf_fd: fd };
  return t.refused(bpf.BPF_OBJ_PIN, fields, { path });
}

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

/** Opens a namespace, which has to be refused. */
export function open(t: Trial, reference: NetNsReference, netns: string): Outcome {
  const make = (): number => t.kernel.netns.open(reference);
  return t.why(t.kernel, "netns.open", make(), {}, { netns, reference }, make);
}

/** By cause. */
export const OBJECTS: Inductions = {
  "map-type-missing": {
    induce: (t) => t.refused(bpf.BPF_MAP_CREATE, t.mapFields({ map_type: 4000 })),
  },
  "map-shape": {
    induce: (t) => t.refused(bpf.BPF_MAP_CREATE, t.mapFields({ key_size: 8 })),
    says: /its keys are indexes of 4 bytes \(key_size 4, not 8\)$/,
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
  "element-flags": {
    induce: (t) => t.refused(bpf.BPF_MAP_UPDATE_ELEM, element(t, hash(t), { flags: 8n })),
  },
  "element-refused": {
    notOn: { embedded: "maps of other maps aren't built into it" },
    induce: (t) => {
      // The maps inside are to be arrays, and this is a hash.
      const type = bpf.BPF_MAP_TYPE_ARRAY_OF_MAPS;
      const outer = t.map({ map_type: type, value_size: 4, inner_map_fd: t.map() });
      return t.refused(bpf.BPF_MAP_UPDATE_ELEM, element(t, outer, { value: u32s(hash(t)) }));
    },
  },
  "map-operation": {
    induce: (t) => {
      const fields = { map_fd: t.map(), key: t.at(u32s(0)) };
      return t.refused(bpf.BPF_MAP_DELETE_ELEM, fields);
    },
    says: /BPF_MAP_TYPE_ARRAY, which doesn't allow that$/,
  },
  "pin-exists": {
    async induce(t) {
      const link = await patientLink(t, t.program(), t.netns());
      return pin(t, t.pin(link), link);
    },
    says: /exists already \(a link\);/,
  },
  "pin-directory-missing": {
    induce: (t) => {
      const path = `${t.pinPath()}/map`;
      t.keep({
        [Symbol.dispose]() {
          t.kernel.bpffs.unlink(path);
          t.kernel.bpffs.rmdir(path.replace(/\/map$/, ""));
        },
      });
      return pin(t, path);
    },
  },
  "pin-outside-bpffs": {
    async induce(t) {
      const link = await patientLink(t, t.program(), t.netns());
      const name = t.pinPath().replace(/^.*\//, "");
      unpinLater(t, `${t.kernel.bpffs.mounts()[0]}/${name}_old`);
      return pin(t, `/tmp/${name}.old`, link);
    },
    says: /pin below \//,
  },
  "pin-name-with-dot": {
    async induce(t) {
      const link = await patientLink(t, t.program(), t.netns());
      const path = t.pinPath();
      unpinLater(t, `${path}_old`);
      return pin(t, `${path}.old`, link);
    },
  },
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
      const { name, about } = t.named();
      const make = (): number => t.kernel.netns.create(name);
      return t.why(t.kernel, "netns.create", make(), {}, about, make);
    },
  },
  "no-such-process": { induce: (t) => open(t, { pid: 0x3fff_ffff }, "of process 1073741823") },
  "no-such-netns": {
    induce: (t) => {
      const name = t.name();
      return open(t, { name }, name);
    },
  },
  "bad-netns-name": {
    induce: (t) => {
      const about = { netns: "a/b", reference: { name: "a/b" } };
      return t.why(t.kernel, "netns.create", t.kernel.netns.create("a/b"), {}, about);
    },
  },
  "not-a-netns": { induce: (t) => open(t, { path: "/dev/null" }, "/dev/null") },
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
