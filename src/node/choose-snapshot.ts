import { Fault } from "../base/fault.ts";
import { type BytePath, bytePath } from "../base/paths.ts";
import { Catalog, type SnapshotEntry } from "../catalog/index.ts";

/** Which snapshot is meant. */
export interface SnapshotChoice {
  /** An id, a unique beginning of one, or `latest`. */
  readonly snapshot: string;
  readonly tags?: readonly string[];
  readonly paths?: readonly BytePath[];
  /** `latest` is then the newest that was made at this time or before. */
  readonly atMs?: number | undefined;
}

/** Those that have all of these tags and paths. */
export function narrowSnapshots(
  entries: readonly SnapshotEntry[],
  tags: readonly string[] = [],
  paths: readonly BytePath[] = [],
): SnapshotEntry[] {
  return entries.filter(
    (entry) =>
      tags.every((tag) => entry.tags.includes(tag)) &&
      paths.every((path) => entry.paths.some((saved) => bytePath(saved) === path)),
  );
}

/** `entries` in the order of their sequence numbers. Throws SNAPSHOT_UNKNOWN, SNAPSHOT_AMBIGUOUS. */
export function chooseSnapshot(entries: readonly SnapshotEntry[], choice: SnapshotChoice): SnapshotEntry {
  const { snapshot, tags, paths, atMs } = choice;
  const among = narrowSnapshots(entries, tags, paths);
  if (atMs === undefined || snapshot !== "latest") return Catalog.find(among, snapshot);
  return newestAt(among, atMs);
}

/** By time and not by sequence: a clock that was wrong for a while has put a snapshot where nobody looks for it by date. */
function newestAt(entries: readonly SnapshotEntry[], atMs: number): SnapshotEntry {
  let newest: SnapshotEntry | undefined;
  let oldestMs = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    oldestMs = Math.min(oldestMs, entry.timeMs);
    if (entry.timeMs <= atMs && (newest === undefined || entry.timeMs >= newest.timeMs)) newest = entry;
  }
  if (newest !== undefined) return newest;
  const oldest = entries.length === 0 ? {} : { oldestMs };
  throw new Fault({ code: "SNAPSHOT_UNKNOWN", asked: "latest", at: { askedMs: atMs, ...oldest } });
}
