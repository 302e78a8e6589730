import { Buffer } from "node:buffer";
import { EMPTY_BYTES } from "../../base/bytes.ts";
import type { BytePath } from "../../base/paths.ts";
import type { Xattr } from "../../ports/file-tree.ts";
import { ENODATA, ENOSYS, ENOTSUP, ERANGE } from "./errno.ts";
import { libc } from "./libc.ts";

/** The four calls on the extended attributes of one file, whichever way it is reached. */
export interface XattrAccess {
  list(into: Uint8Array): number;
  get(name: BytePath, into: Uint8Array): number;
  set(name: BytePath, value: Uint8Array): number;
  remove(name: BytePath): number;
}

/** Reading only: what walks never changes. */
export type XattrSource = Pick<XattrAccess, "list" | "get">;

export function xattrsOfLink(path: BytePath): XattrSource {
  return {
    list: (into) => libc().llistxattr(path, into),
    get: (name, into) => libc().lgetxattr(path, name, into),
  };
}

/** Of a file that is open for reading or writing. */
export function xattrsOfFile(fd: number): XattrAccess {
  return {
    list: (into) => libc().flistxattr(fd, into),
    get: (name, into) => libc().fgetxattr(fd, name, into),
    set: (name, value) => libc().fsetxattr(fd, name, value),
    remove: (name) => libc().fremovexattr(fd, name),
  };
}

/** Of anything opened with O_PATH, symbolic links included: the link in /proc leads to exactly that inode. */
export function xattrsOfHandle(fd: number): XattrAccess {
  const path = `/proc/self/fd/${fd}` as BytePath;
  return {
    list: (into) => libc().listxattr(path, into),
    get: (name, into) => libc().getxattr(path, name, into),
    set: (name, value) => libc().setxattr(path, name, value),
    remove: (name) => libc().removexattr(path, name),
  };
}

const ACCESS_ACL = "system.posix_acl_access";
const DEFAULT_ACL = "system.posix_acl_default";

/** Others in `system.` belong to one kind of file system and mean nothing on another. */
export function isSavedXattr(name: BytePath): boolean {
  return (
    name.startsWith("user.") ||
    name.startsWith("security.") ||
    name.startsWith("trusted.") ||
    name === ACCESS_ACL ||
    name === DEFAULT_ACL
  );
}

/** Labels in `security.` are put there by the system itself; everything else we save is somebody's choice. */
export function isRemovableXattr(name: BytePath): boolean {
  return isSavedXattr(name) && !name.startsWith("security.");
}

// The kernel allocates (and for values clears) as much as is offered to it: 64 KiB, the limit of both lists and
// values, is offered only after a first try was too small.
const SMALL_BYTES = 1024;
const LARGE_BYTES = 64 * 1024;
const large = Buffer.alloc(LARGE_BYTES);
const small = large.subarray(0, SMALL_BYTES);

function withRoom(call: (into: Uint8Array) => number): number {
  const bytes = call(small);
  return bytes === -ERANGE ? call(large) : bytes;
}

/** All names, or the negative errno. A file system without extended attributes has none. */
export function xattrNames(source: XattrSource): BytePath[] | number {
  const bytes = withRoom((into) => source.list(into));
  if (bytes === -ENOTSUP || bytes === -ENOSYS) return [];
  if (bytes <= 0) return bytes === 0 ? [] : bytes;
  return large.toString("latin1", 0, bytes - 1).split("\0") as BytePath[];
}

/** A copy of the value, or the negative errno. */
export function xattrValue(source: XattrSource, name: BytePath): Uint8Array | number {
  const bytes = withRoom((into) => source.get(name, into));
  if (bytes < 0) return bytes;
  return bytes === 0 ? EMPTY_BYTES : new Uint8Array(large.subarray(0, bytes));
}

/** What a snapshot saves, sorted by name, or the negative errno. One that vanishes meanwhile is left out. */
export function readXattrs(source: XattrSource): Xattr[] | number {
  const names = xattrNames(source);
  if (typeof names === "number") return names;
  const found: Xattr[] = [];
  for (const name of names.filter(isSavedXattr).sort()) {
    const value = xattrValue(source, name);
    if (typeof value !== "number") found.push({ name, value });
    else if (value !== -ENODATA) return value;
  }
  return found;
}
