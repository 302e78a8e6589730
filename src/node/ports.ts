import type { Log } from "../base/log.ts";
import type { BytePath } from "../base/paths.ts";
import { DEFAULT_CHUNK_SIZES } from "../chunking/index.ts";
import type {
  ChunkSizes,
  Clock,
  Compute,
  Directory,
  FileTarget,
  FileTree,
  MetaStore,
  Network,
  Rng,
  ShardStore,
  Spool,
} from "../ports/index.ts";
import { DEFAULT_SEGMENT_SIZES, type SegmentSizes } from "../segments/index.ts";

/** Everything outside the core, made real by the daemon and virtual by the simulator. */
export interface NodePorts {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly network: Network;
  readonly directory: Directory;
  /** One database; each part of the node has a namespace of its own in it. */
  readonly meta: MetaStore;
  readonly shards: ShardStore;
  readonly spool: Spool;
  readonly compute: Compute;
  readonly tree: FileTree;
  /** Opens a directory to restore into; made if it is not there. */
  readonly openTarget: (directory: BytePath) => Promise<FileTarget>;
  readonly log: Log;
}

/** Sizes of the repository's format: smaller in tests and the simulator. */
export interface RepositorySizes {
  readonly chunks: ChunkSizes;
  readonly segments: SegmentSizes;
}

export const DEFAULT_SIZES: RepositorySizes = {
  chunks: DEFAULT_CHUNK_SIZES,
  segments: DEFAULT_SEGMENT_SIZES,
};

/** Namespaces of the node's database. */
export const NAMESPACE = {
  membership: Uint8Array.of(0x4d), // M
  kept: Uint8Array.of(0x4b), // K
  shards: Uint8Array.of(0x53), // S
  catalog: Uint8Array.of(0x43), // C
  told: Uint8Array.of(0x54), // T
  scrub: Uint8Array.of(0x56), // V
  audit: Uint8Array.of(0x41), // A
  lost: Uint8Array.of(0x4c), // L
  presence: Uint8Array.of(0x50), // P
  repairs: Uint8Array.of(0x52), // R
  rows: Uint8Array.of(0x57), // W
  schedule: Uint8Array.of(0x4a), // J
  promises: Uint8Array.of(0x46), // F
  collection: Uint8Array.of(0x47), // G
  locks: Uint8Array.of(0x48), // H
  tidying: Uint8Array.of(0x59), // Y
} as const;
