import { randomUUID } from "node:crypto";
import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Fault } from "../../base/fault.ts";
import {
  HOME_FORMAT_VERSION,
  HOME_MARKER,
  HOME_MARKER_NAME,
  parseHomeMarker,
} from "../../base/home-marker.ts";
import { displayPath } from "../../base/paths.ts";

const markerPath = (home: string): string => join(home, displayPath(HOME_MARKER_NAME));

/**
 * Makes an existing directory a home. `HOME_EXISTS` if it is one already. On disk when it returns, and at no moment half
 * there. To be called under the home's lock.
 */
export function markHome(home: string): void {
  if (isCairnHome(home)) throw new Fault({ code: "HOME_EXISTS", home });
  const temporary = `${markerPath(home)}.${randomUUID()}`;
  try {
    writeSynced(temporary, HOME_MARKER);
    renameSync(temporary, markerPath(home));
    syncDirectory(home);
    syncDirectory(dirname(resolve(home)));
  } catch (error) {
    throw new Fault({ code: "DISK_FAILED", where: home, errno: errnoOf(error) }, { cause: error });
  }
}

function writeSynced(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    writeFileSync(fd, bytes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Whether `home` is a cairn home. `FORMAT_VERSION` when a newer program made it. */
export function isCairnHome(home: string): boolean {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(markerPath(home));
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return false;
    throw new Fault({ code: "DISK_FAILED", where: home, errno }, { cause: error });
  }
  const version = parseHomeMarker(bytes);
  if (version === undefined) return false;
  if (version > HOME_FORMAT_VERSION)
    throw new Fault({ code: "FORMAT_VERSION", what: "home", version, newestKnown: HOME_FORMAT_VERSION });
  return true;
}

function errnoOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "EIO";
}
