import { must } from "../base/assert.ts";
import { concatBytes } from "../base/bytes.ts";
import { type BytePath, splitPath } from "../base/paths.ts";
import type { ContentPiece, TreeEntry } from "../catalog/index.ts";
import { pagesOfTree } from "../catalog/index.ts";
import { createChunker } from "../chunking/index.ts";
import type { Clock, Compute, FileStat, IngestKeys } from "../ports/index.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { type DirectoryRead, entryOf, fileEntry } from "./draft.ts";
import type { CaptureReport } from "./report.ts";

/** Chunks that go to a worker together. */
const BATCH_CHUNKS = 8;
const BATCH_BYTES = 8 * 1024 * 1024;

/** Saves what comes in on a stream as the one file of a snapshot, chunk by chunk, at the pace it can be stored. */
export async function captureStream(
  components: { compute: Pick<Compute, "prepare">; store: ChunkStore; report: CaptureReport; clock: Clock },
  init: { keys: IngestKeys; filename: BytePath; signal: AbortSignal },
  body: AsyncIterable<Uint8Array>,
): Promise<DirectoryRead> {
  const { compute, store, report, clock } = components;
  const pieces: ContentPiece[] = [];
  let batch: Uint8Array[] = [];
  let batchBytes = 0;
  const flush = async (): Promise<void> => {
    for (const chunk of await compute.prepare(batch, init.keys.chunkIdKey)) {
      await store.add(chunk);
      pieces.push({ kind: "chunk", id: chunk.id, rawBytes: chunk.rawBytes });
    }
    batch = [];
    batchBytes = 0;
  };
  for await (const chunk of chunksOf(body, init.keys)) {
    init.signal.throwIfAborted();
    report.bytesRead += chunk.length;
    batch.push(chunk);
    batchBytes += chunk.length;
    if (batch.length >= BATCH_CHUNKS || batchBytes >= BATCH_BYTES) await flush();
  }
  await flush();
  const size = pieces.reduce(
    (sum, piece) => sum + (piece.kind === "chunk" ? piece.rawBytes : piece.bytes),
    0,
  );
  const stat = streamStat("file", size, clock);
  const names = splitPath(init.filename);
  const file = await fileEntry(
    must(names.at(-1), "file name"),
    { pieces, size, stat, changed: false },
    [],
    store,
  );
  report.files = 1;
  report.bytes = size;
  return inDirectories(names.slice(0, -1), file, store, clock);
}

/** The directories of the file's name: made up, with the time of the snapshot. */
async function inDirectories(
  names: readonly BytePath[],
  file: TreeEntry,
  store: ChunkStore,
  clock: Clock,
): Promise<DirectoryRead> {
  let tree = await store.addMetadata(pagesOfTree([file], store.pages));
  for (const name of [...names].reverse()) {
    const entry = { ...entryOf(name, streamStat("directory", 0, clock), []), tree };
    tree = await store.addMetadata(pagesOfTree([entry], store.pages));
  }
  return { tree, files: 1, directories: names.length, bytes: file.size };
}

function streamStat(type: "file" | "directory", size: number, clock: Clock): FileStat {
  const nowNs = BigInt(Math.floor(clock.wallMs())) * 1_000_000n;
  return {
    type,
    mode: type === "file" ? 0o600 : 0o755,
    uid: 0,
    gid: 0,
    size,
    mtimeNs: nowNs,
    ctimeNs: nowNs,
    device: 0n,
    inode: 0n,
    links: 1,
    major: 0,
    minor: 0,
    blocks: 0,
  };
}

/** Cuts a stream as a file of the same bytes would be cut; holds little more than the longest chunk. */
async function* chunksOf(body: AsyncIterable<Uint8Array>, keys: IngestKeys): AsyncGenerator<Uint8Array> {
  const chunker = createChunker(keys.gearKey, keys.sizes);
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  for await (const part of body) {
    waiting.push(part);
    waitingBytes += part.length;
    if (waitingBytes < keys.sizes.maxBytes) continue;
    const bytes = concatBytes(...waiting);
    let from = 0;
    while (bytes.length - from >= keys.sizes.maxBytes) {
      const end = must(chunker.nextCut(bytes, from, bytes.length, false), "end of a chunk in a full window");
      yield bytes.slice(from, end);
      from = end;
    }
    waiting = [bytes.slice(from)];
    waitingBytes = bytes.length - from;
  }
  const rest = concatBytes(...waiting);
  for (let from = 0; from < rest.length; ) {
    const end = must(chunker.nextCut(rest, from, rest.length, true), "end of a last chunk");
    yield rest.slice(from, end);
    from = end;
  }
}
