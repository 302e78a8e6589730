import { mkdirSync } from "node:fs";
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { type BytePath, displayPath, isPlainName, joinPath, pathBytes } from "../../base/paths.ts";
import { EDQUOT, ELOOP, ENOENT, ENOSPC, ENOSYS, ENOTDIR, EPERM, errnoName } from "./errno.ts";
import { libc, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, PATH_BYTES_MAX } from "./libc.ts";
import { reach } from "./long-path.ts";
import { statAt } from "./stat.ts";

/** What is worked on: a directory below the target that is open, and a name in it. */
export type InDirectory<T> = (dir: number, name: BytePath) => T;

/**
 * The directory that a restore may write in, and the only way to a path below it. Each call opens the parent
 * anew, through the kernel's own check that no component is a symbolic link and nothing leads out; what was
 * opened is closed when the call ends. No directory is kept open from call to call: that would save 2 us, and
 * would go on writing into a directory that somebody has meanwhile moved elsewhere and replaced by a link.
 */
export class TargetRoot {
  #fd: number;
  readonly #path: BytePath;
  #stepwise: boolean;

  /** `stepwise`: do without openat2, as on Linux before 5.6. */
  constructor(fd: number, path: BytePath, stepwise: boolean) {
    this.#fd = fd;
    this.#path = path;
    this.#stepwise = stepwise;
  }

  /** The target itself. */
  get fd(): number {
    assert(this.#fd >= 0, "a closed target is not used");
    return this.#fd;
  }

  close(): void {
    if (this.#fd >= 0) libc().close(this.#fd);
    this.#fd = -1;
  }

  /** `use` is synchronous: the directory is closed after it. Faults if the parent cannot be reached. */
  within<T>(path: BytePath, use: InDirectory<T>): T {
    return this.tryWithin(path, use, (result) => {
      throw this.fault(path, result);
    });
  }

  /** As `within`, but a parent that is missing or is no directory goes to `absent`. */
  ifParent<T>(path: BytePath, use: InDirectory<T>, absent: () => T): T {
    return this.tryWithin(path, use, (result) => {
      if (result === -ENOENT || result === -ENOTDIR) return absent();
      throw this.fault(path, result);
    });
  }

  tryWithin<T>(path: BytePath, use: InDirectory<T>, fail: (result: number) => T): T {
    this.#check(path);
    const slash = path.lastIndexOf("/");
    if (slash < 0) return use(this.fd, path);
    const dir = this.#openDirectory(path.slice(0, slash) as BytePath);
    if (dir < 0) return fail(dir);
    try {
      return use(dir, path.slice(slash + 1) as BytePath);
    } finally {
      libc().close(dir);
    }
  }

  fault(path: BytePath, result: number): Fault {
    switch (-result) {
      case ELOOP:
        return this.unsafe(path, "there is a symbolic link in the way");
      case ENOSPC:
      case EDQUOT:
        return new Fault({ code: "DISK_FULL", where: displayPath(this.#path) });
      default:
        return new Fault({ code: "TARGET_FAILED", path: this.#shown(path), errno: errnoName(-result) });
    }
  }

  unsafe(path: BytePath, reason: string): Fault {
    return new Fault({ code: "TARGET_UNSAFE", path: this.#shown(path), reason });
  }

  #shown(path: BytePath): string {
    return displayPath(path === "" ? this.#path : joinPath(this.#path, path));
  }

  #check(path: BytePath): void {
    for (const name of path.split("/") as BytePath[]) {
      if (isPlainName(name)) continue;
      const what = name.includes("\0") ? "a name with a NUL byte" : `"${name}" as a name`;
      throw this.unsafe(path, `its path has ${what}`);
    }
  }

  #openDirectory(path: BytePath): number {
    if (this.#stepwise) return this.#walk(path);
    const dir = path.length < PATH_BYTES_MAX ? openBeneath(this.fd, path) : this.#walkPieces(path);
    if (dir !== -ENOSYS && dir !== -EPERM) return dir;
    this.#stepwise = true;
    return this.#walk(path);
  }

  #walkPieces(path: BytePath): number {
    return this.#descend(piecesOf(path), openBeneath);
  }

  #walk(path: BytePath): number {
    return this.#descend(path.split("/") as BytePath[], openStep);
  }

  #descend(pieces: readonly BytePath[], open: (dir: number, piece: BytePath) => number): number {
    let dir = this.fd;
    for (const piece of pieces) {
      const next = open(dir, piece);
      if (dir !== this.fd) libc().close(dir);
      if (next < 0) return next;
      dir = next;
    }
    return dir;
  }
}

/** Makes the directory and its parents where they are missing, and opens it, through links if need be. */
export function openTargetRoot(directory: BytePath, stepwise: boolean): TargetRoot {
  const failed = (errno: string, cause?: unknown): Fault =>
    new Fault({ code: "TARGET_FAILED", path: displayPath(directory), errno }, { cause });
  const open = (): number =>
    reach(
      directory,
      (dir, path) => libc().openat(dir, path, O_RDONLY | O_DIRECTORY),
      (result) => result,
    );
  let fd = open();
  if (fd === -ENOENT) {
    try {
      mkdirSync(pathBytes(directory), { recursive: true, mode: 0o700 });
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "EIO";
      if (code === "ENOSPC") throw new Fault({ code: "DISK_FULL", where: displayPath(directory) });
      throw failed(code, error);
    }
    fd = open();
  }
  if (fd < 0) throw failed(errnoName(-fd));
  return new TargetRoot(fd, directory, stepwise);
}

function openBeneath(dir: number, path: BytePath): number {
  return libc().openBeneath(dir, path, O_RDONLY | O_PATH | O_DIRECTORY);
}

function openStep(dir: number, name: BytePath): number {
  const fd = libc().openat(dir, name, O_RDONLY | O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (fd !== -ENOTDIR) return fd;
  const stat = statAt(dir, name);
  return typeof stat !== "number" && stat.type === "symlink" ? -ELOOP : fd;
}

/** Cut at slashes into pieces that the kernel takes as one path each. */
function piecesOf(path: BytePath): BytePath[] {
  const pieces: BytePath[] = [];
  let rest: string = path;
  while (rest.length >= PATH_BYTES_MAX) {
    const cut = rest.lastIndexOf("/", PATH_BYTES_MAX - 1);
    if (cut <= 0) break;
    pieces.push(rest.slice(0, cut) as BytePath);
    rest = rest.slice(cut + 1);
  }
  pieces.push(rest as BytePath);
  return pieces;
}
