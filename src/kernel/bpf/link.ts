/**
 * Links in general: an attachment that is an object, with an id and fds. Mirrors the link part of
 * kernel/bpf/syscall.c in Linux; what a link attaches to is the subclass's business.
 */

import { hexText } from "../../abi/hex_text.ts";
import { LINK_INFO } from "../../abi/info.ts";
import { writeField } from "../../abi/layout.ts";
import { File, O_CLOEXEC, O_RDONLY } from "../file.ts";
import type { Task } from "../task.ts";
import type { Prog } from "./prog.ts";

/** A link: struct bpf_link. Its creator holds it. */
export abstract class BpfLink {
  /** 0 until the link is settled: until then its id is taken, and nobody can open it. */
  id: number = 0;
  /** The program, on which the link holds a reference; null once creation has failed. */
  prog: Prog | null;
  /** BPF_LINK_TYPE_… */
  abstract readonly type: number;
  /** How fdinfo calls the type. */
  abstract readonly typeName: string;
  #references: number = 1;

  /** @param prog - the link takes the caller's reference over. */
  protected constructor(prog: Prog) {
    this.prog = prog;
  }

  /** Whether anybody still holds it; a link that nobody holds waits for its release. */
  get alive(): boolean {
    return this.#references > 0;
  }

  get(): this {
    this.#references++;
    return this;
  }

  /** Lets go; true when that was the last holder, who then owes a {@link freeLink}. */
  drop(): boolean {
    this.#references--;
    return this.#references === 0;
  }

  /** Takes the program off whatever the link attached it to. Harmless when it is off already. */
  abstract release(): void;

  /** BPF_LINK_DETACH: 0 or a negative errno. */
  abstract detach(): number;

  /** BPF_LINK_UPDATE: takes `prog`'s reference over when it returns 0. */
  abstract update(prog: Prog, expected: Prog | null): number;

  /** Writes the fields of struct bpf_link_info that are the type's own. */
  abstract fillInfo(info: DataView): void;

  /** The lines of fdinfo that are the type's own. */
  abstract fdinfo(): string;
}

/** An fd on a link. */
export class LinkFile extends File {
  readonly link: BpfLink;
  readonly #task: Task;

  /** @param link - the file takes the caller's reference over. */
  constructor(task: Task, link: BpfLink, name: string) {
    super(name, O_RDONLY | O_CLOEXEC);
    this.#task = task;
    this.link = link;
  }

  override fdinfo(): string {
    const { link } = this;
    const lines = [`link_type:\t${link.typeName}`, `link_id:\t${link.id}`];
    if (link.prog !== null) {
      lines.push(`prog_tag:\t${hexText(link.prog.facts.tag)}`, `prog_id:\t${link.prog.id}`);
    }
    return lines.map((line) => `${line}\n`).join("") + link.fdinfo();
  }

  /** The last fd detaches before close returns: close(2) may sleep. */
  protected release(): void {
    putLink(this.#task, this.link);
  }
}

/** Lets go of a link where the caller may sleep. Analogous to bpf_link_put_direct() in Linux. */
export function putLink(task: Task, link: BpfLink): void {
  if (link.drop()) freeLink(task, link);
}

/**
 * Lets go of a link where the caller may not sleep: the release is queued, and until it has run
 * the link is attached still. Analogous to bpf_link_put() in Linux.
 */
export function putLinkDeferred(task: Task, link: BpfLink): void {
  if (!link.drop()) return;
  // biome-ignore lint/correctness/useYield: a piece of work may have no more than one step
  task.machine.workqueue.queue("bpf_link_put_deferred", function* () {
    freeLink(task, link);
  });
}

function freeLink(task: Task, link: BpfLink): void {
  if (link.id !== 0) task.machine.links.free(link.id);
  if (link.prog === null) return;
  link.release();
  link.prog.put();
  link.prog = null;
}

/** A link under construction: it has an id and an fd number, and neither leads to it yet. */
export interface LinkPrimer {
  readonly link: BpfLink;
  readonly file: LinkFile;
  readonly fd: number;
  readonly id: number;
}

/** Takes an fd number and an id. Analogous to bpf_link_prime() in Linux. */
export function primeLink(task: Task, link: BpfLink): LinkPrimer | number {
  const fd = task.files.reserve();
  if (fd < 0) return fd;
  const id = task.machine.links.alloc(link);
  const primer = { link, file: new LinkFile(task, link, "anon_inode:bpf_link"), fd, id };
  task.machine.options.preempt("link_create: primed");
  return primer;
}

/** Makes the link visible: its id resolves, its fd is open. Analogous to bpf_link_settle(). */
export function settleLink(task: Task, { link, file, fd, id }: LinkPrimer): number {
  task.machine.options.preempt("link_create: attached");
  link.id = id;
  return task.files.install(fd, file);
}

/** Undoes a primed link; its id is burned, its program the caller's again. */
export function cleanupLink(task: Task, { link, file, fd, id }: LinkPrimer): void {
  link.prog = null;
  task.machine.links.free(id);
  file.put();
  task.files.unreserve(fd);
}

/** A new fd on a link. @param link - the fd takes the caller's reference over. */
export function newLinkFd(task: Task, link: BpfLink): number {
  return task.files.add(new LinkFile(task, link, "anon_inode:bpf-link"));
}

/**
 * What BPF_OBJ_GET_INFO_BY_FD answers: the caller's bytes with the known fields written over them.
 *
 * @param user - a copy of the caller's struct, zero-padded to its full size.
 */
export function fillLinkInfo(link: BpfLink, user: Uint8Array): Uint8Array {
  const view = new DataView(user.buffer, user.byteOffset, user.byteLength);
  writeField(view, LINK_INFO.type, link.type);
  writeField(view, LINK_INFO.id, link.id);
  if (link.prog !== null) writeField(view, LINK_INFO.prog_id, link.prog.id);
  link.fillInfo(view);
  return user;
}
