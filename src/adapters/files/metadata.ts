import { equalBytes } from "../../base/bytes.ts";
import type { BytePath } from "../../base/paths.ts";
import type { FileMetadata, MetadataProblem, Xattr } from "../../ports/file-tree.ts";
import { EACCES, EPERM, errnoName } from "./errno.ts";
import { AT_EMPTY_PATH, AT_FDCWD, libc } from "./libc.ts";
import {
  isRemovableXattr,
  type XattrAccess,
  xattrNames,
  xattrsOfFile,
  xattrsOfHandle,
  xattrValue,
} from "./xattr.ts";

/** The calls that change one inode, whichever way it is open. */
interface InodeAccess {
  readonly xattrs: XattrAccess;
  chown(uid: number, gid: number): number;
  chmod(mode: number): number;
  setTimes(times: BigInt64Array): number;
}

function ofFile(fd: number): InodeAccess {
  return {
    xattrs: xattrsOfFile(fd),
    chown: (uid, gid) => libc().fchown(fd, uid, gid),
    chmod: (mode) => libc().fchmod(fd, mode),
    setTimes: (times) => libc().futimens(fd, times),
  };
}

// An O_PATH descriptor pins the inode, a symbolic link's or a device's too, without opening it. The calls that
// refuse such a descriptor take its link in /proc, which leads to that inode and nowhere else.
function ofHandle(fd: number, isSymlink: boolean): InodeAccess {
  const link = `/proc/self/fd/${fd}` as BytePath;
  return {
    xattrs: xattrsOfHandle(fd),
    chown: (uid, gid) => libc().fchownat(fd, "" as BytePath, uid, gid, AT_EMPTY_PATH),
    // A symbolic link has no mode of its own on Linux.
    chmod: (mode) => (isSymlink ? 0 : libc().chmod(link, mode)),
    setTimes: (times) => libc().utimensat(AT_FDCWD, link, times, 0),
  };
}

/** Of a regular file open for writing. */
export function applyToFile(fd: number, metadata: FileMetadata): MetadataProblem[] {
  return apply(ofFile(fd), metadata, true);
}

/** Of anything opened with O_PATH | O_NOFOLLOW. */
export function applyToHandle(
  fd: number,
  kind: "directory" | "symlink" | "other",
  metadata: FileMetadata,
): MetadataProblem[] {
  return apply(ofHandle(fd, kind === "symlink"), metadata, kind === "other");
}

const SETUID = 0o4000;
const SETGID = 0o2000;
const OWNER_WRITE = 0o200;
const KEEP_ID = 0xffffffff;

/** The order is the contract's: chown clears setuid and capabilities, chmod and ACLs change each other, all change times. */
function apply(inode: InodeAccess, metadata: FileMetadata, runnable: boolean): MetadataProblem[] {
  const problems: MetadataProblem[] = [];
  const owned = setOwner(inode, metadata, problems);
  let mode = metadata.mode;
  if (runnable) {
    // As cp does: a setuid program must not come back as setuid to whoever happens to restore it.
    if (!owned.uid) mode &= ~SETUID;
    if (!owned.gid) mode &= ~SETGID;
    if (mode !== metadata.mode) problems.push({ what: "mode", errno: errnoName(EPERM) });
  }
  const chmodded = inode.chmod(mode);
  if (chmodded < 0) problems.push({ what: "mode", errno: errnoName(-chmodded) });
  setXattrs(inode, mode, metadata.xattrs, problems);
  const timed = inode.setTimes(timesOf(metadata.mtimeNs));
  if (timed < 0) problems.push({ what: "time", errno: errnoName(-timed) });
  return problems;
}

function setOwner(
  inode: InodeAccess,
  { uid, gid }: FileMetadata,
  problems: MetadataProblem[],
): { uid: boolean; gid: boolean } {
  const result = inode.chown(uid, gid);
  if (result >= 0) return { uid: true, gid: true };
  problems.push({ what: "owner", errno: errnoName(-result) });
  // Somebody who is not root may still be in the group, or be the user.
  const grouped = inode.chown(KEEP_ID, gid) >= 0;
  return { uid: uid === process.geteuid?.(), gid: grouped };
}

/**
 * Makes the set of attributes exactly this one. Surplus ones are there when a directory's default ACL was
 * inherited, or when an existing file is brought up to date.
 */
function setXattrs(
  inode: InodeAccess,
  mode: number,
  wanted: readonly Xattr[],
  problems: MetadataProblem[],
): void {
  const access = inode.xattrs;
  const present = xattrNames(access);
  if (typeof present !== "number" && present.length > 0) {
    for (const name of present) {
      if (!isRemovableXattr(name) || wanted.some((xattr) => xattr.name === name)) continue;
      const removed = whileWritable(inode, mode, () => access.remove(name));
      if (removed < 0) problems.push({ what: "xattr", errno: errnoName(-removed), name });
    }
  }
  for (const { name, value } of wanted) {
    const result = whileWritable(inode, mode, () => access.set(name, value));
    if (result >= 0) continue;
    // A security label that the system gave the file by itself is refused to everybody else, and right already.
    const there = xattrValue(access, name);
    if (typeof there !== "number" && equalBytes(there, value)) continue;
    problems.push({ what: "xattr", errno: errnoName(-result), name });
  }
}

/** Attributes in `user.` need write permission by the mode, even through a descriptor opened for writing. */
function whileWritable(inode: InodeAccess, mode: number, call: () => number): number {
  const result = call();
  if (result !== -EACCES || (mode & OWNER_WRITE) !== 0) return result;
  if (inode.chmod(mode | OWNER_WRITE) < 0) return result;
  const again = call();
  inode.chmod(mode);
  return again;
}

const UTIME_OMIT = BigInt((1 << 30) - 2);
const NS_PER_SECOND = 1_000_000_000n;
const times = new BigInt64Array([0n, UTIME_OMIT, 0n, 0n]);

/** The nanoseconds count up from the second before, for times before 1970 too. Valid until the next call. */
function timesOf(mtimeNs: bigint): BigInt64Array {
  const nanoseconds = ((mtimeNs % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  times[2] = (mtimeNs - nanoseconds) / NS_PER_SECOND;
  times[3] = nanoseconds;
  return times;
}
