import { type BytePath, joinPath } from "../../base/paths.ts";
import { EISDIR, ENOENT } from "./errno.ts";
import { AT_REMOVEDIR, libc } from "./libc.ts";
import { openDirectory, readNames } from "./listing.ts";
import { statAt, statOf } from "./stat.ts";
import type { TargetRoot } from "./target-root.ts";
import { turnIfDue } from "./turn.ts";

const REMOVALS_PER_CHECK = 64;

/** What is not there is removed already. */
export async function removeBelow(root: TargetRoot, path: BytePath, recursive: boolean): Promise<void> {
  const found = root.ifParent(path, statAt, () => -ENOENT);
  if (typeof found === "number") {
    if (found === -ENOENT) return;
    throw root.fault(path, found);
  }
  if (found.type !== "directory") return unlink(root, path, 0);
  if (!recursive) throw root.fault(path, -EISDIR);
  // Of the parent: what is itself a mount point is not emptied either.
  const parent = root.within(path, (dir) => statOf(dir));
  if (typeof parent === "number") throw root.fault(path, parent);
  await removeTree(root, path, parent.device);
}

function unlink(root: TargetRoot, path: BytePath, flags: number): void {
  const result = root.ifParent(
    path,
    (dir, name) => libc().unlinkat(dir, name, flags),
    () => -ENOENT,
  );
  if (result < 0 && result !== -ENOENT) throw root.fault(path, result);
}

/** Files first, all the way down, then the directories from the deepest up. Stops at another file system. */
async function removeTree(root: TargetRoot, top: BytePath, device: bigint): Promise<void> {
  const directories: BytePath[] = [top];
  // Grows while it is walked: each directory appends those that it contains.
  for (const directory of directories) {
    directories.push(...(await emptyDirectory(root, directory, device)));
  }
  for (const directory of directories.reverse()) {
    unlink(root, directory, AT_REMOVEDIR);
    await turnIfDue();
  }
}

/** Removes what is in it and is no directory; the directories in it. */
async function emptyDirectory(root: TargetRoot, path: BytePath, device: bigint): Promise<BytePath[]> {
  const fd = root.within(path, openDirectory);
  if (fd < 0) {
    if (fd === -ENOENT) return [];
    throw root.fault(path, fd);
  }
  try {
    const self = statOf(fd);
    if (typeof self === "number") throw root.fault(path, self);
    if (self.device !== device) throw root.unsafe(path, "another file system is mounted there");
    const names = await readNames(fd);
    if (typeof names === "number") throw root.fault(path, names);
    const inside: BytePath[] = [];
    let untilCheck = REMOVALS_PER_CHECK;
    for (const { name } of names) {
      const child = joinPath(path, name);
      const result = libc().unlinkat(fd, name, 0);
      if (result === -EISDIR) inside.push(child);
      else if (result < 0 && result !== -ENOENT) throw root.fault(child, result);
      if (--untilCheck === 0) {
        untilCheck = REMOVALS_PER_CHECK;
        await turnIfDue();
      }
    }
    return inside;
  } finally {
    libc().close(fd);
  }
}
