import { assert } from "../base/assert.ts";
import { letGo } from "../base/bytes.ts";
import { isFault } from "../base/fault.ts";
import { MIB } from "../base/units.ts";
import { type Chunker, createChunker } from "../chunking/index.ts";
import type { IngestJob, IngestKeys, IngestPiece, IngestResult } from "../ports/compute.ts";
import type { FileOpener, FileStat, OpenFile } from "../ports/file-tree.ts";
import { prepareChunk } from "./prepare.ts";

/** How much of a file one job reads: more than the longest chunk, little enough to hold several. */
export const WINDOW_BYTES = 6 * MIB;

/** A file of alternating blocks and holes would otherwise make thousands of pieces of one window. */
const WINDOW_PIECES_MAX = 1024;

/** What `blocks` of a stat counts, whatever the file system's own block size. */
const STAT_BLOCK_BYTES = 512;

/**
 * Reads a window of each file, cuts it into chunks, names and compresses them. What goes wrong with one file is
 * in its result. The file is taken to end where `expected.size` says, so that one that grows all the time ends
 * too; one that has shrunk ends earlier.
 */
export function ingestFiles(
  jobs: readonly IngestJob[],
  keys: IngestKeys,
  opener: FileOpener,
): IngestResult[] {
  const chunker = createChunker(keys.gearKey, keys.sizes);
  assert(keys.sizes.maxBytes <= WINDOW_BYTES, "a window holds the longest chunk");
  const longest = jobs.reduce((bytes, job) => Math.max(bytes, job.expected.size - job.offset), 0);
  // Every chunk leaves this buffer compressed or copied, so one serves all files of the call.
  const scratch = new Uint8Array(Math.min(longest, WINDOW_BYTES));
  try {
    return jobs.map((job) => ingestFile(job, { chunker, keys, scratch }, opener));
  } finally {
    letGo(scratch);
  }
}

interface Tools {
  readonly chunker: Chunker;
  readonly keys: IngestKeys;
  readonly scratch: Uint8Array;
}

function ingestFile(job: IngestJob, tools: Tools, opener: FileOpener): IngestResult {
  try {
    const file = opener.open(job.path);
    try {
      return ingestOpenFile(file, job, tools);
    } finally {
      file.close();
    }
  } catch (error) {
    return { ...NOTHING, errno: errnoOf(error) };
  }
}

const NOTHING: IngestResult = { pieces: [], nextOffset: undefined, bytesRead: 0 };

function ingestOpenFile(file: OpenFile, job: IngestJob, tools: Tools): IngestResult {
  const before = file.stat();
  if (before.type !== "file") return { ...NOTHING, changedTo: before };
  // A file that is no longer the expected one is read all the same: one that changes all the time, such as a
  // log, could not be saved at all otherwise. The caller decides whether to try again or to keep what it got.
  const window = readWindow(file, job, before, tools);
  const after = file.stat();
  const changed = !isSameFile(before, job.expected) || !isSameFile(after, job.expected);
  return changed ? { ...window, changedTo: after } : window;
}

function readWindow(file: OpenFile, job: IngestJob, stat: FileStat, tools: Tools): IngestResult {
  const pieces: IngestPiece[] = [];
  const endOfFile = Math.min(job.expected.size, stat.size);
  const sparse = isSparse(stat);
  let at = job.offset;
  let bytesRead = 0;
  let roomBytes = tools.scratch.length;
  while (at < endOfFile && pieces.length < WINDOW_PIECES_MAX) {
    const extent = sparse ? nextExtent(file, at, endOfFile) : { from: at, to: endOfFile };
    if (extent.from > at) pieces.push({ kind: "hole", bytes: extent.from - at });
    at = extent.from;
    if (at === endOfFile) break;

    const wantedBytes = Math.min(extent.to - at, roomBytes);
    const bytes = tools.scratch.subarray(0, file.read(at, tools.scratch.subarray(0, wantedBytes)));
    const shrunk = bytes.length < wantedBytes;
    const chunks = cutChunks(bytes, shrunk || at + bytes.length === extent.to, tools);
    const cutBytes = chunks.reduce((sum, chunk) => sum + chunk.rawBytes, 0);
    pieces.push(...chunks);
    at += cutBytes;
    bytesRead += cutBytes;
    if (shrunk) return { pieces, nextOffset: undefined, bytesRead };
    // What is left of an incomplete chunk is read again with the next window.
    if (at < extent.to) break;
    roomBytes -= bytes.length;
    if (roomBytes === 0) break;
  }
  if (at >= endOfFile) return { pieces, nextOffset: undefined, bytesRead };
  assert(at > job.offset, "a window holds at least one whole chunk");
  return { pieces, nextOffset: at, bytesRead };
}

/** The next run of data at or after `at`; empty and at the end of the file when only a hole follows. */
function nextExtent(file: OpenFile, at: number, endOfFile: number): { from: number; to: number } {
  const data = file.nextData(at);
  if (data === undefined || data >= endOfFile) return { from: endOfFile, to: endOfFile };
  const hole = file.nextHole(data);
  // Not beyond `data` only if a hole was made there this moment: its zeros are as good as any other bytes.
  return { from: data, to: hole > data ? Math.min(hole, endOfFile) : endOfFile };
}

type ChunkPiece = Extract<IngestPiece, { kind: "chunk" }>;

/** `final`: a chunk ends where the bytes do, because the file does or a hole follows. */
function cutChunks(bytes: Uint8Array, final: boolean, { chunker, keys }: Tools): ChunkPiece[] {
  const chunks: ChunkPiece[] = [];
  for (let from = 0; from < bytes.length; ) {
    const to = chunker.nextCut(bytes, from, bytes.length, final);
    if (to === undefined) break;
    assert(to > from, "a chunk is not empty");
    chunks.push({ kind: "chunk", ...prepareChunk(bytes.subarray(from, to), keys.chunkIdKey) });
    from = to;
  }
  return chunks;
}

/** Fewer blocks than bytes: a hole, or a file system that compresses, where asking costs next to nothing. */
function isSparse(stat: FileStat): boolean {
  return stat.blocks * STAT_BLOCK_BYTES < stat.size;
}

/** All that changes when contents do; access time and link count are not looked at. */
function isSameFile(a: FileStat, b: FileStat): boolean {
  return (
    a.type === b.type &&
    a.size === b.size &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeNs === b.ctimeNs &&
    a.inode === b.inode &&
    a.device === b.device
  );
}

/** The errno of a file system's refusal. Whatever is not one is a bug, and is thrown on. */
function errnoOf(error: unknown): string {
  if (isFault(error, "SOURCE_MISSING")) return "ENOENT";
  if (isFault(error, "SOURCE_UNREADABLE")) return error.detail.errno;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (typeof code === "string" && /^E[A-Z0-9]+$/.test(code)) return code;
  throw error;
}
