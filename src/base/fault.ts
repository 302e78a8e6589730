import type { OwnerId, PeerId, SegmentId, ShardId } from "./ids.ts";
import { formatBytes } from "./units.ts";

export interface SegmentShortage {
  readonly segment: SegmentId;
  /** Distinct shards that answered. */
  readonly have: number;
  readonly need: number;
  /** Peers that hold the shards which did not answer. */
  readonly holders: readonly PeerId[];
}

/** A state of a repository that can be gone back to. */
export interface ReadableHead {
  readonly head: string;
  readonly timeMs: number;
  /** Listed in what could be read of it. */
  readonly snapshots: number;
  /** Of those, the newest whose manifest could be read. */
  readonly newest: { readonly snapshot: string; readonly timeMs: number };
}

/** Why something could not be done, by whose doing, with what a caller or a person needs to go on. */
export type FaultDetail =
  // what was asked for
  | { code: "USAGE"; reason: string }
  /** `at`: none that is so old; `oldestMs` of those there are. `of`: none of that source; `hosts` of those there are. */
  | {
      code: "SNAPSHOT_UNKNOWN";
      asked: string;
      at?: { readonly askedMs: number; readonly oldestMs?: number };
      of?: { readonly source: string; readonly hosts: readonly string[] };
    }
  | { code: "SNAPSHOT_AMBIGUOUS"; asked: string; matches: readonly string[] }
  | { code: "PATH_NOT_IN_SNAPSHOT"; snapshot: string; path: string }
  | { code: "PEER_UNKNOWN"; asked: string }
  | { code: "PROFILE_IMPOSSIBLE"; profile: string; reason: string }
  | { code: "UNSUPPORTED"; what: string }
  | { code: "INTERRUPTED" }
  | { code: "SET_UNKNOWN"; set: string }
  | {
      code: "POLICY_INVALID";
      issues: readonly { readonly line: number; readonly column: number; readonly message: string }[];
    }
  // this machine
  | { code: "HOME_MISSING"; home: string }
  | { code: "HOME_EXISTS"; home: string }
  | { code: "HOME_LOCKED"; home: string; pid?: number }
  | { code: "DAEMON_NOT_RUNNING"; home: string }
  | { code: "DISK_FULL"; where: string; freeBytes?: number; needBytes?: number }
  | { code: "DISK_FAILED"; where: string; errno: string }
  | { code: "WORKER_LOST"; reason: string }
  | { code: "SPOOL_FULL"; usedBytes: number; maxBytes: number }
  | { code: "SOURCE_MISSING"; path: string }
  | { code: "SOURCE_UNREADABLE"; path: string; errno: string }
  /** `stderr`: the end of what it said. */
  | { code: "COMMAND_FAILED"; command: string; reason: string; stderr: string }
  | { code: "TARGET_UNSAFE"; path: string; reason: string }
  | { code: "TARGET_FAILED"; path: string; errno: string }
  // who may
  /**
   * `displacedBy`: the node for which the same use of a token was taken, and which counts. `token`: the members that a
   * token names admit nobody by it.
   */
  | { code: "NOT_A_MEMBER"; peer?: PeerId; displacedBy?: PeerId; token?: "unknown" }
  | { code: "NOT_ALLOWED"; reason: string }
  | { code: "ADMINISTRATORS_FORKED"; number: number }
  | { code: "TOKEN_INVALID"; reason: string }
  | { code: "TOKEN_EXPIRED"; expiredAt: string }
  | { code: "TOKEN_USED" }
  | { code: "QUOTA_EXCEEDED"; owner: OwnerId; quotaBytes: number }
  | {
      code: "WRONG_KEY";
      what: "recovery key" | "passphrase" | "share of a recovery key" | "set of shares";
      reason?: string;
    }
  | { code: "FENCED"; owner: OwnerId }
  | { code: "REMOVED"; owner: OwnerId }
  | { code: "HOME_BEHIND"; peers: number }
  // peers and their answers
  | { code: "PEER_UNREACHABLE"; peer: string; reason: string; advice?: string }
  | { code: "PEER_TIMEOUT"; peer: string; afterMs: number }
  | { code: "PEER_BUSY"; peer: string }
  | { code: "PEER_REFUSED"; peer: string; refusal: string; reason: string }
  | { code: "PEER_PROTOCOL"; peer: string; reason: string }
  | { code: "NO_ROOM"; peer: string; freeBytes: number }
  // data
  | { code: "FORMAT_INVALID"; what: string; reason: string }
  | { code: "FORMAT_VERSION"; what: string; version: number; newestKnown: number }
  | { code: "SIGNATURE_INVALID"; what: string; reason: string }
  | { code: "RECORD_STALE"; what: string; epoch: number; knownEpoch: number }
  | { code: "SHARD_MISSING"; shard: ShardId; peer?: PeerId }
  | { code: "SHARD_CORRUPT"; shard: ShardId; peer?: PeerId; reason: string }
  | { code: "SHARD_CONFLICT"; shard: ShardId }
  | { code: "SEGMENT_UNREADABLE"; segment: SegmentId; reason: string }
  | { code: "CHUNK_UNKNOWN"; chunk: string }
  | { code: "REPOSITORY_NOT_FOUND"; owner: OwnerId; answered: number; asked: number }
  | { code: "TOO_FEW_SHARDS"; shortages: readonly SegmentShortage[] }
  /** `shortages` is empty where it is not shards that are missing; `apart`: heads of another line, not looked at. */
  | {
      code: "HEAD_UNREADABLE";
      head: string;
      timeMs: number;
      reason: string;
      shortages: readonly SegmentShortage[];
      readable: readonly ReadableHead[];
      apart: readonly string[];
    };

export type FaultCode = FaultDetail["code"];

/** The world's doing: handled, never a bug. A broken invariant is an `AssertionFailure` instead. */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly detail: FaultDetail;

  constructor(detail: FaultDetail, options?: { cause?: unknown }) {
    super(describeFault(detail), options);
    this.detail = detail;
  }

  get code(): FaultCode {
    return this.detail.code;
  }
}

export type FaultOf<C extends FaultCode> = Fault & { readonly detail: Extract<FaultDetail, { code: C }> };

/** With codes, whether it is one of these; without, whether it is a fault at all. */
export function isFault<C extends FaultCode>(error: unknown, ...codes: readonly C[]): error is FaultOf<C> {
  return error instanceof Fault && (codes.length === 0 || codes.some((code) => code === error.detail.code));
}

/** Text for a log line or a message, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function shard(id: ShardId): string {
  return `${id.owner.slice(0, 12)}/${id.incarnation.slice(0, 8)}/${id.number}#${id.index}`;
}

/** One plain sentence: what happened and, where there is something to do, what. */
export function describeFault(detail: FaultDetail): string {
  switch (detail.code) {
    case "USAGE":
      return detail.reason;
    case "SNAPSHOT_UNKNOWN":
      if (detail.at !== undefined) return describeNoneAt(detail.at);
      if (detail.of !== undefined) return describeNoneOf(detail.of);
      return `There is no snapshot "${detail.asked}"; "cairn snapshots" lists those there are.`;
    case "SNAPSHOT_AMBIGUOUS":
      return `"${detail.asked}" is the beginning of ${detail.matches.length} snapshot ids; give more of it.`;
    case "PATH_NOT_IN_SNAPSHOT":
      return `Snapshot ${detail.snapshot.slice(0, 12)} has no "${detail.path}".`;
    case "SET_UNKNOWN":
      return `The policy has no set "${detail.set}" for this node; "cairn policy show" lists those there are.`;
    case "POLICY_INVALID": {
      const [first] = detail.issues;
      const more = detail.issues.length > 1 ? ` (and ${detail.issues.length - 1} more)` : "";
      return `The policy is not valid: line ${first?.line ?? 1}: ${first?.message ?? "unknown"}${more}.`;
    }
    case "PEER_UNKNOWN":
      return `No member of this swarm is called "${detail.asked}".`;
    case "PROFILE_IMPOSSIBLE":
      return `Profile ${detail.profile} cannot be placed in this swarm: ${detail.reason}.`;
    case "UNSUPPORTED":
      return detail.what;
    case "INTERRUPTED":
      return "Interrupted; what was done is kept and the next run goes on from there.";
    case "HOME_MISSING":
      return `${detail.home} is not a cairn home yet; "cairn init", "cairn join" or "cairn recover" makes it one.`;
    case "HOME_EXISTS":
      return `${detail.home} is a cairn home already; choose another with --home.`;
    case "HOME_LOCKED":
      return `${detail.home} is in use by another cairn process${detail.pid === undefined ? "" : ` (pid ${detail.pid})`}; stop it first.`;
    case "DAEMON_NOT_RUNNING":
      return `No daemon is running for ${detail.home}; start it with "cairn daemon".`;
    case "DISK_FULL":
      return `No room left in ${detail.where}; free some space and try again.`;
    case "DISK_FAILED":
      return `The disk under ${detail.where} failed (${detail.errno}).`;
    case "WORKER_LOST":
      return `A worker thread of this program ended (${detail.reason}); its work was not done.`;
    case "SPOOL_FULL":
      return `The spool is full (${detail.usedBytes} of ${detail.maxBytes} bytes) and no peer takes more; bring peers back or raise --spool-max.`;
    case "SOURCE_MISSING":
      return `"${detail.path}" does not exist; no snapshot was made.`;
    case "SOURCE_UNREADABLE":
      return `"${detail.path}" could not be read (${detail.errno}).`;
    case "COMMAND_FAILED":
      return `"${detail.command}" failed: ${detail.reason}; no snapshot was made.`;
    case "TARGET_UNSAFE":
      return `Refusing to write "${detail.path}": ${detail.reason}.`;
    case "TARGET_FAILED":
      return `"${detail.path}" could not be written (${detail.errno}).`;
    case "NOT_A_MEMBER":
      if (detail.displacedBy !== undefined)
        return `This node is not a member of the swarm: its token was also used for ${detail.displacedBy}, which counts. "cairn adopt TOKEN" takes a new token.`;
      if (detail.token !== undefined)
        return 'The members that this token names do not know it: it has expired, still waits for signatures ("cairn admin pending"), or has not reached them yet. Try again in a minute, or ask for a new one ("cairn invite").';
      return detail.peer === undefined
        ? "This node is not a member of the swarm."
        : `${detail.peer} is not a member of this swarm.`;
    case "NOT_ALLOWED":
      return `Refused: ${detail.reason}.`;
    case "ADMINISTRATORS_FORKED":
      return `Two different changes of the administrators have number ${detail.number}, and another one counts here.`;
    case "TOKEN_INVALID":
      return `The join token is not valid: ${detail.reason}.`;
    case "TOKEN_EXPIRED":
      return `The join token expired at ${detail.expiredAt}; ask for a new one ("cairn invite").`;
    case "TOKEN_USED":
      return `The join token has been used up; ask for a new one ("cairn invite").`;
    case "QUOTA_EXCEEDED":
      return `The quota of owner ${detail.owner.slice(0, 12)} is ${formatBytes(detail.quotaBytes)} at other nodes, all shards together: this would be more.`;
    case "WRONG_KEY":
      if (detail.reason !== undefined) return `That is no ${detail.what}: ${detail.reason}.`;
      return detail.what === "recovery key"
        ? 'That recovery key opens nothing here: check the 24 words and their order. If it was replaced ("cairn key rotate"), only the newest one opens the repository.'
        : "That passphrase opens nothing here.";
    case "FENCED":
      return 'This repository was recovered on another machine; this node is read-only until "cairn adopt" makes it a node of its own.';
    case "REMOVED":
      return 'Administrators removed this node from the swarm; it is read-only until "cairn adopt" makes it a member again.';
    case "HOME_BEHIND":
      return `This home is older than what ${detail.peers} peer(s) have seen of this repository: it was rolled back, or runs twice. Use "cairn recover" to go on.`;
    case "PEER_UNREACHABLE":
      return `${detail.peer} cannot be reached: ${detail.reason}.${detail.advice === undefined ? "" : ` ${detail.advice}`}`;
    case "PEER_TIMEOUT":
      return `${detail.peer} did not answer within ${detail.afterMs} ms.`;
    case "PEER_BUSY":
      return `${detail.peer} is busy.`;
    case "PEER_REFUSED":
      return `${detail.peer} refused: ${detail.reason}`;
    case "PEER_PROTOCOL":
      return `${detail.peer} sent something that is not our protocol: ${detail.reason}.`;
    case "NO_ROOM":
      return `${detail.peer} has no room (${detail.freeBytes} bytes free).`;
    case "FORMAT_INVALID":
      return `Malformed ${detail.what}: ${detail.reason}.`;
    case "FORMAT_VERSION":
      return `This ${detail.what} has format version ${detail.version}; this program reads up to ${detail.newestKnown}: update it.`;
    case "SIGNATURE_INVALID":
      return `The signature of a ${detail.what} is not valid: ${detail.reason}.`;
    case "RECORD_STALE":
      return `A ${detail.what} of epoch ${detail.epoch} was offered, but ${detail.knownEpoch} is known.`;
    case "SHARD_MISSING":
      return `Shard ${shard(detail.shard)} is not there${detail.peer === undefined ? "" : ` at ${detail.peer}`}.`;
    case "SHARD_CORRUPT":
      return `Shard ${shard(detail.shard)}${detail.peer === undefined ? "" : ` from ${detail.peer}`} is damaged: ${detail.reason}.`;
    case "SHARD_CONFLICT":
      return `Shard ${shard(detail.shard)} is held already with other bytes; both are kept as a conflict.`;
    case "SEGMENT_UNREADABLE":
      return `Segment ${detail.segment.number} could not be opened: ${detail.reason}.`;
    case "CHUNK_UNKNOWN":
      return `Chunk ${detail.chunk.slice(0, 12)} is not in the index.`;
    case "REPOSITORY_NOT_FOUND":
      return `This recovery key is right, and none of the members that answered (${detail.answered} of ${detail.asked}) keeps anything that it saved. Start more of them and recover again; if nothing was ever saved, "--accept-head none" goes on with an empty repository.`;
    case "TOO_FEW_SHARDS":
      return describeShortages(detail.shortages);
    case "HEAD_UNREADABLE":
      return describeUnreadable(detail);
  }
}

function describeNoneOf({ source, hosts }: { source: string; hosts: readonly string[] }): string {
  const known = hosts.length === 0 ? "there are none at all" : `there are some of ${hosts.join(", ")}`;
  return `There is no such snapshot of ${source}; ${known}. "cairn snapshots" lists machines and paths.`;
}

function describeNoneAt({
  askedMs,
  oldestMs,
}: {
  readonly askedMs: number;
  readonly oldestMs?: number;
}): string {
  const utc = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const none = `There is no such snapshot of ${utc(askedMs)} or before`;
  return oldestMs === undefined
    ? `${none}, and none of later; "cairn snapshots" lists those there are.`
    : `${none}; the oldest is of ${utc(oldestMs)}.`;
}

function describeUnreadable(detail: FaultDetail & { code: "HEAD_UNREADABLE" }): string {
  const { head, reason, readable, apart } = detail;
  const what = `State ${head.slice(0, 12)} of this repository cannot be read: ${reason}`;
  if (readable.length + apart.length === 0) return `${what} No older state was found that can.`;
  return (
    `${what} To go back to an older one, run the same with --head ID; with --read-only as well it only looks. ` +
    "What newer states alone list is left out then."
  );
}

function describeShortages(shortages: readonly SegmentShortage[]): string {
  const worst = shortages.reduce<SegmentShortage | undefined>(
    (a, b) => (a === undefined || b.need - b.have > a.need - a.have ? b : a),
    undefined,
  );
  if (worst === undefined) return "Not enough shards can be reached.";
  const peers = [...new Set(shortages.flatMap((shortage) => shortage.holders))];
  return (
    `Not enough shards can be reached for ${shortages.length} segment(s); ` +
    `segment ${worst.segment.number} has ${worst.have} of the ${worst.need} it needs. ` +
    `Bring back any of: ${peers.slice(0, 8).join(", ") || "(no holder known)"}.`
  );
}
