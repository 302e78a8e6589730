/**
 * What this node keeps, on its own disk: MetaStore over LevelDB, ShardStore over one file per shard and an
 * index, Spool over files.
 *
 * Invariant: what a promise has confirmed survives a loss of power. The order is contents, name, index entry,
 * each synced before the next begins; one sync serves all who wait for it. A full disk is refused before a byte
 * is written, and met all the same it loses nothing and heals when there is room.
 *
 * It does not check contents (readers compare hashes), decide what may be replaced or dropped, or lock the
 * home against a second process.
 */
export { errnoOf } from "./disk-faults.ts";
export { type FileOps, type NewFile, nodeFileOps } from "./file-ops.ts";
export { type FileShardStore, type FileShardStoreInit, openFileShardStore } from "./file-shard-store.ts";
export { type FileSpoolInit, openFileSpool } from "./file-spool.ts";
export { openLevelMetaStore } from "./level-meta-store.ts";
export type { RecoveryReport } from "./shard-recovery.ts";
export type { SpaceReserve } from "./shard-space.ts";
