import { Buffer } from "node:buffer";
import { closeSync, constants, fchmodSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../base/fault.ts";
import { EAGAIN, EINTR, errnoName } from "../files/errno.ts";
import { LOCK_EXCLUSIVE_NOWAIT, libc } from "../files/libc.ts";

export interface HomeLock {
  /** Gives the home free; calling it again does nothing. */
  release(): void;
}

const LOCK_NAME = "lock";
const PID_TEXT_BYTES_MAX = 32;

/**
 * Takes the home for this process. The kernel holds the lock (flock) with the open file and drops it when the
 * process ends, however it ends; child processes do not get the descriptor. The database's own lock is not
 * enough: opening it a second time inside one process silently drops it. The file stays when the lock is
 * released: removing it would let two processes lock two different files.
 *
 * `HOME_LOCKED` with the holder's pid; `HOME_MISSING` where there is no such directory; `DISK_FAILED` otherwise.
 */
export function lockHome(home: string): HomeLock {
  const path = join(home, LOCK_NAME);
  let fd = openLock(path, home);
  const locked = tryLock(fd);
  if (locked < 0) {
    const pid = readPid(fd);
    closeSync(fd);
    if (locked !== -EAGAIN) throw new Fault({ code: "DISK_FAILED", where: path, errno: errnoName(-locked) });
    throw new Fault({ code: "HOME_LOCKED", home, ...(pid === undefined ? {} : { pid }) });
  }
  writePid(fd);
  return {
    release() {
      if (fd < 0) return;
      ftruncateSync(fd);
      closeSync(fd);
      fd = -1;
    },
  };
}

function openLock(path: string, home: string): number {
  try {
    // Node adds O_CLOEXEC to every file it opens.
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    fchmodSync(fd, 0o600);
    return fd;
  } catch (error) {
    const errno = error instanceof Error && "code" in error ? String(error.code) : "EIO";
    if (errno === "ENOENT" || errno === "ENOTDIR") throw new Fault({ code: "HOME_MISSING", home });
    throw new Fault({ code: "DISK_FAILED", where: path, errno }, { cause: error });
  }
}

function tryLock(fd: number): number {
  let result = -EINTR;
  while (result === -EINTR) result = libc().flock(fd, LOCK_EXCLUSIVE_NOWAIT);
  return result;
}

/** For the message to whoever finds the home locked; the lock does not depend on it. */
function writePid(fd: number): void {
  try {
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`, 0);
  } catch {
    // A full disk: the home is locked all the same, only nobody is told by whom.
  }
}

function readPid(fd: number): number | undefined {
  const text = Buffer.alloc(PID_TEXT_BYTES_MAX);
  const bytes = readSync(fd, text, 0, PID_TEXT_BYTES_MAX, 0);
  const pid = /^(\d+)\n/.exec(text.toString("latin1", 0, bytes));
  return pid === null ? undefined : Number(pid[1]);
}
