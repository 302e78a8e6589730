import { Buffer } from "node:buffer";
import type { BytePath } from "../../base/paths.ts";
import type { FileStat, FileType } from "../../ports/file-tree.ts";
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, libc } from "./libc.ts";

const EMPTY_PATH = "" as BytePath;
const NS_PER_SECOND = 1_000_000_000n;

// One buffer per thread: it is read before anything else can run. Word views need an aligned start.
const buffer = new ArrayBuffer(256);
const bytes = Buffer.from(buffer);
const words16 = new Uint16Array(buffer);
const words32 = new Uint32Array(buffer);
const words64 = new BigInt64Array(buffer);
const unsigned64 = new BigUint64Array(buffer);

const FILE_TYPES = new Map<number, FileType>([
  [0o140000, "socket"],
  [0o120000, "symlink"],
  [0o100000, "file"],
  [0o060000, "block-device"],
  [0o040000, "directory"],
  [0o020000, "character-device"],
  [0o010000, "fifo"],
]);

/** The stat, or the negative errno. Nothing is followed. */
export function statAt(dir: number, path: BytePath): FileStat | number {
  const result = libc().statx(dir, path, AT_SYMLINK_NOFOLLOW, bytes);
  return result === 0 ? parseStatx() : result;
}

/** Of an open file, O_PATH ones included. */
export function statOf(fd: number): FileStat | number {
  const result = libc().statx(fd, EMPTY_PATH, AT_EMPTY_PATH, bytes);
  return result === 0 ? parseStatx() : result;
}

/** `struct statx` of linux/stat.h, indices in units of each view. */
function parseStatx(): FileStat {
  const mode = words16[14] ?? 0;
  return {
    type: FILE_TYPES.get(mode & 0o170000) ?? "file",
    mode: mode & 0o7777,
    uid: words32[5] ?? 0,
    gid: words32[6] ?? 0,
    size: Number(words64[5]),
    mtimeNs: (words64[14] ?? 0n) * NS_PER_SECOND + BigInt(words32[30] ?? 0),
    ctimeNs: (words64[12] ?? 0n) * NS_PER_SECOND + BigInt(words32[26] ?? 0),
    device: deviceNumber(words32[34] ?? 0, words32[35] ?? 0),
    inode: unsigned64[4] ?? 0n,
    links: words32[4] ?? 0,
    major: words32[32] ?? 0,
    minor: words32[33] ?? 0,
    blocks: Number(words64[6]),
  };
}

let lastMajor = 0;
let lastMinor = 0;
let lastDevice = 0n;

/** As glibc's `makedev`, and so as `dev` in Node's stats. Nearly every call asks for the same one as the last. */
export function deviceNumber(major: number, minor: number): bigint {
  if (major === lastMajor && minor === lastMinor) return lastDevice;
  lastMajor = major;
  lastMinor = minor;
  const a = BigInt(major);
  const b = BigInt(minor);
  lastDevice = ((a & 0xfffff000n) << 32n) | ((a & 0xfffn) << 8n) | ((b & 0xffffff00n) << 12n) | (b & 0xffn);
  return lastDevice;
}
