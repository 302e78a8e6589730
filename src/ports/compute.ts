import type { BytePath } from "../base/paths.ts";
import type { FileStat } from "./file-tree.ts";

/** Sizes of content-defined chunks: a field of the repository's format, smaller in tests and the simulator. */
export interface ChunkSizes {
  readonly minBytes: number;
  readonly averageBytes: number;
  readonly maxBytes: number;
}

/** Keys that cutting and naming chunks needs; see src/crypto/keys.ts. */
export interface IngestKeys {
  readonly chunkIdKey: Uint8Array;
  readonly gearKey: Uint8Array;
  readonly sizes: ChunkSizes;
}

export interface IngestJob {
  readonly path: BytePath;
  /** The lstat that the walk saw: the file is read only as long as it stays the same. */
  readonly expected: FileStat;
  /** Where a chunk begins; 0 for a new file. */
  readonly offset: number;
}

/** A chunk as it goes into a segment. */
export interface PreparedChunk {
  /** HMAC of the plaintext, 32 bytes. */
  readonly id: Uint8Array;
  readonly rawBytes: number;
  /** zstd of the plaintext, or the plaintext itself where that is not smaller. */
  readonly stored: Uint8Array;
  readonly compressed: boolean;
}

export type IngestPiece =
  | ({ readonly kind: "chunk" } & PreparedChunk)
  | { readonly kind: "hole"; readonly bytes: number };

export interface IngestResult {
  readonly pieces: readonly IngestPiece[];
  /** Where the next window begins, or `undefined` at the end of the file. */
  readonly nextOffset: number | undefined;
  readonly bytesRead: number;
  /** Set when the file was not, or did not stay, what `expected` says: size, times, inode. The stat seen last. */
  readonly changedTo?: FileStat;
  /** Set when it could not be opened or read; then there are no pieces. */
  readonly errno?: string;
}

export interface SealJob {
  readonly owner: Uint8Array;
  readonly incarnation: Uint8Array;
  readonly segment: number;
  readonly dataKey: Uint8Array;
  readonly saltKey: Uint8Array;
  /** 32 fresh random bytes. */
  readonly random: Uint8Array;
  /** Chunks in their order, as the segment builder collected them. */
  readonly chunks: readonly PreparedChunk[];
  /** Size of the sealed segment, padding included. */
  readonly segmentBytes: number;
  readonly dataShards: number;
  readonly parityShards: number;
  readonly leafBytes: number;
}

export interface SealedSegment {
  readonly shards: readonly Uint8Array[];
  /** Shard roots, 32 bytes each. */
  readonly roots: readonly Uint8Array[];
  readonly shardBytes: number;
  readonly segmentBytes: number;
}

/** Rebuild any shards of a segment from any k others. */
export interface RebuildJob {
  readonly dataShards: number;
  readonly parityShards: number;
  /** At least `dataShards` of them, equally long: whole shards, or the same range of each. */
  readonly have: readonly { readonly index: number; readonly bytes: Uint8Array }[];
  readonly want: readonly number[];
}

export interface RootJob {
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly leafBytes: number;
}

export interface FrameJob {
  readonly frame: number;
  /** The frame's ciphertext with its tag. */
  readonly sealed: Uint8Array;
  readonly id: Uint8Array;
  readonly rawBytes: number;
  readonly compressed: boolean;
}

export interface OpenJob {
  readonly owner: Uint8Array;
  readonly incarnation: Uint8Array;
  readonly segment: number;
  readonly dataKey: Uint8Array;
  readonly chunkIdKey: Uint8Array;
  /** The segment's fixed-size header: salt and key commitment. */
  readonly header: Uint8Array;
  readonly frames: readonly FrameJob[];
}

/**
 * Work for processors, in worker threads in the daemon and inline in the simulator; the same functions of
 * src/compute either way. At most a bounded number of jobs is under way: further calls wait.
 * Faults: `SEGMENT_UNREADABLE` from `open` when key, frame or chunk id do not check out.
 */
export interface Compute {
  ingest(jobs: readonly IngestJob[], keys: IngestKeys): Promise<IngestResult[]>;
  /** Names and compresses chunks that are in memory already: trees, index pages, stdin. */
  prepare(chunks: readonly Uint8Array[], chunkIdKey: Uint8Array): Promise<PreparedChunk[]>;
  /** Takes the chunks' `stored` bytes over: they may be empty afterwards, also when it fails. */
  seal(job: SealJob): Promise<SealedSegment>;
  rebuild(job: RebuildJob): Promise<Uint8Array[]>;
  /** The Merkle roots of whole shards, to compare with a descriptor. */
  roots(jobs: readonly RootJob[]): Promise<Uint8Array[]>;
  /** Plaintext of each frame, its chunk id checked. */
  open(job: OpenJob): Promise<Uint8Array[]>;
  close(): Promise<void>;
}
