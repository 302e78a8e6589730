/**
 * Finds out by itself what became of the shards that this node keeps: reads every byte again within a bound of time,
 * compares it with the root it promised, and takes what is bad out of service.
 *
 * Invariant: a shard that is bad is a result, never a failure, and is set aside, never deleted first; and a disk that
 * is not there is told apart from shards that are bad, so that pulling a cable never condemns what is on the disk.
 * It does not ask other peers and repairs nothing: what it set aside is the queue of those who do.
 */
export { type BadKind, checkShard, type Verdict } from "./check-shard.ts";
export { DISK_SHARE_DEFAULT, PERIOD_DEFAULT_MS } from "./pace.ts";
export { Scrubber, type ScrubInit, type ScrubReport, type ScrubStatus } from "./scrubber.ts";
export { StoreWatch, type WatchState } from "./store-watch.ts";
