/**
 * System calls by way of the C library: the only file that knows koffi. Every function returns
 * what the call returned, or a negative errno read before anything else runs.
 */

import koffi from "koffi";
import { EINVAL } from "../abi/errno.ts";
import { encodeName } from "../abi/names.ts";
import { UnsupportedError } from "./errors.ts";

/** bpf(2) has no wrapper in the C library (arch/…/syscall.tbl, asm-generic/unistd.h). */
const NR_BPF: Readonly<Record<string, number>> = { x64: 321, arm64: 280 };

const nrBpf = NR_BPF[process.arch];
if (process.platform !== "linux" || nrBpf === undefined) {
  throw new UnsupportedError({
    feature: `bpf(2) on ${process.platform} ${process.arch}`,
    since: "Linux on x86-64 or arm64",
  });
}
const NR: number = nrBpf;

// Declared once: parsing a declaration costs a hundred times what the call does.
const libc = koffi.load(null);
const libcSyscall = libc.func("syscall", "long", ["long", "int", "uintptr_t", "uint"]);
/** A path: bytes and a NUL. */
const PATH = "const uint8_t *";
const libcOpen = libc.func("open", "int", [PATH, "int", "uint"]);
const libcOpenat = libc.func("openat", "int", ["int", PATH, "int", "uint"]);
const libcMkdirat = libc.func("mkdirat", "int", ["int", PATH, "uint"]);
const libcUnlinkat = libc.func("unlinkat", "int", ["int", PATH, "int"]);
const libcFstatfs = libc.func("fstatfs", "int", ["int", "uintptr_t"]);
const libcClose = libc.func("close", "int", ["int"]);
const libcFcntl = libc.func("fcntl", "int", ["int", "int", "long"]);
const libcIoctl = libc.func("ioctl", "int", ["int", "ulong", "uintptr_t"]);
const libcSetns = libc.func("setns", "int", ["int", "int"]);
const libcUnshare = libc.func("unshare", "int", ["int"]);
const libcSocket = libc.func("socket", "int", ["int", "int", "int"]);
const libcGetsockopt = libc.func("getsockopt", "int", [
  "int",
  "int",
  "int",
  "uintptr_t",
  "uintptr_t",
]);
const libcNameToHandle = libc.func("name_to_handle_at", "int", [
  "int",
  "str",
  "uintptr_t",
  "uintptr_t",
  "int",
]);
const libcOpenByHandle = libc.func("open_by_handle_at", "int", ["int", "uintptr_t", "int"]);
const libcMount = libc.func("mount", "int", ["str", PATH, "str", "ulong", "str"]);
const libcUmount2 = libc.func("umount2", "int", [PATH, "int"]);

/** errno is per thread and holds until this thread's next call, so it is asked for at once. */
function checked(result: number): number {
  return result < 0 ? -koffi.errno() : result;
}

/** @param attr - address of the attr; addresses of Linux processes stay below 2^53. */
export function bpf(cmd: number, attr: number, size: number): number {
  return checked(libcSyscall(NR, cmd, attr, size));
}

/** @param mode - permissions of a file that O_CREAT makes. */
export function open(path: string, flags: number, mode: number = 0): number {
  return withPath(path, (bytes) => libcOpen(bytes, flags, mode));
}

/** @param directory - fd that `path` begins at. @param mode - as with {@link open}. */
export function openat(directory: number, path: string, flags: number, mode: number = 0): number {
  return withPath(path, (bytes) => libcOpenat(directory, bytes, flags, mode));
}

export function mkdirat(directory: number, path: string, mode: number): number {
  return withPath(path, (bytes) => libcMkdirat(directory, bytes, mode));
}

/** @param flags - AT_REMOVEDIR for a directory. */
export function unlinkat(directory: number, path: string, flags: number): number {
  return withPath(path, (bytes) => libcUnlinkat(directory, bytes, flags));
}

/** @param buffer - address of a `struct statfs`. */
export function fstatfs(fd: number, buffer: number): number {
  return checked(libcFstatfs(fd, buffer));
}

/** A path with a NUL in it would lead somewhere else: EINVAL. */
function withPath(path: string, call: (bytes: Uint8Array) => number): number {
  return path.includes("\0") ? -EINVAL : checked(call(encodeName(`${path}\0`)));
}

export function close(fd: number): number {
  return checked(libcClose(fd));
}

export function fcntl(fd: number, command: number, argument: number): number {
  return checked(libcFcntl(fd, command, argument));
}

export function ioctl(fd: number, request: number, argument: number): number {
  return checked(libcIoctl(fd, request, argument));
}

/** Moves the calling thread, and no other, into a namespace. */
export function setns(fd: number, type: number): number {
  return checked(libcSetns(fd, type));
}

export function unshare(flags: number): number {
  return checked(libcUnshare(flags));
}

export function socket(domain: number, type: number, protocol: number = 0): number {
  return checked(libcSocket(domain, type, protocol));
}

/** @param value - address of the value. @param length - address of its length, a u32, in/out. */
export function getsockopt(
  fd: number,
  level: number,
  option: number,
  value: number,
  length: number,
): number {
  return checked(libcGetsockopt(fd, level, option, value, length));
}

/** @param handle - address of a `struct file_handle`. @param mountId - address of an int. */
export function nameToHandle(
  fd: number,
  path: string,
  handle: number,
  mountId: number,
  flags: number,
): number {
  return checked(libcNameToHandle(fd, path, handle, mountId, flags));
}

/** @param mountFd - on anything of the file system. @param handle - as {@link nameToHandle}. */
export function openByHandle(mountFd: number, handle: number, flags: number): number {
  return checked(libcOpenByHandle(mountFd, handle, flags));
}

export function mount(
  source: string,
  target: string,
  type: string | null,
  flags: number,
  data: string | null = null,
): number {
  return withPath(target, (bytes) => libcMount(source, bytes, type, flags, data));
}

export function umount2(target: string, flags: number): number {
  return withPath(target, (bytes) => libcUmount2(bytes, flags));
}

/** Where an empty buffer "is": memory that may be read and written, so no call can fault on it. */
const nowhere = new Uint8Array(4096);

/**
 * The address of a buffer's first byte, good as long as the buffer is referenced.
 *
 * Asking for `.buffer` is not idle: V8 keeps arrays of up to 64 bytes in its moving heap until
 * somebody does.
 */
export function addressOf(bytes: Uint8Array): bigint {
  const home = bytes.byteLength === 0 ? nowhere : bytes;
  if (home.buffer.byteLength === 0) return 0n;
  return koffi.address(home);
}
