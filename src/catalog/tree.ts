import { decode, encode } from "cborg";
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { type BytePath, bytePath, isPlainName, pathBytes } from "../base/paths.ts";
import type { FileType, Xattr } from "../ports/index.ts";
import type { PageSizes } from "./page-sizes.ts";

/** A run of a file's content: a chunk, or a hole that was never written. */
export type ContentPiece =
  | { readonly kind: "chunk"; readonly id: Uint8Array; readonly rawBytes: number }
  | { readonly kind: "hole"; readonly bytes: number };

/** Inline for ordinary files; very large ones list their pieces in chunks of their own (content pages). */
export type FileContent =
  | { readonly kind: "pieces"; readonly pieces: readonly ContentPiece[] }
  | { readonly kind: "pages"; readonly pages: readonly Uint8Array[] };

export interface TreeEntry {
  readonly name: BytePath;
  readonly type: Exclude<FileType, "socket">;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly inode: bigint;
  readonly xattrs: readonly Xattr[];
  /** Files: length in bytes, as many as were read. */
  readonly size: number;
  readonly content?: FileContent;
  /** Set on files with more than one link: those with the same (device, inode) are one file. */
  readonly device?: bigint;
  /** Directories: the chunks of their own entries, in order. */
  readonly tree?: readonly Uint8Array[];
  /** Symbolic links. */
  readonly target?: BytePath;
  /** Device nodes. */
  readonly major?: number;
  readonly minor?: number;
  /** The file changed while it was read; it is saved with exactly the bytes read. */
  readonly changed?: boolean;
}

/** Above this many pieces a file's list moves to content pages. */
export const INLINE_PIECES_MAX = 64;
const VERSION = 1;

const TYPES = ["file", "directory", "symlink", "fifo", "block-device", "character-device"] as const;

/**
 * One page of a directory's entries, in byte order of their names. Layout (CBOR):
 * [version, [[name, type, mode, uid, gid, mtimeNs, ctimeNs, inode, size, extra], ...]], `extra` being a map with
 * the keys "c" pieces, "p" content pages, "d" device, "t" tree pages, "l" link target, "r" [major, minor],
 * "x" [[xattr name, value], ...], "!" changed; each absent where it does not apply.
 */
export function encodeTree(entries: readonly TreeEntry[]): Uint8Array {
  return encode([VERSION, entries.map(encodeEntry)]);
}

export function decodeTree(bytes: Uint8Array): TreeEntry[] {
  const [version, entries] = asArray(decodeCbor(bytes, "tree"), "tree");
  requireVersion("tree", version);
  const decoded = asArray(entries, "tree entries").map(decodeEntry);
  for (let i = 1; i < decoded.length; i++) {
    const before = decoded[i - 1];
    const after = decoded[i];
    if (before !== undefined && after !== undefined && before.name >= after.name) {
      throw malformed("tree", "its names are not in order");
    }
  }
  return decoded;
}

export function encodePieces(pieces: readonly ContentPiece[]): Uint8Array {
  return encode([VERSION, pieces.map(encodePiece)]);
}

export function decodePieces(bytes: Uint8Array): ContentPiece[] {
  const [version, pieces] = asArray(decodeCbor(bytes, "content page"), "content page");
  requireVersion("content page", version);
  return asArray(pieces, "content pieces").map(decodePiece);
}

function encodeEntry(entry: TreeEntry): unknown[] {
  const extra: Record<string, unknown> = {};
  if (entry.content?.kind === "pieces") extra["c"] = entry.content.pieces.map(encodePiece);
  if (entry.content?.kind === "pages") extra["p"] = entry.content.pages;
  if (entry.device !== undefined) extra["d"] = entry.device;
  if (entry.tree !== undefined) extra["t"] = entry.tree;
  if (entry.target !== undefined) extra["l"] = pathBytes(entry.target);
  if (entry.major !== undefined) extra["r"] = [entry.major, entry.minor ?? 0];
  if (entry.xattrs.length > 0) extra["x"] = entry.xattrs.map((x) => [pathBytes(x.name), x.value]);
  if (entry.changed === true) extra["!"] = true;
  return [
    pathBytes(entry.name),
    TYPES.indexOf(entry.type),
    entry.mode,
    entry.uid,
    entry.gid,
    entry.mtimeNs,
    entry.ctimeNs,
    entry.inode,
    entry.size,
    extra,
  ];
}

function encodePiece(piece: ContentPiece): unknown {
  return piece.kind === "hole" ? piece.bytes : [piece.id, piece.rawBytes];
}

function decodePiece(raw: unknown): ContentPiece {
  if (!Array.isArray(raw)) return { kind: "hole", bytes: asCount(raw, "hole") };
  return { kind: "chunk", id: asId(raw[0]), rawBytes: asCount(raw[1], "chunk length") };
}

function decodeEntry(raw: unknown): TreeEntry {
  const [name, type, mode, uid, gid, mtimeNs, ctimeNs, inode, size, extra] = asArray(raw, "tree entry");
  const fields = asRecord(extra);
  const knownType = TYPES[asCount(type, "type")];
  if (knownType === undefined) throw malformed("tree", `unknown type ${String(type)}`);
  const entryName = bytePath(asBytes(name, "name"));
  if (!isPlainName(entryName)) throw malformed("tree", "a name that is none");
  const device = fields["r"] === undefined ? undefined : asArray(fields["r"], "device numbers");
  return {
    name: entryName,
    type: knownType,
    mode: asCount(mode, "mode") & 0o7777,
    uid: asCount(uid, "uid"),
    gid: asCount(gid, "gid"),
    mtimeNs: asBigint(mtimeNs, "mtime"),
    ctimeNs: asBigint(ctimeNs, "ctime"),
    inode: asBigint(inode, "inode"),
    size: asCount(size, "size"),
    xattrs: fields["x"] === undefined ? [] : asArray(fields["x"], "xattrs").map(decodeXattr),
    ...(fields["c"] === undefined ? {} : { content: piecesOf(fields["c"]) }),
    ...(fields["p"] === undefined ? {} : { content: { kind: "pages" as const, pages: idsOf(fields["p"]) } }),
    ...(fields["d"] === undefined ? {} : { device: asBigint(fields["d"], "device") }),
    ...(fields["t"] === undefined ? {} : { tree: idsOf(fields["t"]) }),
    ...(fields["l"] === undefined ? {} : { target: bytePath(asBytes(fields["l"], "link target")) }),
    ...(device === undefined
      ? {}
      : { major: asCount(device[0], "major number"), minor: asCount(device[1], "minor number") }),
    ...(fields["!"] === true ? { changed: true } : {}),
  };
}

function piecesOf(raw: unknown): FileContent {
  return { kind: "pieces", pieces: asArray(raw, "pieces").map(decodePiece) };
}

function idsOf(raw: unknown): Uint8Array[] {
  return asArray(raw, "chunk ids").map(asId);
}

function decodeXattr(raw: unknown): Xattr {
  const [name, value] = asArray(raw, "xattr");
  return { name: bytePath(asBytes(name, "xattr name")), value: asBytes(value, "xattr value") };
}

function decodeCbor(bytes: Uint8Array, what: string): unknown {
  try {
    return decode(bytes, { strict: true, allowIndefinite: false, rejectDuplicateMapKeys: true });
  } catch (error) {
    throw malformed(what, messageOf(error));
  }
}

function requireVersion(what: string, version: unknown): void {
  if (version === VERSION) return;
  if (typeof version !== "number") throw malformed(what, "no version");
  throw new Fault({ code: "FORMAT_VERSION", what, version, newestKnown: VERSION });
}

function malformed(what: string, reason: string): Fault {
  return new Fault({ code: "FORMAT_INVALID", what, reason });
}

function asArray(raw: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(raw)) throw malformed("tree", `${what} is no list`);
  return raw;
}

function asRecord(raw: unknown): Readonly<Record<string, unknown>> {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw))
    throw malformed("tree", "extra is no map");
  return Object.fromEntries(Object.entries(raw));
}

function asBytes(raw: unknown, what: string): Uint8Array {
  if (!(raw instanceof Uint8Array)) throw malformed("tree", `${what} is not bytes`);
  return raw;
}

function asId(raw: unknown): Uint8Array {
  const id = asBytes(raw, "chunk id");
  if (id.length !== 32) throw malformed("tree", "a chunk id has 32 bytes");
  return id;
}

function asCount(raw: unknown, what: string): number {
  if (typeof raw !== "number" || !Number.isSafeInteger(raw) || raw < 0)
    throw malformed("tree", `${what} is no count`);
  return raw;
}

function asBigint(raw: unknown, what: string): bigint {
  if (typeof raw === "bigint") return raw;
  if (typeof raw !== "number" || !Number.isSafeInteger(raw))
    throw malformed("tree", `${what} is no whole number`);
  return BigInt(raw);
}

/**
 * Cuts a directory's entries, in order of their names, into encoded pages. Boundaries follow from the names,
 * so that one new file changes one page of a huge directory. An empty directory has one empty page.
 */
export function pagesOfTree(entries: readonly TreeEntry[], sizes: PageSizes): Uint8Array[] {
  const pages: Uint8Array[] = [];
  let page: TreeEntry[] = [];
  let bytes = 0;
  let previous: BytePath | undefined;
  for (const entry of entries) {
    assert(previous === undefined || previous < entry.name, "names in order");
    previous = entry.name;
    page.push(entry);
    bytes += entryBytes(entry);
    if (
      bytes >= sizes.treeBytesMax ||
      (bytes >= sizes.treeBytesMin && nameHash(entry.name) % sizes.treeBoundaryOneIn === 0)
    ) {
      pages.push(encodeTree(page));
      page = [];
      bytes = 0;
    }
  }
  if (page.length > 0 || pages.length === 0) pages.push(encodeTree(page));
  return pages;
}

/** About what an entry costs in a page; only page boundaries depend on it. */
function entryBytes(entry: TreeEntry): number {
  const pieces =
    entry.content === undefined
      ? 0
      : entry.content.kind === "pieces"
        ? entry.content.pieces.length
        : entry.content.pages.length;
  const xattrs = entry.xattrs.reduce((sum, x) => sum + x.name.length + x.value.length + 4, 0);
  return (
    64 + entry.name.length + (entry.target?.length ?? 0) + 40 * (pieces + (entry.tree?.length ?? 0)) + xattrs
  );
}

// FNV-1a: spreads names; nothing depends on it being hard to invert.
function nameHash(name: BytePath): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
