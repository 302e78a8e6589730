import { Fault } from "../base/fault.ts";
import { type BytePath, bytePath, displayPath, isWithin } from "../base/paths.ts";
import { Catalog, type SnapshotEntry } from "../catalog/index.ts";

/** What a snapshot is of: a machine, and a path that it has or that is below one that it has. */
export interface SnapshotSource {
  readonly host: string;
  readonly path?: BytePath | undefined;
}

/** Which snapshots are meant. */
export interface SnapshotNarrowing {
  readonly tags?: readonly string[];
  readonly paths?: readonly BytePath[];
  readonly source?: SnapshotSource | undefined;
}

/** Which snapshot is meant. */
export interface SnapshotChoice extends SnapshotNarrowing {
  /** An id, a unique beginning of one, or `latest`. */
  readonly snapshot: string;
  /** `latest` is then the newest that was made at this time or before. */
  readonly atMs?: number | undefined;
}

/** Those that have all of these tags and paths, and are of this source. */
export function narrowSnapshots(
  entries: readonly SnapshotEntry[],
  { tags = [], paths = [], source }: SnapshotNarrowing,
): SnapshotEntry[] {
  return entries.filter(
    (entry) =>
      tags.every((tag) => entry.tags.includes(tag)) &&
      paths.every((path) => entry.paths.some((saved) => bytePath(saved) === path)) &&
      (source === undefined || isOf(entry, source)),
  );
}

/** Names of machines are the same whatever case they are written in. */
function isOf(entry: SnapshotEntry, { host, path }: SnapshotSource): boolean {
  if (entry.host.toLowerCase() !== host.toLowerCase()) return false;
  return path === undefined || entry.paths.some((saved) => isWithin(path, bytePath(saved)));
}

/** `entries` in the order of their sequence numbers. Throws SNAPSHOT_UNKNOWN, SNAPSHOT_AMBIGUOUS. */
export function chooseSnapshot(entries: readonly SnapshotEntry[], choice: SnapshotChoice): SnapshotEntry {
  const { snapshot, atMs, source } = choice;
  const among = narrowSnapshots(entries, choice);
  if (source !== undefined && among.length === 0) throw noneOf(entries, snapshot, source);
  if (atMs === undefined || snapshot !== "latest") return Catalog.find(among, snapshot);
  return newestAt(among, atMs);
}

/** Somebody who mistyped a name wants to see it. */
const HOSTS_SHOWN = 20;

function noneOf(entries: readonly SnapshotEntry[], asked: string, { host, path }: SnapshotSource): Fault {
  const hosts = [...new Set(entries.map((entry) => entry.host))].sort().slice(0, HOSTS_SHOWN);
  const source = path === undefined ? host : `${host}:${displayPath(path)}`;
  return new Fault({ code: "SNAPSHOT_UNKNOWN", asked, of: { source, hosts } });
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
