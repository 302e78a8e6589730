import { must } from "../base/assert.ts";
import { equalBytes, toHex, utf8 } from "../base/bytes.ts";
import { KeyedMutex } from "../base/concurrency.ts";
import { type BytePath, bytePathOf, joinPath, parentPath, pathBytes } from "../base/paths.ts";
import type { ContentPiece } from "../catalog/index.ts";
import { hmacSha256, sha256 } from "../crypto/hash.ts";
import type { FileMetadata, FileTarget, TargetPart } from "../ports/index.ts";
import type { RestoreReport } from "./report.ts";
import type { SelectedEntry } from "./selection.ts";

/** A file that waits for its chunks. */
export interface PlannedFile {
  readonly selected: SelectedEntry;
  readonly pieces: readonly ContentPiece[];
  readonly metadata: FileMetadata;
}

export interface FileWriterComponents {
  readonly target: FileTarget;
  readonly report: RestoreReport;
}

export interface FileWriterInit {
  readonly chunkIdKey: Uint8Array;
  /** Different for each snapshot: parts of another one are not taken for this one's. */
  readonly partTag: Uint8Array;
  readonly privileged: boolean;
}

/** Parts kept open at the same time. */
const OPEN_PARTS_MAX = 64;

interface Writing {
  readonly file: PlannedFile;
  /** Chunks that are still missing, by position. */
  missing: number;
}

/**
 * Writes files from chunks that come in any order. One chunk and it is written and renamed at once; more, and they
 * gather in a part file beside it, which takes its name when it is complete. A part of an earlier run is used as far as
 * its bytes hash to what they should be.
 */
export class FileWriter {
  readonly #c: FileWriterComponents;
  readonly #init: FileWriterInit;
  readonly #writing = new Map<PlannedFile, Writing>();
  readonly #parts = new Map<PlannedFile, TargetPart>();
  /** Files that are written to this moment: their parts stay open. */
  readonly #busy = new Set<PlannedFile>();
  readonly #one = new KeyedMutex();

  constructor(components: FileWriterComponents, init: FileWriterInit) {
    this.#c = components;
    this.#init = init;
  }

  /** Takes a file on; returns the positions of the pieces that have to be fetched. */
  async begin(file: PlannedFile): Promise<number[]> {
    const chunks = file.pieces.flatMap((piece, position) => (piece.kind === "chunk" ? [position] : []));
    if (chunks.length === 0) {
      await this.#writeEmpty(file);
      return [];
    }
    if (file.pieces.length === 1) {
      this.#writing.set(file, { file, missing: 1 });
      return chunks;
    }
    const missing = await this.#missingFromPart(file, chunks);
    this.#writing.set(file, { file, missing: missing.length });
    if (missing.length === 0) await this.#commit(file);
    return missing;
  }

  /** One piece of one file, checked by the caller. */
  async write(file: PlannedFile, position: number, bytes: Uint8Array): Promise<void> {
    const { selected, metadata, pieces } = file;
    if (!this.#writing.has(file)) return; // given up meanwhile
    if (pieces.length === 1) {
      const problems = await this.#c.target.writeFile(selected.to, bytes, metadata);
      this.#done(file, problems);
      return;
    }
    await this.#one.run(selected.to, async () => {
      if (!this.#writing.has(file)) return;
      this.#busy.add(file);
      try {
        await (await this.#part(file)).write(offsetOf(pieces, position), bytes);
      } finally {
        this.#busy.delete(file);
      }
      const writing = must(this.#writing.get(file), "file that is being written");
      writing.missing--;
      if (writing.missing === 0) await this.#commit(file);
    });
  }

  /** Gives a file up, which the caller reports; `false` when it was given up, or finished, before. */
  async abandon(file: PlannedFile): Promise<boolean> {
    return this.#one.run(file.selected.to, async () => {
      if (!this.#writing.delete(file)) return false;
      if (file.pieces.length === 1) return true;
      await this.#closePart(file);
      await this.#c.target.remove(this.#partPath(file));
      return true;
    });
  }

  /** After a failure: no part of ours stays behind. */
  async abandonAll(): Promise<void> {
    for (const file of [...this.#writing.keys()]) await this.abandon(file);
  }

  async #writeEmpty(file: PlannedFile): Promise<void> {
    const { selected, metadata } = file;
    if (selected.entry.size === 0) {
      this.#done(file, await this.#c.target.writeFile(selected.to, new Uint8Array(0), metadata));
      return;
    }
    this.#writing.set(file, { file, missing: 0 });
    await this.#part(file);
    await this.#commit(file);
  }

  async #commit(file: PlannedFile): Promise<void> {
    const { selected, metadata } = file;
    await this.#closePart(file);
    const problems = await this.#c.target.commitPart(
      this.#partPath(file),
      selected.to,
      selected.entry.size,
      metadata,
    );
    this.#done(file, problems);
  }

  #done(file: PlannedFile, problems: Awaited<ReturnType<FileTarget["writeFile"]>>): void {
    const { report } = this.#c;
    this.#writing.delete(file);
    report.files++;
    report.bytes += file.selected.entry.size;
    report.metadata(file.selected.path, problems, this.#init.privileged);
  }

  /** Positions of chunks that an earlier run has not written, or not rightly. */
  async #missingFromPart(file: PlannedFile, chunks: readonly number[]): Promise<number[]> {
    const part = await this.#part(file);
    if (part.size === 0) return [...chunks];
    const missing: number[] = [];
    for (const position of chunks) if (!(await this.#isWritten(part, file, position))) missing.push(position);
    return missing;
  }

  async #isWritten(part: TargetPart, file: PlannedFile, position: number): Promise<boolean> {
    const piece = file.pieces[position];
    if (piece?.kind !== "chunk") return true;
    const offset = offsetOf(file.pieces, position);
    if (offset + piece.rawBytes > part.size) return false;
    const bytes = new Uint8Array(piece.rawBytes);
    if ((await part.read(offset, bytes)) !== bytes.length) return false;
    return equalBytes(hmacSha256(this.#init.chunkIdKey, bytes), piece.id);
  }

  async #part(file: PlannedFile): Promise<TargetPart> {
    const open = this.#parts.get(file);
    if (open !== undefined) return open;
    const oldest = [...this.#parts.keys()].find((other) => !this.#busy.has(other));
    if (this.#parts.size >= OPEN_PARTS_MAX && oldest !== undefined) await this.#closePart(oldest);
    const part = await this.#c.target.openPart(this.#partPath(file));
    this.#parts.set(file, part);
    return part;
  }

  async #closePart(file: PlannedFile): Promise<void> {
    const part = this.#parts.get(file);
    this.#parts.delete(file);
    await part?.close();
  }

  /** Beside the file, so that the rename stays within one file system. */
  #partPath(file: PlannedFile): BytePath {
    const { to } = file.selected;
    const name = bytePathOf(
      `.cairn-part-${toHex(sha256(utf8("part"), this.#init.partTag, pathBytes(to))).slice(0, 32)}`,
    );
    return to.includes("/") ? joinPath(parentPath(to), name) : name;
  }
}

const offsets = new WeakMap<readonly ContentPiece[], readonly number[]>();

function offsetOf(pieces: readonly ContentPiece[], position: number): number {
  let known = offsets.get(pieces);
  if (known === undefined) {
    let at = 0;
    known = pieces.map((piece) => {
      const here = at;
      at += piece.kind === "hole" ? piece.bytes : piece.rawBytes;
      return here;
    });
    offsets.set(pieces, known);
  }
  return must(known[position], "offset of a piece");
}
