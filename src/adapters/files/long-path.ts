import type { BytePath } from "../../base/paths.ts";
import { AT_FDCWD, libc, O_DIRECTORY, O_PATH, O_RDONLY, PATH_BYTES_MAX } from "./libc.ts";

/**
 * Calls `use` with a directory and a path below it that together are `path`, the second short enough for the
 * kernel. Ordinary paths are passed on as they are; trees deeper than PATH_MAX, which `mkdir` and `cd` can
 * make, are reached through open directories. The negative errno of what could not be opened on the way goes
 * to `fail`. `use` is synchronous: the directory is closed after it.
 */
export function reach<T>(
  path: BytePath,
  use: (dir: number, rest: BytePath) => T,
  fail: (result: number) => T,
): T {
  if (path.length < PATH_BYTES_MAX) return use(AT_FDCWD, path);
  const near = approach(AT_FDCWD, path);
  if (typeof near === "number") return fail(near);
  try {
    return use(near.dir, near.rest);
  } finally {
    libc().close(near.dir);
  }
}

function approach(start: number, path: BytePath): { dir: number; rest: BytePath } | number {
  let dir = start;
  let rest = path;
  while (rest.length >= PATH_BYTES_MAX) {
    const cut = rest.lastIndexOf("/", PATH_BYTES_MAX - 2);
    // No slash in 4,095 bytes: a name that no file system takes. The kernel says so.
    const piece = (cut <= 0 ? rest : rest.slice(0, cut)) as BytePath;
    const next = libc().openat(dir, piece, O_RDONLY | O_PATH | O_DIRECTORY);
    if (dir !== start) libc().close(dir);
    if (next < 0) return next;
    dir = next;
    rest = rest.slice(cut).replace(/^\/+/, "") as BytePath;
  }
  return { dir, rest: rest === "" ? ("." as BytePath) : rest };
}

/** A path by which calls that take no directory (those for xattrs) find the same file. */
export function pathThrough(dir: number, rest: BytePath): BytePath {
  return dir === AT_FDCWD ? rest : (`/proc/self/fd/${dir}/${rest}` as BytePath);
}
