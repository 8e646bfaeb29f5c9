/**
 * Random types with fields that the kernel itself looks after: locks, timers, pointers, lists and
 * trees, by their special names; most of them near what kernels accept.
 */

import { BtfWriter, type Lots } from "./btf.ts";

/** Names of such structs, their sizes and alignments in bytes. */
const SPECIAL: readonly (readonly [name: string, size: number, alignment: number])[] = [
  ["bpf_spin_lock", 4, 4],
  ["bpf_spin_lock", 4, 4],
  ["bpf_res_spin_lock", 4, 4],
  ["bpf_timer", 16, 8],
  ["bpf_wq", 16, 8],
  ["bpf_task_work", 8, 8],
  ["bpf_list_head", 16, 8],
  ["bpf_list_node", 24, 8],
  ["bpf_list_node", 24, 8],
  ["bpf_rb_root", 16, 8],
  ["bpf_rb_node", 32, 8],
  ["bpf_rb_node", 32, 8],
  ["bpf_refcount", 4, 4],
  ["bpf_refcount", 4, 4],
];
const POINTER_TAGS = ["kptr", "kptr_untrusted", "percpu_kptr", "uptr", "user", "rcu"];
/** Structs that hold others, so that lists and trees have something to hold. */
const HOLDERS = ["a", "b", "c"];
const MEMBERS = ["x", "y", "z", "w"];

interface Field {
  readonly type: number;
  readonly size: number;
  readonly alignment: number;
  /** A list or a tree wants a tag that says what it holds. */
  readonly isRoot: boolean;
}

/** BTF for BPF_BTF_LOAD. */
export function randomFieldBtf(lots: Lots): Uint8Array {
  const btf = new BtfWriter();
  const once = (times: number): boolean => lots.below(times) === 0;
  const int = btf.int("int", 4);
  const long = btf.int("long", 8);
  const fields: Field[] = [{ type: long, size: 8, alignment: 8, isRoot: false }];
  const count = 1 + lots.below(5);
  for (let i = 0; i < count; i++) fields.push(special());
  // Pointers lead to what Linux has no types of its own for: it may want others of those.
  const targets = [long];
  for (const name of HOLDERS.slice(0, 1 + lots.below(HOLDERS.length))) {
    if (once(3)) fields.push(pointer());
    const held = holder(name);
    fields.push(held);
    targets.push(held.type);
  }
  if (once(4)) {
    const { type, size } = lots.pick(fields);
    btf.section(".data", size, [[btf.of("var", type, "v"), 0, size]]);
  }
  return btf.encode();

  function special(): Field {
    const [name, right, alignment] = lots.pick(SPECIAL);
    const size = once(25) ? lots.pick([4, 8, 12, 16]) : right;
    const members = size === 4 && once(2) ? ([["val", int, 0]] as const) : [];
    const type = btf.struct(name, size, members, once(30) ? "union" : "struct");
    return { type, size, alignment, isRoot: name === "bpf_list_head" || name === "bpf_rb_root" };
  }

  function pointer(): Field {
    let target = lots.pick(targets);
    if (once(6)) target = btf.of("const", target);
    const tagged = btf.of("typeTag", target, lots.pick(POINTER_TAGS));
    const type = btf.of("ptr", once(10) ? btf.of("typeTag", tagged, "kptr") : tagged);
    return { type, size: 8, alignment: 8, isRoot: false };
  }

  function holder(name: string): Field {
    const roots: number[] = [];
    let end = 0;
    const members = Array.from({ length: 1 + lots.below(MEMBERS.length) }, (_, i) => {
      const field = lots.pick(fields);
      const { isRoot, alignment } = field;
      let { type, size } = field;
      if (once(8)) {
        const length = lots.pick([0, 1, 2, 3]);
        type = btf.array(type, length);
        size *= length;
      } else if (once(10)) {
        type = once(2) ? btf.of("const", type) : btf.of("typedef", type, "t");
      }
      const start = once(30) ? end + 4 : Math.ceil(end / alignment) * alignment;
      end = start + size;
      if (isRoot) roots.push(i);
      return [MEMBERS[i] as string, type, start] as const;
    });
    const size = Math.ceil(Math.max(end, 4) / 8) * 8;
    const type = btf.struct(name, size, members);
    for (const member of roots) {
      if (once(8)) continue;
      const held = once(10) ? "nobody" : lots.pick(HOLDERS);
      const node = once(10) ? "nothing" : lots.pick(MEMBERS);
      const text = once(20) ? `contains:${held}` : `contains:${held}:${node}`;
      btf.tag(text, type, member);
    }
    return { type, size, alignment: 8, isRoot: false };
  }
}
