/** What errors say: each names the call, the errno, the reason and what to do about it. */

import { describe, expect, test } from "vitest";
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_SK_LOOKUP,
  BpfError,
  BpfMap,
  Collection,
  Link,
  NetNs,
  Program,
} from "../../src/index.ts";
import type { Scene } from "./scenes.ts";
import { FLOW, refusal, UDP_PACKET } from "./stage.ts";

const HASH = { type: BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 8, maxEntries: 4 };

export const refusals: Scene = (stage) => {
  describe("attaching", () => {
    test("a second link: which is there, and what to do", async () => {
      const netns = stage().netns();
      const [first, second] = [stage().program(), stage().program()];
      const link = await stage().link(first, netns);
      refusal(
        () => Link.attach(second, netns),
        "E2BIG",
        new RegExp(
          `netns ${netns.label} already has a flow dissector link ` +
            `\\(id ${link.info.id}, program ${first.info.id}\\); update that link, or detach it`,
        ),
      );
    });

    test("a 65th sk_lookup link", async () => {
      const netns = stage().netns();
      const options = { type: BPF_PROG_TYPE_SK_LOOKUP, expectedAttachType: BPF_SK_LOOKUP };
      const program = stage().program(1, options);
      for (let i = 0; i < 64; i++) await stage().link(program, netns);
      refusal(() => Link.attach(program, netns), "E2BIG", /has 64 sk_lookup links, the most/);
    });

    test("a link over a program, and a program over a link", async () => {
      const netns = stage().netns();
      const [first, second] = [stage().program(), stage().program()];
      await stage().patiently(() => netns.enter(() => first.attach()));
      refusal(
        () => Link.attach(second, netns),
        "EEXIST",
        new RegExp(`program ${first.info.id} is attached to netns .+ directly; detach it first$`),
      );
      refusal(
        () => netns.enter(() => first.attach()),
        "EINVAL",
        new RegExp(`program ${first.info.id} is attached here already$`),
      );
      refusal(
        () => netns.enter(() => second.detach()),
        "ENOENT",
        new RegExp(`program ${first.info.id} is attached here, not program ${second.info.id}$`),
      );
      netns.enter(() => first.detach());
      refusal(() => netns.enter(() => first.detach()), "ENOENT", /\(nouns\) is not attached here$/);

      const link = await stage().link(first, netns);
      const id = `\\(id ${link.info.id}, program ${first.info.id}\\)`;
      refusal(
        () => netns.enter(() => second.attach()),
        "EEXIST",
        new RegExp(`this netns has a flow dissector link ${id}; update that link, or detach it`),
      );
      refusal(
        () => netns.enter(() => first.detach()),
        "EINVAL",
        new RegExp(`a link holds this netns ${id}; detach that link instead$`),
      );
    });

    test("programs of the wrong type", async () => {
      const netns = stage().netns();
      const filter = stage().program(0, { type: BPF_PROG_TYPE_SOCKET_FILTER });
      const { id } = filter.info;
      refusal(
        () => Link.attach(filter, netns),
        "EINVAL",
        new RegExp(`program ${id} \\(nouns\\) doesn't attach to a network namespace`),
      );
      const direct = new RegExp(
        `program ${id} \\(nouns\\) is a BPF_PROG_TYPE_\\w+; only flow dissectors .* a link$`,
      );
      refusal(() => netns.enter(() => filter.attach()), "EINVAL", direct);
      refusal(() => netns.enter(() => filter.detach()), "EINVAL", direct);
      const program = stage().program();
      const link = await stage().link(program, netns);
      refusal(
        () => link.update(filter),
        "EINVAL",
        new RegExp(`program ${id} .+ is of another type than program ${program.info.id}`),
      );
    });
  });

  describe("naming", () => {
    test("things that aren't there", () => {
      const { kernel } = stage();
      const none = 0x7fff_fff0;
      const name = stage().name();
      const path = stage().path();
      refusal(() => Program.fromId(kernel, none), "ENOENT", /no program with id 2147483632$/);
      refusal(() => BpfMap.fromId(kernel, none), "ENOENT", /no map with id 2147483632$/);
      refusal(() => Link.fromId(kernel, none), "ENOENT", /no link with id 2147483632$/);
      refusal(() => Link.fromPin(kernel, path), "ENOENT", new RegExp(`pinned at ${path}$`));
      refusal(() => NetNs.open(kernel, { name }), "ENOENT", /there is no network namespace/);
      refusal(() => NetNs.remove(kernel, name), "ENOENT", new RegExp(`namespace ${name}$`));
      refusal(() => NetNs.open(kernel, { pid: 0x3fff_ffff }), "ENOENT", /no process 1073741823$/);
    });

    test("names that are taken, or can't be", () => {
      const { kernel } = stage();
      const { label } = stage().netns();
      refusal(() => NetNs.create(kernel, label), "EEXIST", /exists already; open it, or remove/);
      for (const name of ["", "..", "a/b"]) {
        refusal(() => NetNs.create(kernel, name), "EINVAL", /can't be a name: it must be a file/);
      }
      refusal(() => NetNs.open(kernel, { name: "a/b" }), "EINVAL", /"a\/b" can't be a name/);
      const directory = stage().world.pinDirectory;
      refusal(() => NetNs.open(kernel, { path: directory }), "EINVAL", /is no network namespace$/);
    });

    test("pins in places where they can't be", () => {
      const { kernel, world } = stage();
      const map = stage().map(HASH);
      const path = stage().path();
      map.pin(path);
      refusal(
        () => map.pin(path),
        "EEXIST",
        new RegExp(`${path} exists already \\(a map\\); remove it first`),
      );
      refusal(() => map.pin(`${path}.old`), "EPERM", /may not contain a dot: /);
      refusal(
        () => map.pin(`${world.pinDirectory}/no/map`),
        "ENOENT",
        /no\/map doesn't exist; make/,
      );
      refusal(() => map.pin("/run/netns/nslink"), "EPERM", /not in a BPF file system; pin below/);
      refusal(() => BpfMap.fromPin(kernel, world.pinDirectory), "EACCES", /is not a pin, or not/);
      expect(kernel.bpffs.unlink(path)).toBe(0);
    });
  });

  describe("making", () => {
    test("maps of a kind that there isn't", () => {
      const { kernel } = stage();
      const array = { type: BPF_MAP_TYPE_ARRAY, keySize: 8, valueSize: 4, maxEntries: 1 };
      refusal(
        () => BpfMap.create(kernel, { ...array, name: "odd" }),
        "EINVAL",
        /map odd is a BPF_MAP_TYPE_ARRAY: its keys are .* \(key_size 4, not 8\)$/,
      );
      refusal(
        () => BpfMap.create(kernel, { ...HASH, type: 4000 }),
        "EINVAL",
        /there are no maps of type 4000$/,
      );
    });

    test("a program without instructions", () => {
      refusal(() => stage().program(""), "E2BIG", /a program has at least one instruction$/);
    });

    test("runs on what a program doesn't take", () => {
      const dissector = stage().program();
      refusal(
        () => dissector.run(UDP_PACKET.subarray(0, 13)),
        "EINVAL",
        /a packet of 13 bytes is too short for BPF_PROG_TYPE_FLOW_DISSECTOR: .+ has 14$/,
      );
      refusal(
        () => dissector.run(new Uint8Array(4097)),
        "EINVAL",
        /4097 bytes is too long .+ 4096/,
      );
    });

    test("anything, when no fd is left", () => {
      const netns = stage().netns();
      const program = stage().program();
      stage().world.withFullTable([program.fd, netns.fd], (kernel, [prog = -1, net = -1]) => {
        const error = refusal(
          () => BpfMap.create(kernel, HASH),
          "EMFILE",
          /this task has no fd left( \(RLIMIT_NOFILE: \d+\))?; close some/,
        );
        expect(error.command).toBe("BPF_MAP_CREATE");
        refusal(() => NetNs.open(kernel, "self"), "EMFILE", /no fd left/);
        expect([prog, net].every((fd) => fd >= 0)).toBe(true);
      });
    });
  });

  describe("without capabilities", () => {
    test("each error names what is missing", async () => {
      const netns = stage().netns();
      const program = stage().program();
      await stage().link(program, netns);
      const { id } = program.info;
      stage().world.unprivileged([], (kernel) => {
        refusal(() => BpfMap.create(kernel, HASH), "EPERM", /creating maps needs CAP_BPF$/);
        refusal(() => Program.fromId(kernel, id), "EPERM", /opening by id needs CAP_SYS_ADMIN$/);
        refusal(() => Collection.load(kernel, FLOW), "EPERM", /needs CAP_BPF/);
        refusal(
          () => Program.load(kernel, { type: 22, instructions: new Uint8Array(8) }),
          "EPERM",
          /loading needs CAP_BPF, and for flow dissectors and XDP CAP_NET_ADMIN as well$/,
        );
        using self = NetNs.open(kernel, "self");
        refusal(() => self.query(), "EPERM", /asking what is attached needs CAP_NET_ADMIN$/);
      });
    });

    test("a reason that can't be looked up is not made up", async () => {
      const netns = stage().netns();
      const [first, second] = [stage().program(), stage().program()];
      await stage().link(first, netns);
      const fds = [second.fd];
      stage().world.unprivileged(fds, (kernel, [program = -1]) => {
        using stranger = Program.fromFd(kernel, kernel.dup(program));
        using there = NetNs.open(kernel, { name: netns.label });
        refusal(
          () => Link.attach(stranger, there),
          "E2BIG",
          /already has a flow dissector link; update that link, or detach it first$/,
        );
      });
    });
  });

  test("an error keeps its parts, and one without a reason is no more than its errno", () => {
    const error = new BpfError("open", -2);
    expect(error).toMatchObject({ command: "open", errno: 2, code: "ENOENT", hint: "" });
    expect(error.message).toBe("open: ENOENT");
    expect(new BpfError(9999, 4095).message).toBe("bpf: errno 4095");
  });
};
