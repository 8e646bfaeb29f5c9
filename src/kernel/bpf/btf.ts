/**
 * Type information that programs and maps refer to: struct btf, its fd, and BPF_BTF_LOAD. Mirrors
 * kernel/bpf/btf.c in Linux.
 */

import { BTF_GET_FD_BY_ID, BTF_LOAD } from "../../abi/attr.ts";
import { E2BIG, EFAULT, EINVAL, ENOENT, EPERM } from "../../abi/errno.ts";
import { BTF_INFO } from "../../abi/info.ts";
import { writeField } from "../../abi/layout.ts";
import type { Attr } from "../attr.ts";
import { File, O_CLOEXEC, O_RDONLY } from "../file.ts";
import type { Machine } from "../machine.ts";
import type { Task } from "../task.ts";
import { checkObjects, checkOwned, mapFields, type SpecialField } from "../verifier/btf_fields.ts";
import {
  BTF_KIND_DECL_TAG,
  BTF_KIND_VAR,
  type BtfType,
  btfName,
  type ParsedBtf,
  parseBtf,
} from "../verifier/btf_parse.ts";
import { resolveBtf, sizeOf, skipModifiers } from "../verifier/btf_resolve.ts";
import { VerifierLog } from "../verifier/log.ts";
import { checkToken } from "./token.ts";

/** The most bytes of BTF (BTF_MAX_SIZE). */
const BTF_MAX_SIZE = 16 << 20;

/** sizeof(struct btf_param) */
const PARAM_BYTES = 8;

/** Type information, loaded and checked. */
export class Btf {
  readonly id: number;
  /** As they were loaded. */
  readonly bytes: Uint8Array;
  readonly #machine: Machine;
  readonly #parsed: ParsedBtf;
  #references: number = 1;

  constructor(machine: Machine, bytes: Uint8Array, parsed: ParsedBtf) {
    this.#machine = machine;
    this.bytes = bytes;
    this.#parsed = parsed;
    this.id = machine.btfs.alloc(this);
  }

  get(): this {
    this.#references++;
    return this;
  }

  /** Lets go; with the last holder the id is gone. */
  put(): void {
    this.#references--;
    if (this.#references === 0) this.#machine.btfs.free(this.id);
  }

  /** The type with an id; null for 0, which is void; undefined when there is none. */
  type(id: number): BtfType | null | undefined {
    return this.#parsed.types[id];
  }

  /** The type behind typedefs and qualifiers; null for void and for an id that there is not. */
  typeBehind(id: number): BtfType | null {
    return skipModifiers(this.#parsed, id);
  }

  /** Bytes that a value of a type takes, or the variable that it is; null when it has no size. */
  sizeOf(id: number): number | null {
    const type = this.typeBehind(id);
    return sizeOf(this.#parsed, type?.kind === BTF_KIND_VAR ? type.sizeOrType : id);
  }

  /**
   * The fields of a map's value that the kernel looks after; null: there are none, or they are such
   * that Linux takes none of them for one.
   */
  fieldsOf(valueTypeId: number, valueSize: number): readonly SpecialField[] | null {
    const fields = mapFields(this.#parsed, valueTypeId, valueSize);
    return typeof fields === "number" ? null : fields;
  }

  /** Whether what such fields hold can be held. 0 or a negative errno. */
  checkOwned(fields: readonly SpecialField[]): number {
    return checkOwned(this.#parsed, fields);
  }

  /** Ids of the types that a FUNC_PROTO takes. */
  parameters({ at, vlen }: BtfType): number[] {
    const { view } = this.#parsed;
    return Array.from({ length: vlen }, (_, i) => view.getUint32(at + PARAM_BYTES * i + 4, true));
  }

  /** What is written on an argument of a function, by id of its FUNC; in order. */
  argumentTags(functionId: number, index: number): string[] {
    const { types, view } = this.#parsed;
    const tags: string[] = [];
    for (const type of types) {
      if (type?.kind !== BTF_KIND_DECL_TAG || type.sizeOrType !== functionId) continue;
      if (view.getInt32(type.at, true) === index) tags.push(this.name(type.name) ?? "");
    }
    return tags;
  }

  /** Whether there are strings up to an offset. */
  hasName(offset: number): boolean {
    return offset < this.#parsed.strings.length;
  }

  /** The string at an offset, its bytes as characters; null past the end. */
  name(offset: number): string | null {
    return btfName(this.#parsed, offset);
  }
}

/** An fd on type information. */
export class BtfFile extends File {
  readonly btf: Btf;

  /** @param btf - the file takes the caller's reference over. */
  constructor(btf: Btf) {
    super("anon_inode:btf", O_RDONLY | O_CLOEXEC);
    this.btf = btf;
  }

  override fdinfo(): string {
    return `btf_id:\t${this.btf.id}\n`;
  }

  protected release(): void {
    this.btf.put();
  }
}

/** The BTF behind an fd, whose reference serves for the call; -EBADF or -EINVAL. */
export function btfFromFd(task: Task, fd: number): Btf | number {
  const file = task.file(fd, BtfFile);
  return typeof file === "number" ? file : file.btf;
}

/** BPF_BTF_LOAD */
export function btfLoad(task: Task, attr: Attr): number {
  const refused = checkToken(
    task,
    attr.u32(BTF_LOAD.btf_flags),
    0,
    attr.s32(BTF_LOAD.btf_token_fd),
  );
  if (refused !== 0) return refused;
  if (!task.capable("CAP_BPF")) return -EPERM;
  const size = attr.u32(BTF_LOAD.btf_size);
  if (size > BTF_MAX_SIZE) return -E2BIG;
  const log = VerifierLog.open(
    task.memory,
    attr.u32(BTF_LOAD.btf_log_level),
    attr.u64(BTF_LOAD.btf_log_buf),
    attr.u32(BTF_LOAD.btf_log_size),
  );
  if (typeof log === "number") return log;
  const given = task.memory.read(attr.u64(BTF_LOAD.btf), size);
  const bytes = given === null ? null : given.slice();
  const parsed = bytes === null ? -EFAULT : parseAndCheck(bytes, log);
  const { errno, trueSize } = log.finish();
  if (attr.reaches(BTF_LOAD.btf_log_true_size)) attr.put(BTF_LOAD.btf_log_true_size, trueSize);
  if (errno !== 0) return errno;
  if (typeof parsed === "number" || bytes === null) return parsed as number;
  return task.files.add(new BtfFile(new Btf(task.machine, bytes, parsed)));
}

function parseAndCheck(bytes: Uint8Array, log: VerifierLog): ParsedBtf | number {
  const parsed = parseBtf(bytes, log);
  if (typeof parsed === "number") return parsed;
  const errno = resolveBtf(parsed, log);
  const refused = errno === 0 ? checkObjects(parsed) : errno;
  return refused === 0 ? parsed : refused;
}

/** BPF_BTF_GET_FD_BY_ID */
export function btfGetFdById(task: Task, attr: Attr): number {
  const refused = checkToken(
    task,
    attr.u32(BTF_GET_FD_BY_ID.open_flags),
    0,
    attr.s32(BTF_GET_FD_BY_ID.fd_by_id_token_fd),
  );
  if (refused !== 0) return refused;
  if (!task.capable("CAP_SYS_ADMIN")) return -EPERM;
  const btf = task.machine.btfs.get(attr.u32(BTF_GET_FD_BY_ID.id));
  return btf === undefined ? -ENOENT : task.files.add(new BtfFile(btf.get()));
}

/**
 * `struct bpf_btf_info`, and the bytes of the BTF into the caller's buffer.
 *
 * @param user - the caller's struct, 32 bytes. @returns what to write back, or a negative errno.
 */
export function fillBtfInfo(task: Task, btf: Btf, user: Uint8Array): Uint8Array | number {
  const filled = user.slice();
  const view = new DataView(filled.buffer);
  const room = view.getUint32(BTF_INFO.btf_size[0], true);
  const copied = btf.bytes.subarray(0, room);
  if (!task.memory.write(view.getBigUint64(BTF_INFO.btf[0], true), copied)) return -EFAULT;
  const nameAddress = view.getBigUint64(BTF_INFO.name[0], true);
  const nameRoom = view.getUint32(BTF_INFO.name_len[0], true);
  if ((nameAddress === 0n) !== (nameRoom === 0)) return -EINVAL;
  // Only Linux's own BTF has a name; ours is empty.
  if (nameRoom > 0 && !task.memory.write(nameAddress, new Uint8Array(1))) return -EFAULT;
  writeField(view, BTF_INFO.btf_size, btf.bytes.length);
  writeField(view, BTF_INFO.id, btf.id);
  writeField(view, BTF_INFO.name_len, 0);
  writeField(view, BTF_INFO.kernel_btf, 0);
  return filled;
}
