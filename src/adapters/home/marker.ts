import { closeSync, constants, fsyncSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../base/fault.ts";
import {
  HOME_FORMAT_VERSION,
  HOME_MARKER,
  HOME_MARKER_NAME,
  parseHomeMarker,
} from "../../base/home-marker.ts";
import { displayPath } from "../../base/paths.ts";

const markerPath = (home: string): string => join(home, displayPath(HOME_MARKER_NAME));

/** Makes an existing directory a home. `HOME_EXISTS` if it is one already. On disk when it returns. */
export function markHome(home: string): void {
  let fd: number;
  try {
    fd = openSync(markerPath(home), constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") throw new Fault({ code: "HOME_EXISTS", home });
    throw new Fault({ code: "DISK_FAILED", where: home, errno: errnoOf(error) }, { cause: error });
  }
  try {
    writeFileSync(fd, HOME_MARKER);
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
