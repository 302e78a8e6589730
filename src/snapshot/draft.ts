import { assert } from "../base/assert.ts";
import type { BytePath } from "../base/paths.ts";
import {
  encodePieces,
  type FileContent,
  INLINE_PIECES_MAX,
  pagesOfTree,
  type TreeEntry,
} from "../catalog/index.ts";
import type { FileStat, Xattr } from "../ports/index.ts";
import type { ChunkStore } from "./chunk-store.ts";
import type { FileRead } from "./ingester.ts";

/** A directory as far as it has been captured: the pages of its entries. */
export interface DirectoryRead {
  readonly tree: readonly Uint8Array[];
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
}

/** One entry of a directory under way: a file may still be waiting for its bytes. */
export type DraftEntry =
  | { readonly kind: "ready"; readonly name: BytePath; readonly entry: TreeEntry }
  | {
      readonly kind: "directory";
      readonly name: BytePath;
      readonly stat: FileStat;
      readonly draft: DirectoryDraft;
    }
  | { readonly kind: "file"; readonly name: BytePath; entry: TreeEntry | undefined };

/** Reads, or knows from before, the xattrs of a subdirectory. */
export type XattrSource = (path: BytePath, stat: FileStat) => Promise<readonly Xattr[]>;

/**
 * A directory under way. `build` makes its tree from the entries that are ready by then: at the end all of them, for a
 * checkpoint of a long snapshot those that happen to be.
 */
export class DirectoryDraft {
  readonly path: BytePath;
  readonly entries: DraftEntry[] = [];
  /** Set when all is read and the tree is stored. */
  result: DirectoryRead | undefined;

  constructor(path: BytePath) {
    this.path = path;
  }

  async build(store: ChunkStore, xattrs: XattrSource): Promise<DirectoryRead> {
    if (this.result !== undefined) return this.result;
    const entries: TreeEntry[] = [];
    const sum = { files: 0, directories: 0, bytes: 0 };
    for (const draft of [...this.entries].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (draft.kind === "directory") {
        const child = await draft.draft.build(store, xattrs);
        const own = await xattrs(draft.draft.path, draft.stat);
        entries.push({ ...entryOf(draft.name, draft.stat, own), tree: child.tree });
        sum.files += child.files;
        sum.directories += child.directories + 1;
        sum.bytes += child.bytes;
      } else if (draft.entry !== undefined) {
        entries.push(draft.entry);
        sum.files++;
        sum.bytes += draft.entry.size;
      }
    }
    return { tree: await store.addMetadata(pagesOfTree(entries, store.pages)), ...sum };
  }

  /** The tree is stored: entries need no memory any more. */
  settle(result: DirectoryRead): DirectoryRead {
    this.result = result;
    this.entries.length = 0;
    return result;
  }
}

export function entryOf(name: BytePath, stat: FileStat, xattrs: readonly Xattr[]): TreeEntry {
  assert(stat.type !== "socket", "sockets are not saved");
  const isDevice = stat.type === "block-device" || stat.type === "character-device";
  return {
    name,
    type: stat.type,
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    mtimeNs: stat.mtimeNs,
    ctimeNs: stat.ctimeNs,
    inode: stat.inode,
    size: stat.type === "file" ? stat.size : 0,
    xattrs,
    ...(stat.links > 1 && stat.type !== "directory" ? { device: stat.device } : {}),
    ...(isDevice ? { major: stat.major, minor: stat.minor } : {}),
  };
}

/** The entry of a file that was read; long lists of pieces go into chunks of their own. */
export async function fileEntry(
  name: BytePath,
  read: FileRead,
  xattrs: readonly Xattr[],
  store: ChunkStore,
): Promise<TreeEntry> {
  const content = await contentOf(read, store);
  const entry = { ...entryOf(name, read.stat, xattrs), size: read.size, content };
  return read.changed ? { ...entry, changed: true } : entry;
}

async function contentOf(read: FileRead, store: ChunkStore): Promise<FileContent> {
  if (read.pieces.length <= INLINE_PIECES_MAX) return { kind: "pieces", pieces: read.pieces };
  const pages: Uint8Array[] = [];
  const perPage = store.pages.contentPieces;
  for (let at = 0; at < read.pieces.length; at += perPage) {
    const [id] = await store.addMetadata([encodePieces(read.pieces.slice(at, at + perPage))]);
    if (id !== undefined) pages.push(id);
  }
  return { kind: "pages", pages };
}
