import { must } from "../base/assert.ts";
import { Fault, isFault } from "../base/fault.ts";
import { type BytePath, baseName, displayPath, isWithin, joinPath, splitPath } from "../base/paths.ts";
import type { FileStat, FileTree } from "../ports/index.ts";
import { DirectoryDraft } from "./draft.ts";
import type { CaptureReport } from "./report.ts";
import type { CaptureRules } from "./rules.ts";
import type { Walker } from "./walker.ts";

const ROOT = "/" as BytePath;

/** A path that was asked for, as it is now. */
export interface Source {
  readonly path: BytePath;
  readonly stat: FileStat;
}

/**
 * Looks at every path asked for before anything else is done. Paths within others are dropped. Throws
 * `SOURCE_MISSING` for one that does not exist, so that a mistyped path makes no snapshot.
 */
export async function findSources(tree: FileTree, paths: readonly BytePath[]): Promise<Source[]> {
  const sources: Source[] = [];
  for (const path of [...new Set(paths)].sort()) {
    if (sources.some((source) => isWithin(path, source.path))) continue;
    const stat = await tree.lstat(path);
    if (stat.type === "socket")
      throw new Fault({ code: "SOURCE_UNREADABLE", path: displayPath(path), errno: "ENXIO" });
    sources.push({ path, stat });
  }
  return sources;
}

export interface SourceWalk {
  /** The root of the snapshot's tree. */
  readonly root: DirectoryDraft;
  /** Settles when everything is read and every tree below the root is stored. */
  readonly done: Promise<void>;
}

/**
 * Walks all sources into one tree from "/" down: the directories on the way to a source are there with their own
 * metadata and nothing else in them.
 */
export async function walkSources(
  components: { tree: FileTree; walker: Walker; report: CaptureReport; rules: CaptureRules },
  sources: readonly Source[],
  onRoot: (root: DirectoryDraft) => void,
): Promise<SourceWalk> {
  const { tree, walker, report, rules } = components;
  const root = new DirectoryDraft(ROOT);
  const drafts = new Map<BytePath, DirectoryDraft>([[ROOT, root]]);
  onRoot(root);
  const waiting: Promise<unknown>[] = [];
  for (const source of sources) {
    const reason = rules.neverSaved(source.path);
    if (reason !== undefined) {
      report.skipped.add({ path: source.path, reason });
      continue;
    }
    if (source.path === ROOT) {
      waiting.push((await walker.visit(root, source.stat)).done);
      continue;
    }
    const parent = await parentDraft(tree, drafts, source.path, report);
    const name = baseName(source.path);
    if (source.stat.type === "directory") {
      const draft = new DirectoryDraft(source.path);
      parent.entries.push({ kind: "directory", name, stat: source.stat, draft });
      waiting.push((await walker.visit(draft, source.stat)).done);
    } else {
      const { drafted, done } = await walker.visitFile(source.path, source.stat);
      parent.entries.push(drafted);
      waiting.push(done);
    }
  }
  const done = Promise.all(waiting).then(() => {});
  done.catch(() => {}); // awaited by the caller, after the walk
  return { root, done };
}

/** The draft of the directory that a source is in; those above it are made on the way. */
async function parentDraft(
  tree: FileTree,
  drafts: Map<BytePath, DirectoryDraft>,
  path: BytePath,
  report: CaptureReport,
): Promise<DirectoryDraft> {
  let at = ROOT;
  let draft = must(drafts.get(ROOT), "root draft");
  for (const name of splitPath(path).slice(0, -1)) {
    at = joinPath(at, name);
    const known = drafts.get(at);
    if (known !== undefined) {
      draft = known;
      continue;
    }
    const child = new DirectoryDraft(at);
    draft.entries.push({ kind: "directory", name, stat: await parentStat(tree, at), draft: child });
    drafts.set(at, child);
    report.directories++;
    draft = child;
  }
  return draft;
}

async function parentStat(tree: FileTree, path: BytePath): Promise<FileStat> {
  try {
    const stat = await tree.lstat(path);
    // A link on the way to a source was followed by the kernel; in the snapshot it is a directory.
    return stat.type === "directory" ? stat : { ...stat, type: "directory", mode: 0o755 };
  } catch (error) {
    if (!isFault(error, "SOURCE_MISSING", "SOURCE_UNREADABLE")) throw error;
    throw new Fault({ code: "SOURCE_MISSING", path: displayPath(path) });
  }
}
