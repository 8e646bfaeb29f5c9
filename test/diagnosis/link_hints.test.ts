/**
 * Hints lead people astray if this breaks: those for flags, whose words depend on the call, and for
 * links that the embedded kernel doesn't have.
 */

import { expect, test } from "vitest";
import {
  BPF_F_REPLACE,
  BPF_LINK_CREATE,
  BPF_LINK_DETACH,
  BPF_LINK_TYPE_XDP,
  BPF_LINK_UPDATE,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
} from "../../src/abi/bpf.ts";
import { EINVAL, EOPNOTSUPP } from "../../src/abi/errno.ts";
import { BPF_LINK_INFO_SIZE, LINK_INFO } from "../../src/abi/info.ts";
import { encode } from "../../src/abi/layout.ts";
import { assemble } from "../../src/asm/index.ts";
import { LINK_CAUSES } from "../../src/diagnosis/links.ts";
import { Program } from "../../src/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import type { Kernel } from "../../src/kernel.ts";

/** What a cause says of a call. */
function finding(
  id: string,
  kernel: Kernel,
  command: number,
  errno: number,
  attr: Readonly<Record<string, number>>,
) {
  const cause = LINK_CAUSES.find((one) => one.id === id);
  return cause?.find({ kernel, command, errno, attr, about: {} });
}

test("of an update's flags only BPF_F_REPLACE is known, and of a creation's none", () => {
  using kernel = EmbeddedKernel.boot();
  const type = BPF_PROG_TYPE_FLOW_DISSECTOR;
  using program = Program.load(kernel, { type, instructions: assemble("r0 = 0\nexit") });
  const flags = BPF_F_REPLACE | 8;
  const find = (command: number) =>
    finding("unknown-flags", kernel, command, EINVAL, { prog_fd: program.fd, flags });
  expect(find(BPF_LINK_UPDATE)).toMatchObject({
    hint: "flags 0xc has bits that this call doesn't take; only BPF_F_REPLACE (4) is known",
    remedies: [{ value: BPF_F_REPLACE }],
  });
  expect(find(BPF_LINK_CREATE)).toMatchObject({
    hint: "flags 0xc has bits that this call doesn't take; leave them 0",
    remedies: [{ value: 0 }],
  });
});

test("a link of another type goes with its last fd", () => {
  const info = encode(LINK_INFO, { type: BPF_LINK_TYPE_XDP, id: 7 }, BPF_LINK_INFO_SIZE);
  using kernel = EmbeddedKernel.boot();
  const buffers = new Map<bigint, Uint8Array>();
  const stub = {
    fdname: () => "anon_inode:bpf_link",
    fdinfo: () => "link_type:\txdp\nlink_id:\t7\n",
    addressOf(buffer: Uint8Array) {
      const address = kernel.addressOf(buffer);
      buffers.set(address, buffer);
      return address;
    },
    bpf(_command: number, attr: Uint8Array) {
      const view = new DataView(attr.buffer, attr.byteOffset);
      buffers.get(view.getBigUint64(8, true))?.set(info);
      return 0;
    },
  } as Partial<Kernel> as Kernel;
  const found = finding("link-cannot-detach", stub, BPF_LINK_DETACH, EOPNOTSUPP, { link_fd: 3 });
  expect(found?.hint).toBe(
    "link 7 is no link to a network namespace; links of its type go with their last fd",
  );
});
