import { z } from "zod";
import { pathCodec } from "./paths-json.ts";

/** What one request may list: a command line holds no more, and it bounds what the daemon parses. */
const LIST_MAX = 100_000;
const list = <T extends z.ZodType>(item: T) => z.array(item).max(LIST_MAX);
/** As many, and as long, as a manifest holds beside those that cairn gives. */
const tags = z.array(z.string().min(1).max(255)).max(900);

/** Since 1970; a date that JavaScript can show. */
const timeMs = z.int().min(0).max(8.64e15);

/** Which snapshot: an id, a unique beginning of one, or `latest`, which `tags`, `paths` and `atMs` narrow. */
/** Snapshots of one machine; with `path`, those that have it or what it is in. */
export const snapshotSource = z
  .object({ host: z.string().min(1).max(255), path: pathCodec.optional() })
  .strict();
export type SnapshotSource = z.infer<typeof snapshotSource>;

export const snapshotSelector = z
  .object({
    snapshot: z.string().min(1).max(64),
    /** Every one of them must be on the snapshot. */
    tags,
    /** Every one of them must be among the snapshot's paths; absolute. */
    paths: list(pathCodec),
    /** The newest of this time or before. */
    atMs: timeMs.optional(),
    source: snapshotSource.optional(),
  })
  .strict();
export type SnapshotSelector = z.infer<typeof snapshotSelector>;

export const emptyRequest = z.object({}).strict();
export type EmptyRequest = z.infer<typeof emptyRequest>;

export const inviteRequest = z
  .object({
    site: z.string().min(1).max(64),
    expiresMs: z.int().positive(),
    uses: z.int().min(1).max(1000),
    quotaBytes: z.int().positive().optional(),
  })
  .strict();
export type InviteRequest = z.infer<typeof inviteRequest>;

/** Absent: chosen by the daemon from the swarm's shape. */
export const profile = z.object({ k: z.int().min(1).max(63), m: z.int().min(0).max(63) }).strict();
export type Profile = z.infer<typeof profile>;

const snapshotOptions = {
  tags,
  profile: profile.optional(),
  /** `queued` returns once everything is synced on this machine; `safe` when it is, or no candidate is left. */
  wait: z.enum(["safe", "queued"]),
};

export const snapshotRequest = z
  .object({
    /** Absolute and normalised; at least one. */
    paths: list(pathCodec).min(1),
    /** Patterns of src/base/glob.ts in the order given, `!` negating earlier ones; comments already removed. */
    excludes: list(pathCodec),
    oneFileSystem: z.boolean(),
    ...snapshotOptions,
  })
  .strict();
export type SnapshotRequest = z.infer<typeof snapshotRequest>;

export const snapshotStdinRequest = z
  .object({
    /** Absolute: the one file the snapshot will hold. */
    filename: pathCodec,
    ...snapshotOptions,
  })
  .strict();
export type SnapshotStdinRequest = z.infer<typeof snapshotStdinRequest>;

export const snapshotsRequest = z
  .object({ tags, paths: list(pathCodec), source: snapshotSource.optional() })
  .strict();
export type SnapshotsRequest = z.infer<typeof snapshotsRequest>;

export const lsRequest = z
  .object({
    ...snapshotSelector.shape,
    /** Absolute path in the snapshot; absent: everything from the top. */
    path: pathCodec.optional(),
    /** Whether to go into the directories below `path`. */
    recursive: z.boolean(),
  })
  .strict();
export type LsRequest = z.infer<typeof lsRequest>;

export const findRequest = z
  .object({
    /** Patterns of src/base/glob.ts; an entry is found when any of them matches. */
    patterns: list(pathCodec).min(1),
    ignoreCase: z.boolean(),
    /** Ids, beginnings or `latest`; empty: every snapshot, newest first. */
    snapshots: list(z.string().min(1).max(64)),
    /** Narrow the snapshots that are searched; `atMs` to one. */
    tags,
    paths: list(pathCodec),
    atMs: timeMs.optional(),
    source: snapshotSource.optional(),
  })
  .strict();
export type FindRequest = z.infer<typeof findRequest>;

export const diffRequest = z
  .object({
    before: snapshotSelector,
    after: snapshotSelector,
    /** Compare only below this absolute path. */
    path: pathCodec.optional(),
  })
  .strict();
export type DiffRequest = z.infer<typeof diffRequest>;

export const catRequest = z.object({ ...snapshotSelector.shape, path: pathCodec }).strict();
export type CatRequest = z.infer<typeof catRequest>;

export const restoreRequest = z
  .object({
    ...snapshotSelector.shape,
    /** Absolute path in the snapshot whose contents go into `target`; absent: all, under their absolute paths. */
    path: pathCodec.optional(),
    /** Absolute directory on this machine; made if it is not there. */
    target: pathCodec,
    /** Patterns of src/base/glob.ts; empty: everything. */
    includes: list(pathCodec),
    excludes: list(pathCodec),
    overwrite: z.enum(["if-changed", "always", "never"]),
    /** Remove from the target what the snapshot does not have. */
    delete: z.boolean(),
    dryRun: z.boolean(),
    /** Restore what can be had instead of refusing when a segment cannot be reached. */
    partial: z.boolean(),
  })
  .strict();
export type RestoreRequest = z.infer<typeof restoreRequest>;

export const verifyRequest = z
  .object({
    /** Absent: every snapshot of this owner. */
    selector: snapshotSelector.optional(),
    /** Fetch and check every byte instead of asking for proofs of samples. */
    readData: z.boolean(),
  })
  .strict();
export type VerifyRequest = z.infer<typeof verifyRequest>;
