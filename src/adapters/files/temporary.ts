import { hash } from "node:crypto";
import type { BytePath } from "../../base/paths.ts";
import { EEXIST, EINTR, ENOENT } from "./errno.ts";
import { libc, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } from "./libc.ts";

/** Every file that is not finished has a name that begins so, next to what it will become. */
export const TEMPORARY_PREFIX = ".cairn-part-";

const NAME_HASH_DIGITS = 24;

/**
 * Always the same for the same name: what a killed restore left behind is overwritten by the next one, not
 * added to. The "w" keeps these apart from the parts that a caller names.
 */
export function temporaryName(name: BytePath): BytePath {
  return `${TEMPORARY_PREFIX}w${hash("sha256", name, "hex").slice(0, NAME_HASH_DIGITS)}` as BytePath;
}

/** `make` until it is not in its own way any more: once with what is there, once without. */
export function makeAnew(dir: number, name: BytePath, make: () => number): number {
  const result = make();
  if (result !== -EEXIST) return result;
  const removed = libc().unlinkat(dir, name, 0);
  return removed < 0 && removed !== -ENOENT ? removed : make();
}

/** A new empty file that only this user may read, whatever had the name before. */
export function createFile(dir: number, name: BytePath): number {
  return makeAnew(dir, name, () => libc().openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
}

/** 0 or the negative errno. */
export function writeAll(fd: number, bytes: Uint8Array, offset: number): number {
  let done = 0;
  while (done < bytes.length) {
    const rest = done === 0 ? bytes : bytes.subarray(done);
    const written = libc().pwrite(fd, rest, rest.length, offset + done);
    if (written === -EINTR) continue;
    if (written < 0) return written;
    done += written;
  }
  return 0;
}
