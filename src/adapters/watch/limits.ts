import { readFileSync, statfsSync } from "node:fs";
import { type BytePath, displayPath, pathBytes } from "../../base/paths.ts";
import { EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOSPC, ENOTDIR, EPERM, errnoName } from "../files/errno.ts";

const WATCHES_FILE = "/proc/sys/fs/inotify/max_user_watches";
/** Before Linux 5.11, and where /proc is not there to ask. */
const WATCHES_DEFAULT = 8192;

/** Half of what the kernel allows this user: others of its programs watch files too. */
export function watchesMax(): number {
  try {
    const allowed = Number(readFileSync(WATCHES_FILE, "utf8").trim());
    return Math.floor((Number.isSafeInteger(allowed) ? allowed : WATCHES_DEFAULT) / 2);
  } catch {
    return Math.floor(WATCHES_DEFAULT / 2);
  }
}

export function tooManyDirectories(max: number): string {
  return `there are more directories than ${max}, half of what fs.inotify.max_user_watches allows this user`;
}

/** By the magic numbers of statfs(2): file systems that others change without this kernel's knowing. */
const SHARED: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xfe534d42, "SMB"],
  [0xff534d42, "CIFS"],
  [0x65735546, "FUSE"],
  [0x01021997, "9p"],
  [0x00c36400, "Ceph"],
  [0x5346414f, "AFS"],
  [0x0bd00bd0, "Lustre"],
  [0x01161970, "GFS2"],
  [0x7461636f, "OCFS2"],
]);

/** Why what lies below `path` cannot be watched; `undefined` where it can. */
export function sharedFileSystem(path: BytePath): string | undefined {
  try {
    const kind = SHARED.get(statfsSync(pathBytes(path)).type >>> 0);
    return kind === undefined
      ? undefined
      : `${displayPath(path)} is on ${kind}, where other machines' changes are not reported`;
  } catch {
    return undefined;
  }
}

/** Gone meanwhile, or not for this user: a snapshot would not have it either. */
const LEFT_OUT: ReadonlySet<number> = new Set([ENOENT, ENOTDIR, EACCES, EPERM, ELOOP]);

/** Why a directory cannot be watched; `undefined` where it need not be. */
export function refusalOf(errno: number, path: BytePath): string | undefined {
  if (LEFT_OUT.has(errno)) return undefined;
  if (errno === ENOSPC)
    return "the kernel has no inotify watches left for this user (fs.inotify.max_user_watches)";
  if (errno === ENAMETOOLONG) return `${displayPath(path).slice(0, 80)}... is too long a path to be watched`;
  return `${displayPath(path)} cannot be watched: ${errnoName(errno)}`;
}
