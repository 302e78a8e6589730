import { createHash } from "node:crypto";
import { utf8 } from "../base/bytes.ts";
import { isFault } from "../base/fault.ts";
import { hasHomeMarker } from "../base/home-marker.ts";
import { type BytePath, joinPath, pathBytes } from "../base/paths.ts";
import type { DirectoryEntry, FileStat, FileTree, WatchScope } from "../ports/index.ts";

type Tree = Pick<FileTree, "lstat" | "list" | "isHome">;

/** Beyond it a walk goes in circles: bind mounts. */
const DEPTH_MAX = 2048;

/**
 * One hash over the names, sizes and times of everything in scope: another one means that something changed. The change
 * time of a file moves on with contents, names and attributes alike, and no program can set it.
 */
export async function rescan(tree: Tree, scope: WatchScope, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const add = (path: BytePath, stat: FileStat | undefined, errno = ""): void => {
    hash.update(pathBytes(path));
    if (stat === undefined) hash.update(utf8(`\0${errno}\0`));
    else
      hash.update(
        utf8(`\0${stat.type} ${stat.inode} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs} ${stat.mode}\0`),
      );
  };
  const walk = async (directory: BytePath, device: bigint, depth: number): Promise<void> => {
    signal.throwIfAborted();
    if (depth > DEPTH_MAX) return;
    for (const { name, stat, errno } of await entriesOf(tree, directory)) {
      const path = joinPath(directory, name);
      if (scope.leavesOut(path)) continue;
      add(path, stat, errno);
      if (stat?.type !== "directory") continue;
      if (!scope.oneFileSystem || stat.device === device) await walk(path, stat.device, depth + 1);
    }
  };
  for (const root of scope.paths) {
    const stat = await statOf(tree, root);
    add(root, stat, "absent");
    if (stat?.type === "directory") await walk(root, stat.device, 0);
  }
  return hash.digest("hex");
}

/** Of a home of cairn none: no snapshot has them either. */
async function entriesOf(tree: Tree, directory: BytePath): Promise<readonly DirectoryEntry[]> {
  try {
    const entries = await tree.list(directory);
    return hasHomeMarker(entries) && (await tree.isHome(directory)) ? [] : entries;
  } catch (error) {
    if (!isFault(error, "SOURCE_UNREADABLE", "SOURCE_MISSING")) throw error;
    return [];
  }
}

async function statOf(tree: Tree, path: BytePath): Promise<FileStat | undefined> {
  try {
    return await tree.lstat(path);
  } catch (error) {
    if (!isFault(error, "SOURCE_UNREADABLE", "SOURCE_MISSING")) throw error;
    return undefined;
  }
}
