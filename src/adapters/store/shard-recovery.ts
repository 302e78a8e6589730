import { join } from "node:path";
import type { ShardId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import type { MetaStore } from "../../ports/meta-store.ts";
import type { FileOps } from "./file-ops.ts";
import {
  decodeEntry,
  decodeQuarantine,
  decodeTrailer,
  ENTRY_RANGE,
  encodeEntry,
  entryKey,
  entryOf,
  FOOTER_BYTES,
  generationFloor,
  idOfKey,
  QUARANTINE_RANGE,
  quarantineOf,
  type ShardEntry,
  TOMBSTONE_RANGE,
  tombstoneKey,
  trailerBytes,
} from "./shard-codec.ts";
import {
  type ParsedShardFile,
  parseShardFile,
  QUARANTINE_DIRECTORY,
  sameVersion,
  shardFileName,
  versionKey,
} from "./shard-layout.ts";
import type { ShardQuarantine } from "./shard-quarantine.ts";
import { costOf, quarantineCost } from "./shard-space.ts";

export interface RecoveryReport {
  readonly scannedFiles: number;
  readonly kept: number;
  /** Whole files that the index did not know, now in it. */
  readonly adopted: number;
  /** Temporary, superseded and deleted files. */
  readonly removed: number;
  /** Taken out of service, and not moved away before the crash: now they are. */
  readonly quarantined: number;
  /** Without a sound trailer, and not in the index: left where they are. */
  readonly unusable: number;
  /** Names that are not ours: left where they are. */
  readonly foreign: number;
}

export interface RecoveryParts {
  readonly directory: string;
  readonly files: FileOps;
  readonly index: MetaStore;
  readonly log: Log;
  /** Names being written by this process: theirs is decided by the put. */
  readonly inFlight: ReadonlySet<string>;
  /** Runs alone among the operations of this shard. */
  readonly exclusive: <T>(id: ShardId, task: () => Promise<T>) => Promise<T>;
  readonly syncDirectoryOf: (id: ShardId) => Promise<void>;
  readonly quarantine: Pick<ShardQuarantine, "setAside" | "settleFile">;
  /** What the indexed shards cost has changed by so much. */
  readonly onChange: (costDifference: number) => void;
  readonly stopped: () => boolean;
}

/** What all shards in the index cost on disk, those kept aside included; and how many are held. */
export async function indexedCost(index: MetaStore): Promise<{ cost: number; shards: number }> {
  let cost = 0;
  let shards = 0;
  for await (const [, value] of index.scan(ENTRY_RANGE)) {
    cost += costOf(decodeEntry(value));
    shards++;
  }
  for await (const [, value] of index.scan(QUARANTINE_RANGE)) cost += quarantineCost(decodeQuarantine(value));
  return { cost, shards };
}

/**
 * Makes files and index agree after a crash, or after the index was lost or is older than the files. Of the
 * files of one shard the one with the highest generation holds, the index being one more witness; a file with a
 * higher one than the index knows is whole (it got its name after its contents were synced) and is adopted. An
 * index entry without a file stays: that shard is damaged, which scrub finds and repair mends.
 * One directory entry is in memory at a time.
 */
export async function recoverShards(parts: RecoveryParts): Promise<RecoveryReport> {
  const report = {
    scannedFiles: 0,
    kept: 0,
    adopted: 0,
    removed: 0,
    quarantined: 0,
    unusable: 0,
    foreign: 0,
  };
  // Taken before the walk: a deletion that begins later makes and clears its own.
  const tombstones: Uint8Array[] = [];
  for await (const [key] of parts.index.scan(TOMBSTONE_RANGE)) tombstones.push(key);
  for await (const { directory, name, file } of walk(parts.directory, parts.files)) {
    if (parts.stopped()) return report;
    report.scannedFiles++;
    if (file === undefined) report.foreign++;
    else report[await parts.exclusive(file.id, () => settleFile(parts, directory, name, file))]++;
  }
  for await (const { file } of walk(join(parts.directory, QUARANTINE_DIRECTORY), parts.files)) {
    if (parts.stopped()) return report;
    if (file !== undefined)
      parts.onChange(await parts.exclusive(file.id, () => parts.quarantine.settleFile(file)));
  }
  for (const key of tombstones) await clearTombstone(parts, idOfKey(key));
  if (report.kept + report.foreign < report.scannedFiles) parts.log.info("shards.recovered", { ...report });
  return report;
}

async function* walk(root: string, files: FileOps) {
  for await (const owner of files.list(root)) {
    if (!owner.directory || owner.name === QUARANTINE_DIRECTORY) continue;
    for await (const incarnation of files.list(join(root, owner.name))) {
      if (!incarnation.directory) continue;
      for await (const group of files.list(join(root, owner.name, incarnation.name))) {
        if (!group.directory) continue;
        const directory = join(root, owner.name, incarnation.name, group.name);
        for await (const { name } of files.list(directory)) {
          const file = parseShardFile([owner.name, incarnation.name, group.name], name);
          yield { directory, name, file };
        }
      }
    }
  }
}

type Settled = "kept" | "adopted" | "removed" | "quarantined" | "unusable";

async function settleFile(
  parts: RecoveryParts,
  directory: string,
  name: string,
  { id, version, temporary }: ParsedShardFile,
): Promise<Settled> {
  if (parts.inFlight.has(versionKey(id, version))) return "kept";
  const path = join(directory, name);
  const entry = entryOf(parts.index, id);
  if (!temporary && entry !== undefined && sameVersion(entry.version, version)) return "kept";
  const aside = quarantineOf(parts.index, id);
  if (!temporary && aside !== undefined && sameVersion(aside.version, version)) {
    await parts.quarantine.setAside(id, aside, undefined);
    return "quarantined";
  }
  if (temporary || version.generation <= generationFloor(parts.index, id)) {
    await parts.files.remove(path);
    return "removed";
  }
  const found = await readTrailer(parts.files, path, id);
  if (found === undefined || found.generation !== version.generation) {
    parts.log.warn("shards.unusable", { path });
    return "unusable";
  }
  const adopted: ShardEntry = { version, bytes: found.bytes, note: found.note };
  await parts.index.write(
    [
      { type: "put", key: entryKey(id), value: encodeEntry(adopted) },
      { type: "delete", key: tombstoneKey(id) },
    ],
    { sync: true },
  );
  parts.onChange(costOf(adopted) - (entry === undefined ? 0 : costOf(entry)));
  if (entry !== undefined) await parts.files.remove(join(directory, shardFileName(id, entry.version)));
  return "adopted";
}

async function readTrailer(files: FileOps, path: string, id: ShardId) {
  const fileBytes = await files.size(path);
  if (fileBytes === undefined || fileBytes < FOOTER_BYTES) return undefined;
  const footer = await files.read(path, fileBytes - FOOTER_BYTES, FOOTER_BYTES);
  const bytes = footer === undefined ? undefined : trailerBytes(footer, fileBytes);
  if (bytes === undefined) return undefined;
  const trailer = await files.read(path, fileBytes - bytes, bytes);
  return trailer === undefined ? undefined : decodeTrailer(trailer, id);
}

/** All files up to its generation are gone: once that is on disk, nothing needs the mark any more. */
async function clearTombstone(parts: RecoveryParts, id: ShardId): Promise<void> {
  await parts.exclusive(id, async () => {
    if (parts.index.get(tombstoneKey(id)) === undefined) return;
    await parts.syncDirectoryOf(id);
    await parts.index.write([{ type: "delete", key: tombstoneKey(id) }], { sync: false });
  });
}
