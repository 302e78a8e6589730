import { z } from "zod";
import { pendingDecision, proposalInfo } from "./admin-api.ts";
import { heirsStanding } from "./heirs-api.ts";
import { lockInfo, locksStanding } from "./locks-api.ts";
import { shownPath } from "./paths-json.ts";
import { scheduleStanding, snapshotMark } from "./policy-api.ts";
import { liveness, presence } from "./presence-api.ts";
import { repairStanding } from "./repair-api.ts";
import { survives } from "./survives-api.ts";
import { trustInfo } from "./trust-api.ts";

/** At most so many paths are listed in one answer; the count beside each list is exact. */
export const LISTED_MAX = 10_000;

const count = z.int().nonnegative();
const isoTime = z.string();
const listed = <T extends z.ZodType>(item: T) => z.array(item).max(LISTED_MAX);

/** Each counts alone, over placed and not known-lost shards; see CLI.md's definition in docs. */
export { type Survives, survives } from "./survives-api.ts";

export const snapshotState = z.enum(["safe", "full", "placed", "pending", "partial"]);
export type SnapshotState = z.infer<typeof snapshotState>;

// --- status, peers, invite, shutdown ---

export const alert = z.object({
  /** A stable word for scripts, such as `single-administrator`. */
  code: z.string(),
  /** One plain sentence: what is the matter and what to do. */
  text: z.string(),
});
export type Alert = z.infer<typeof alert>;

export const protection = z.object({
  survives,
  /** Of everything the newest listed snapshots need; `none` while there is no snapshot. */
  state: z.enum(["none", "safe", "full", "placed", "pending", "partial"]),
  /** How many segments have which margin, lowest margin first. */
  margins: z.array(z.object({ margin: z.int(), segments: count })),
  /** Members of the pool that do not answer right now; not counted as lost in `survives`. */
  unreachable: z.array(z.string()),
  /** Plain sentences: what is not covered and why. */
  notes: z.array(z.string()),
});
export type Protection = z.infer<typeof protection>;

export const standing = z.object({
  /**
   * `fenced`: recovered on another machine; `removed`: taken out by administrators; `unlisted`: its token was used for
   * another node. These three are read-only, and `cairn status` exits with 4. `guest`: recovered with --read-only.
   */
  state: z.enum(["member", "guest", "fenced", "removed", "unlisted"]),
  /** When it ended: the date of the new certificate, or of the removal. */
  since: isoTime.optional(),
  /** The node that took its place, or the administrator's public key. */
  by: z.string().optional(),
  /** What people call that node, or the administrator's. */
  byName: z.string().optional(),
});
export type Standing = z.infer<typeof standing>;

export const statusResult = z.object({
  standing,
  node: z.object({
    peerId: z.string(),
    name: z.string(),
    site: z.string(),
    version: z.string(),
    addresses: z.array(z.string()),
    startedAt: isoTime,
  }),
  swarm: z.object({
    swarmId: z.string(),
    members: count,
    /** This node included. */
    alive: count,
    sites: count,
    administrators: count,
    /** Removals and changes of site that wait for their day, the next first. */
    pending: z.array(pendingDecision).max(LISTED_MAX).default([]),
  }),
  repository: z.object({
    ownerId: z.string(),
    incarnation: z.string(),
    /** Recovered elsewhere, or looked at only. */
    readOnly: z.boolean(),
    /** Peers that have seen a newer state than this home has; it makes no snapshots while there is one. */
    behind: count,
    snapshots: count,
    newest: z
      .object({ snapshotId: z.string(), time: isoTime, state: snapshotState, bytes: count })
      .optional(),
    /** Plain bytes of all snapshots, each file as often as snapshots have it. */
    logicalBytes: count,
    /** Plain bytes after deduplication. */
    uniqueBytes: count,
    /** Shard bytes at holders. */
    storedBytes: count,
    /** Absent where the owner's certificate sets no bound. What counts: all shards of its segments, placed or not. */
    quota: z.object({ bytes: count, usedBytes: count }).optional(),
    segments: count,
    /** Peers that hold, or hear of, this repository. */
    pool: count,
  }),
  protection,
  /** What this node keeps for others. */
  storage: z.object({
    capacityBytes: count,
    usedBytes: count,
    freeBytes: count,
    shards: count,
    /** How often since the start somebody tried to put other bytes in the place of a shard. */
    conflicts: count,
  }),
  /** Keys that said two different things with one number: a home runs twice, or a key was stolen. */
  forks: listed(z.object({ type: z.string(), signer: z.string(), incarnation: z.string(), epoch: count })),
  spool: z.object({ segments: count, bytes: count, maxBytes: count }),
  /**
   * Uses of this owner's recovery key in the last 30 days, as the members say at which it was used, the last first:
   * how often it asked for the slot, began to read, and brought the owner to a new node.
   */
  recoveryUses: listed(
    z.object({
      member: z.string(),
      name: z.string().optional(),
      first: isoTime,
      last: isoTime,
      hellos: count,
      reads: count,
      submits: count,
    }),
  ),
  /** What this node does for owners whose own node is away. */
  heirs: heirsStanding.optional(),
  /** Absent where nothing is locked. */
  locks: locksStanding.optional(),
  /** The oldest byte held here that was not re-read since, once there is a scrub. */
  scrub: z
    .object({
      oldestUnverifiedMs: count,
      /** Found in the round under way, or in the last one. */
      corrupt: count,
      /** Set aside and not held again. */
      quarantined: count,
      paused: z.boolean(),
      /** `gone`: no shard is served. */
      disk: z.enum(["serving", "gone"]),
    })
    .optional(),
  /** Segments of this repository waiting for repair; this and `repair` once all were looked at. */
  queue: z.object({ segments: count, worstMargin: z.int() }).optional(),
  repair: repairStanding.optional(),
  /** This owner's audits of its holders. */
  audit: z
    .object({
      holders: count,
      suspects: count,
      /** Of all members: auditors say that something is wrong with them. */
      doubted: count.optional(),
      /** Of the holder that proved something longest ago; absent while one has proven nothing yet. */
      oldestProven: isoTime.optional(),
    })
    .optional(),
  /** Who is up, and whether anything may be moved. */
  presence: presence.optional(),
  /** What the policy asks for, and how far it is. */
  schedule: scheduleStanding.optional(),
  alerts: z.array(alert),
});
export type StatusResult = z.infer<typeof statusResult>;

export const peerInfo = z.object({
  peerId: z.string(),
  name: z.string(),
  site: z.string(),
  host: z.string().optional(),
  state: z.enum(["self", "alive", "unreachable", "suspected", "doubted", "draining", "lost", "removed"]),
  /** Of one that administrators took out. */
  removedAt: isoTime.optional(),
  /** By beats and contact, as it is judged after half an hour of silence; `state` is by this node's connections now. */
  liveness: liveness.optional(),
  /** It lied, or lost what it had taken: it gets no new data, and what it has counts as absent. */
  suspect: z.object({ since: isoTime, reason: z.string() }).optional(),
  /** How far it is believed and who says so; absent where nobody says anything. */
  trust: trustInfo.optional(),
  /** Whether it may keep shards of others. */
  holder: z.boolean(),
  /** Recovered, and no holder until an administrator confirms it. */
  awaitsConfirmation: z.boolean().optional(),
  /** What administrators have decided about it and what is still to come. */
  pending: z.array(pendingDecision).optional(),
  capacityBytes: count.optional(),
  usedBytes: count.optional(),
  /** Shard bytes that its owner may have in the whole swarm. */
  quotaBytes: count.optional(),
  lastSeen: isoTime.optional(),
  /** Its program, and which versions of the formats it reads and would write. */
  version: z.string().optional(),
  formatVersions: z.object({ reads: z.array(count), writes: count }).optional(),
  /** It keeps this node from writing the newest format. */
  holdsBack: z.boolean().optional(),
  /** Peers with which it cannot connect, as it or they say; no new row has both. */
  cannotReach: z.array(z.string()).optional(),
  addresses: z.array(z.string()),
});
export type PeerInfo = z.infer<typeof peerInfo>;

export const peersResult = z.object({ peers: z.array(peerInfo) });
export type PeersResult = z.infer<typeof peersResult>;

export const inviteResult = z.object({
  token: z.string(),
  site: z.string(),
  expiresAt: isoTime,
  uses: count,
  quotaBytes: count.optional(),
  /** Where several administrators must sign: the token lets nobody in before they have. */
  proposal: proposalInfo.optional(),
});
export type InviteResult = z.infer<typeof inviteResult>;

export const shutdownResult = z.object({ stopping: z.literal(true) });
export type ShutdownResult = z.infer<typeof shutdownResult>;

// --- snapshot, snapshots ---

export const unreadablePath = z.object({ ...shownPath.shape, errno: z.string() });
export type UnreadablePath = z.infer<typeof unreadablePath>;
export const skippedPath = z.object({ ...shownPath.shape, reason: z.string() });
export type SkippedPath = z.infer<typeof skippedPath>;

export const snapshotResult = z.object({
  snapshotId: z.string(),
  state: snapshotState,
  time: isoTime,
  /** `3+3`. */
  profile: z.string(),
  files: count,
  directories: count,
  /** Bytes read from disk. */
  bytesRead: count,
  /** Plain bytes of chunks that the repository did not have. */
  bytesNew: count,
  /** Shard bytes that holders accepted, metadata and padding included. */
  bytesStored: count,
  segments: count,
  /** Paths that are not in the snapshot although asked for. */
  unreadable: listed(unreadablePath),
  unreadableCount: count,
  /** Files that changed while they were read: saved with exactly the bytes read. */
  changed: listed(shownPath),
  changedCount: count,
  /** Left out by rule, such as /proc or the home itself. */
  skipped: listed(skippedPath),
  skippedCount: count,
  /** Entries left out by --exclude. */
  excluded: count,
  durationMs: count,
  survives,
  /** Why somebody should look at it. */
  marks: z.array(snapshotMark).optional(),
  /** Plain sentences for people: what is missing for `safe`, which peers were away. */
  notes: z.array(z.string()),
});
export type SnapshotResult = z.infer<typeof snapshotResult>;

export const snapshotInfo = z.object({
  snapshotId: z.string(),
  sequence: count,
  time: isoTime,
  host: z.string(),
  paths: z.array(z.string()),
  /** In the order of `paths`. */
  pathsBase64: z.array(z.string()),
  tags: z.array(z.string()),
  /** No rule forgets it. */
  pinned: z.boolean(),
  /** Why somebody should look at it; `cairn unmark` takes them away. */
  marks: z.array(snapshotMark).optional(),
  files: count,
  directories: count,
  bytes: count,
  state: snapshotState,
  survives,
  lock: lockInfo.optional(),
});
export type SnapshotInfo = z.infer<typeof snapshotInfo>;

export const snapshotsResult = z.object({ snapshots: z.array(snapshotInfo) });
export type SnapshotsResult = z.infer<typeof snapshotsResult>;

// --- ls, find, diff, cat ---

export const fileType = z.enum([
  "file",
  "directory",
  "symlink",
  "fifo",
  "socket",
  "block-device",
  "character-device",
]);

export const entryInfo = z.object({
  ...shownPath.shape,
  type: fileType,
  /** Permission bits, 0 .. 0o7777. */
  mode: count,
  uid: count,
  gid: count,
  user: z.string().optional(),
  group: z.string().optional(),
  size: count,
  /** ISO 8601 in UTC, down to the nanosecond. */
  mtime: isoTime,
  /** Of a symlink. */
  target: z.string().optional(),
});
export type EntryInfo = z.infer<typeof entryInfo>;

export const lsResult = z.object({ snapshotId: z.string(), time: isoTime, entries: count, bytes: count });
export type LsResult = z.infer<typeof lsResult>;

export const foundEntry = z.object({ snapshotId: z.string(), time: isoTime, ...entryInfo.shape });
export type FoundEntry = z.infer<typeof foundEntry>;

export const findResult = z.object({ snapshots: count, matches: count });
export type FindResult = z.infer<typeof findResult>;

export const diffEntry = z.object({
  ...shownPath.shape,
  /** `modified`: other bytes; `metadata`: only mode, owner, time or xattrs; `type`: a file became a link, say. */
  change: z.enum(["added", "removed", "modified", "metadata", "type"]),
  type: fileType,
  /** Absent where there is no file on that side. */
  sizeBefore: count.optional(),
  sizeAfter: count.optional(),
});
export type DiffEntry = z.infer<typeof diffEntry>;

export const diffResult = z.object({
  before: z.string(),
  after: z.string(),
  added: count,
  removed: count,
  modified: count,
  metadata: count,
  bytesAdded: count,
  bytesRemoved: count,
});
export type DiffResult = z.infer<typeof diffResult>;

export const catResult = z.object({ snapshotId: z.string(), time: isoTime, bytes: count });
export type CatResult = z.infer<typeof catResult>;

// --- restore, verify ---

export const restoreProblem = z.object({
  ...shownPath.shape,
  /** What could not be given back: `contents`, `directory` (what is in it, at least in part), `owner`, `mode`, `time`, `xattr`, `entry`, `delete`. */
  what: z.string(),
  /** An errno or a few plain words. */
  reason: z.string(),
});
export type RestoreProblem = z.infer<typeof restoreProblem>;

export const restoreResult = z.object({
  snapshotId: z.string(),
  /** Of the snapshot. */
  time: isoTime,
  /** Written (with --dry-run: that would be). */
  files: count,
  directories: count,
  bytes: count,
  /** Over the network, metadata included. */
  bytesFetched: count,
  /** Every byte written was checked against the snapshot's hashes. */
  verified: z.boolean(),
  /** Files that were there already as they should be. */
  skippedUnchanged: count,
  /** Files left alone because of --overwrite never. */
  skippedExisting: count,
  deleted: count,
  /** Entries whose owner could not be set because the daemon is not root: not a problem, said once. */
  ownersNotRestored: count,
  problems: listed(restoreProblem),
  problemCount: count,
  dryRun: z.boolean(),
  durationMs: count,
});
export type RestoreResult = z.infer<typeof restoreResult>;

export const segmentCheck = z.object({
  incarnation: z.string(),
  number: count,
  k: count,
  m: count,
  /** Distinct shards of which a leaf was answered within 30 days or now. */
  proven: count,
  /** Receipted, not asked or not answering. */
  claimed: count,
  missing: count,
  corrupt: count,
  /** Of the proven ones: with peers that no map names, asked because the segment would be lost without. */
  elsewhere: count,
  margin: z.int(),
});
export type SegmentCheck = z.infer<typeof segmentCheck>;

export const corruptShard = z.object({
  incarnation: z.string(),
  number: count,
  index: count,
  peer: z.string(),
  reason: z.string(),
});
export type CorruptShard = z.infer<typeof corruptShard>;

export const verifyResult = z.object({
  snapshots: count,
  /** `ok`: as the policy wants it; `weak`: readable, margins too low; `unreadable`: some segment is below k. */
  state: z.enum(["ok", "weak", "unreadable"]),
  segmentCount: count,
  /** The worst of them, lowest margin first. */
  segments: listed(segmentCheck),
  /** Sums over all segments. */
  proven: count,
  claimed: count,
  missing: count,
  elsewhere: count,
  shardsChecked: count,
  corrupt: listed(corruptShard),
  corruptCount: count,
  worstMargin: z.int(),
  survives,
  bytesRead: count,
  readData: z.boolean(),
  durationMs: count,
  notes: z.array(z.string()),
});
export type VerifyResult = z.infer<typeof verifyResult>;

// --- progress ---

export const progressEvent = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("progress"),
    /** One lower-case word for what is going on: scan, read, place, plan, fetch, write, check, recover. */
    phase: z.string(),
    bytes: count.optional(),
    bytesTotal: count.optional(),
    files: count.optional(),
    filesTotal: count.optional(),
    segments: count.optional(),
    segmentsTotal: count.optional(),
  }),
  /** One plain sentence, shown as it comes; it is in the result as well. */
  z.object({ type: z.literal("warning"), text: z.string() }),
]);
export type ProgressEvent = z.infer<typeof progressEvent>;
