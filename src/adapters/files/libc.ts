import { Buffer } from "node:buffer";
import { constants } from "node:fs";
import { createRequire } from "node:module";
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import type { BytePath } from "../../base/paths.ts";
import { EINVAL, ENAMETOOLONG } from "./errno.ts";

/** Instead of a directory descriptor: paths are absolute, or relative to the working directory. */
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_NO_AUTOMOUNT = 0x800;
export const AT_EMPTY_PATH = 0x1000;

// Those that differ between x64 and arm64 come from Node, which was compiled for this machine.
export const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_NONBLOCK, O_DIRECTORY, O_NOFOLLOW } = constants;
export const O_NOATIME = 0o1000000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;

export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
export const LOCK_EXCLUSIVE_NOWAIT = 2 | 4;

/** What the kernel takes as one path, its NUL included. Longer ones are walked in pieces. */
export const PATH_BYTES_MAX = 4096;

const RESOLVE_NO_MAGICLINKS = 0x02n;
const RESOLVE_NO_SYMLINKS = 0x04n;
const RESOLVE_BENEATH = 0x08n;
const SYS_OPENAT2 = 437;
const SYS_GETDENTS64 = { x64: 217, arm64: 61 } as const;
const OPEN_HOW_BYTES = 24;

/**
 * libc as it is called here. Every method answers as the kernel does: a number >= 0, or the negative errno;
 * nothing throws, because in a walk or a restore a failing call is ordinary. Paths are bytes; one that holds a
 * NUL is EINVAL, one too long ENAMETOOLONG, before libc sees it. Not for use across an `await`: path and result
 * buffers are shared within the thread.
 */
export interface Libc {
  openat(dir: number, path: BytePath, flags: number, mode?: number): number;
  /** Below `dir` only, through no symbolic link at all. ENOSYS before Linux 5.6, EPERM under some sandboxes. */
  openBeneath(dir: number, path: BytePath, flags: number): number;
  close(fd: number): number;
  /** 256 bytes of `struct statx` into `out`. */
  statx(dir: number, path: BytePath, flags: number, out: Uint8Array): number;
  getdents(fd: number, into: Uint8Array): number;
  readlinkat(dir: number, path: BytePath, into: Uint8Array): number;
  pread(fd: number, into: Uint8Array, bytes: number, offset: number): number;
  pwrite(fd: number, from: Uint8Array, bytes: number, offset: number): number;
  lseek(fd: number, offset: number, whence: number): number;
  ftruncate(fd: number, bytes: number): number;
  fchown(fd: number, uid: number, gid: number): number;
  fchmod(fd: number, mode: number): number;
  /** `times`: four 64-bit words, access seconds and nanoseconds, modification seconds and nanoseconds. */
  futimens(fd: number, times: BigInt64Array): number;
  fchownat(dir: number, path: BytePath, uid: number, gid: number, flags: number): number;
  chmod(path: BytePath, mode: number): number;
  utimensat(dir: number, path: BytePath, times: BigInt64Array, flags: number): number;
  mkdirat(dir: number, path: BytePath, mode: number): number;
  mknodat(dir: number, path: BytePath, mode: number, device: bigint): number;
  symlinkat(to: BytePath, dir: number, path: BytePath): number;
  linkat(fromDir: number, from: BytePath, dir: number, path: BytePath): number;
  renameat(fromDir: number, from: BytePath, dir: number, path: BytePath): number;
  unlinkat(dir: number, path: BytePath, flags: number): number;
  flock(fd: number, operation: number): number;
  read(fd: number, into: Uint8Array): number;
  /** A descriptor that does not block and is closed by `close`. */
  inotifyInit(): number;
  /** The number under which events come; of a directory that is watched already its old one. */
  inotifyAddWatch(fd: number, path: BytePath, mask: number): number;
  inotifyRemoveWatch(fd: number, watch: number): number;
  /** In libuv's thread pool: it waits for the disk. */
  syncfs(fd: number): Promise<number>;
  /** Follow or not is in the name, as in libc. Names are C strings, one after the other. */
  llistxattr(path: BytePath, into: Uint8Array): number;
  listxattr(path: BytePath, into: Uint8Array): number;
  flistxattr(fd: number, into: Uint8Array): number;
  lgetxattr(path: BytePath, name: BytePath, into: Uint8Array): number;
  getxattr(path: BytePath, name: BytePath, into: Uint8Array): number;
  fgetxattr(fd: number, name: BytePath, into: Uint8Array): number;
  setxattr(path: BytePath, name: BytePath, value: Uint8Array): number;
  fsetxattr(fd: number, name: BytePath, value: Uint8Array): number;
  removexattr(path: BytePath, name: BytePath): number;
  fremovexattr(fd: number, name: BytePath): number;
  /** Name of a user or group by whatever the system's name services are; `undefined` where there is none. */
  userName(uid: number): string | undefined;
  groupName(gid: number): string | undefined;
}

let loaded: Libc | undefined;

/** `UNSUPPORTED` on anything but Linux with glibc on x64 or arm64. */
export function libc(): Libc {
  loaded ??= load();
  return loaded;
}

type Pointer = Uint8Array | BigInt64Array | BigUint64Array;
type Call = (...args: (number | bigint | Pointer)[]) => number;

function unsupported(cause?: unknown): Fault {
  const what =
    `cairn keeps files on Linux with glibc, on x64 and arm64 only; this is ${process.platform} ${process.arch}` +
    (cause === undefined ? "." : ", and its libc could not be loaded.");
  return new Fault({ code: "UNSUPPORTED", what }, { cause });
}

function load(): Libc {
  const arch = process.arch;
  if (process.platform !== "linux" || (arch !== "x64" && arch !== "arm64")) throw unsupported();
  // Loaded here and not imported: where there is no native part, importing would already fail.
  let koffi: typeof import("koffi");
  let lib: ReturnType<typeof koffi.load>;
  try {
    koffi = createRequire(import.meta.url)("koffi");
    lib = koffi.load("libc.so.6");
  } catch (error) {
    throw unsupported(error);
  }
  return bind(koffi, lib, SYS_GETDENTS64[arch]);
}

// Path arguments are copied here: three, because setxattr and renameat take two and one is never reused within
// a call. Allocating a buffer for each call instead costs more than most of the calls.
class PathBuffer {
  readonly bytes = Buffer.alloc(PATH_BYTES_MAX);

  /** 0, or the errno of a path that cannot be passed. */
  set(path: BytePath): number {
    if (path.length >= PATH_BYTES_MAX) return ENAMETOOLONG;
    if (path.includes("\0")) return EINVAL;
    this.bytes[this.bytes.write(path, 0, "latin1")] = 0;
    return 0;
  }
}

function bind(koffi: typeof import("koffi"), lib: ReturnType<typeof koffi.load>, sysGetdents: number): Libc {
  const call = (definition: string): Call => {
    const raw: Call = lib.func(definition);
    return (...args) => {
      const result = raw(...args);
      return result === -1 ? -koffi.errno() : result;
    };
  };
  const first = new PathBuffer();
  const second = new PathBuffer();
  const p1 = first.bytes;
  const p2 = second.bytes;
  const one = (path: BytePath, run: () => number): number => {
    const bad = first.set(path);
    return bad === 0 ? run() : -bad;
  };
  const two = (a: BytePath, b: BytePath, run: () => number): number => {
    const bad = first.set(a) || second.set(b);
    return bad === 0 ? run() : -bad;
  };

  const openat = call("int openat(int dir, void *path, int flags, unsigned int mode)");
  const openat2 = call("long syscall(long n, long dir, void *path, void *how, long bytes)");
  const getdents = call("long syscall(long n, long fd, void *into, long bytes)");
  const statx = call("int statx(int dir, void *path, int flags, unsigned int mask, void *out)");
  const close = call("int close(int fd)");
  const readlinkat = call("int64_t readlinkat(int dir, void *path, void *into, size_t bytes)");
  const pread = call("int64_t pread64(int fd, void *into, size_t bytes, int64_t offset)");
  const pwrite = call("int64_t pwrite64(int fd, void *from, size_t bytes, int64_t offset)");
  const lseek = call("int64_t lseek64(int fd, int64_t offset, int whence)");
  const ftruncate = call("int ftruncate64(int fd, int64_t bytes)");
  const fchown = call("int fchown(int fd, unsigned int uid, unsigned int gid)");
  const fchmod = call("int fchmod(int fd, unsigned int mode)");
  const futimens = call("int futimens(int fd, void *times)");
  const fchownat = call("int fchownat(int dir, void *path, unsigned int uid, unsigned int gid, int flags)");
  const chmod = call("int chmod(void *path, unsigned int mode)");
  const utimensat = call("int utimensat(int dir, void *path, void *times, int flags)");
  const mkdirat = call("int mkdirat(int dir, void *path, unsigned int mode)");
  const mknodat = call("int mknodat(int dir, void *path, unsigned int mode, uint64_t device)");
  const symlinkat = call("int symlinkat(void *to, int dir, void *path)");
  const linkat = call("int linkat(int fromDir, void *from, int dir, void *path, int flags)");
  const renameat = call("int renameat(int fromDir, void *from, int dir, void *path)");
  const unlinkat = call("int unlinkat(int dir, void *path, int flags)");
  const flock = call("int flock(int fd, int operation)");
  const read = call("int64_t read(int fd, void *into, size_t bytes)");
  const inotifyInit = call("int inotify_init1(int flags)");
  const inotifyAdd = call("int inotify_add_watch(int fd, void *path, uint32_t mask)");
  const inotifyRemove = call("int inotify_rm_watch(int fd, int watch)");
  const syncfs = lib.func("int syncfs(int fd)");
  const llistxattr = call("int64_t llistxattr(void *path, void *into, size_t bytes)");
  const listxattr = call("int64_t listxattr(void *path, void *into, size_t bytes)");
  const flistxattr = call("int64_t flistxattr(int fd, void *into, size_t bytes)");
  const lgetxattr = call("int64_t lgetxattr(void *path, void *name, void *into, size_t bytes)");
  const getxattr = call("int64_t getxattr(void *path, void *name, void *into, size_t bytes)");
  const fgetxattr = call("int64_t fgetxattr(int fd, void *name, void *into, size_t bytes)");
  const setxattr = call("int setxattr(void *path, void *name, void *value, size_t bytes, int flags)");
  const fsetxattr = call("int fsetxattr(int fd, void *name, void *value, size_t bytes, int flags)");
  const removexattr = call("int removexattr(void *path, void *name)");
  const fremovexattr = call("int fremovexattr(int fd, void *name)");

  const how = new BigUint64Array([0n, 0n, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS]);
  const STATX_BASIC_STATS = 0x7ff;

  return {
    openat: (dir, path, flags, mode = 0) => one(path, () => openat(dir, p1, flags | O_CLOEXEC, mode)),
    openBeneath(dir, path, flags) {
      how[0] = BigInt(flags | O_CLOEXEC);
      return one(path, () => openat2(SYS_OPENAT2, dir, p1, how, OPEN_HOW_BYTES));
    },
    close,
    statx(dir, path, flags, out) {
      assert(out.length >= 256, "a statx buffer has 256 bytes");
      return one(path, () => statx(dir, p1, flags | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, out));
    },
    getdents: (fd, into) => getdents(sysGetdents, fd, into, into.length),
    readlinkat: (dir, path, into) => one(path, () => readlinkat(dir, p1, into, into.length)),
    pread(fd, into, bytes, offset) {
      assert(bytes <= into.length, "a read fits its buffer");
      return pread(fd, into, bytes, offset);
    },
    pwrite(fd, from, bytes, offset) {
      assert(bytes <= from.length, "a write is within its buffer");
      return pwrite(fd, from, bytes, offset);
    },
    lseek,
    ftruncate,
    fchown,
    fchmod,
    futimens,
    fchownat: (dir, path, uid, gid, flags) => one(path, () => fchownat(dir, p1, uid, gid, flags)),
    chmod: (path, mode) => one(path, () => chmod(p1, mode)),
    utimensat: (dir, path, times, flags) => one(path, () => utimensat(dir, p1, times, flags)),
    mkdirat: (dir, path, mode) => one(path, () => mkdirat(dir, p1, mode)),
    mknodat: (dir, path, mode, device) => one(path, () => mknodat(dir, p1, mode, device)),
    symlinkat: (to, dir, path) => two(to, path, () => symlinkat(p1, dir, p2)),
    linkat: (fromDir, from, dir, path) => two(from, path, () => linkat(fromDir, p1, dir, p2, 0)),
    renameat: (fromDir, from, dir, path) => two(from, path, () => renameat(fromDir, p1, dir, p2)),
    unlinkat: (dir, path, flags) => one(path, () => unlinkat(dir, p1, flags)),
    flock,
    read: (fd, into) => read(fd, into, into.length),
    inotifyInit: () => inotifyInit(O_NONBLOCK | O_CLOEXEC),
    inotifyAddWatch: (fd, path, mask) => one(path, () => inotifyAdd(fd, p1, mask)),
    inotifyRemoveWatch: inotifyRemove,
    syncfs: (fd) => syncInPool(syncfs, fd),
    llistxattr: (path, into) => one(path, () => llistxattr(p1, into, into.length)),
    listxattr: (path, into) => one(path, () => listxattr(p1, into, into.length)),
    flistxattr: (fd, into) => flistxattr(fd, into, into.length),
    lgetxattr: (path, name, into) => two(path, name, () => lgetxattr(p1, p2, into, into.length)),
    getxattr: (path, name, into) => two(path, name, () => getxattr(p1, p2, into, into.length)),
    fgetxattr: (fd, name, into) => one(name, () => fgetxattr(fd, p1, into, into.length)),
    setxattr: (path, name, value) => two(path, name, () => setxattr(p1, p2, value, value.length, 0)),
    fsetxattr: (fd, name, value) => one(name, () => fsetxattr(fd, p1, value, value.length, 0)),
    removexattr: (path, name) => two(path, name, () => removexattr(p1, p2)),
    fremovexattr: (fd, name) => one(name, () => fremovexattr(fd, p1)),
    userName: nameLookup(koffi, lib, "getpwuid_r"),
    groupName: nameLookup(koffi, lib, "getgrgid_r"),
  };
}

/** koffi cannot read the errno of a call that ran in another thread: whatever failed counts as EIO. */
function syncInPool(
  syncfs: { async(fd: number, done: (error: unknown, result: number) => void): void },
  fd: number,
): Promise<number> {
  const EIO = 5;
  return new Promise((resolve, reject) => {
    syncfs.async(fd, (error, result) => {
      if (error !== null && error !== undefined) reject(error);
      else resolve(result === 0 ? 0 : -EIO);
    });
  });
}

const NAME_BUFFER_BYTES_MAX = 1 << 20;

/** `struct passwd` and `struct group` both begin with the pointer to the name. */
function nameLookup(
  koffi: typeof import("koffi"),
  lib: ReturnType<typeof koffi.load>,
  symbol: "getpwuid_r" | "getgrgid_r",
): (id: number) => string | undefined {
  const lookUp: Call = lib.func(
    `int ${symbol}(unsigned int id, void *record, void *buffer, size_t bytes, void *found)`,
  );
  const ERANGE = 34;
  return (id) => {
    const record = new BigUint64Array(8);
    const found = new BigUint64Array(1);
    // A group with thousands of members needs more room than most.
    for (let bytes = 4096; bytes <= NAME_BUFFER_BYTES_MAX; bytes *= 4) {
      const buffer = Buffer.alloc(bytes);
      const status = lookUp(id, record, buffer, bytes, found);
      if (status === ERANGE) continue;
      if (status !== 0 || found[0] === 0n) return undefined;
      const start = Number((record[0] ?? 0n) - BigInt(koffi.address(buffer)));
      if (start < 0 || start >= bytes) return undefined;
      return buffer.toString("utf8", start, buffer.indexOf(0, start));
    }
    return undefined;
  };
}
