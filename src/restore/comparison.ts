import type { BytePath } from "../base/paths.ts";
import type { TreeEntry } from "../catalog/index.ts";
import type { FileMetadata, FileStat, FileTarget } from "../ports/index.ts";
import type { SelectedEntry } from "./selection.ts";

export function metadataOf(entry: TreeEntry): FileMetadata {
  const { mode, uid, gid, mtimeNs, xattrs } = entry;
  return { mode, uid, gid, mtimeNs, xattrs };
}

/** By type, time and size, as for a snapshot: what is inside is not read. */
export async function isSame(
  target: FileTarget,
  { entry, to }: SelectedEntry,
  there: FileStat,
): Promise<boolean> {
  if (entry.type !== there.type || entry.mtimeNs !== there.mtimeNs) return false;
  if (entry.type === "symlink") return (await target.readlink(to)) === entry.target;
  if (entry.type === "file") return entry.size === there.size;
  return (entry.major ?? 0) === there.major && (entry.minor ?? 0) === there.minor;
}

/** The time aside, which `isSame` compares. */
export async function hasMetadata(
  target: FileTarget,
  to: BytePath,
  there: FileStat,
  wanted: FileMetadata,
): Promise<boolean> {
  if (there.mode !== wanted.mode || there.uid !== wanted.uid || there.gid !== wanted.gid) return false;
  const xattrs = await target.xattrs(to);
  return (
    xattrs.length === wanted.xattrs.length &&
    xattrs.every((xattr, i) => {
      const other = wanted.xattrs[i];
      return (
        other !== undefined && xattr.name === other.name && Buffer.compare(xattr.value, other.value) === 0
      );
    })
  );
}
