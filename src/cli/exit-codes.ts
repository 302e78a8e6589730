import { type Fault, isFault } from "../base/fault.ts";
import type {
  AuditResult,
  DrainResult,
  RepairResult,
  RepairStanding,
  RestoreResult,
  ScrubResult,
  SnapshotResult,
  StatusResult,
  VerifyResult,
} from "../control/api.ts";
import { DaemonFailure } from "../control/index.ts";

/** What scripts may rely on; `EXIT_MEANINGS` says each in words. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  inPart: 3,
  belowPolicy: 4,
  noDaemon: 5,
  refused: 6,
  noHome: 10,
  tooFewShards: 11,
  wrongKey: 12,
  interrupted: 130,
  /** The reader of our output went away: what a shell shows for SIGPIPE. */
  brokenPipe: 141,
} as const;
export type ExitStatus = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_MEANINGS: Readonly<Record<ExitStatus, string>> = {
  0: "done",
  1: "failed",
  2: "usage",
  3: "done in part; what is missing is listed",
  4: "done, but protection is below the policy",
  5: "the daemon is not running",
  6: "refused: not a member, no right, quota",
  10: "this home is not initialised",
  11: "not enough shards can be reached",
  12: "wrong recovery key or passphrase",
  130: "interrupted; run again to go on",
  141: "the reader of the output went away",
};

/** Of anything that was thrown. */
export function exitStatusOf(error: unknown): ExitStatus {
  if (isFault(error)) return exitStatusOfFault(error);
  if (error instanceof DaemonFailure && error.code === "DAEMON_GONE") return EXIT.noDaemon;
  return EXIT.failed;
}

function exitStatusOfFault({ detail }: Fault): ExitStatus {
  switch (detail.code) {
    case "USAGE":
    case "PROFILE_IMPOSSIBLE":
      return EXIT.usage;
    case "DAEMON_NOT_RUNNING":
      return EXIT.noDaemon;
    case "NOT_A_MEMBER":
    case "NOT_ALLOWED":
    case "ADMINISTRATORS_FORKED":
    case "TOKEN_INVALID":
    case "TOKEN_EXPIRED":
    case "TOKEN_USED":
    case "QUOTA_EXCEEDED":
    case "FENCED":
    case "REMOVED":
    case "HOME_BEHIND":
    case "PEER_REFUSED":
      return EXIT.refused;
    case "HOME_MISSING":
      return EXIT.noHome;
    case "TOO_FEW_SHARDS":
    case "SHARD_MISSING":
      return EXIT.tooFewShards;
    case "HEAD_UNREADABLE":
      return detail.shortages.length > 0 ? EXIT.tooFewShards : EXIT.failed;
    case "WRONG_KEY":
      return EXIT.wrongKey;
    case "REPOSITORY_NOT_FOUND":
      return EXIT.tooFewShards;
    case "INTERRUPTED":
      return EXIT.interrupted;
    case "COMMAND_FAILED":
    case "SET_UNKNOWN":
    case "POLICY_INVALID":
    case "SNAPSHOT_UNKNOWN":
    case "SNAPSHOT_AMBIGUOUS":
    case "PATH_NOT_IN_SNAPSHOT":
    case "PEER_UNKNOWN":
    case "UNSUPPORTED":
    case "HOME_EXISTS":
    case "HOME_LOCKED":
    case "DISK_FULL":
    case "DISK_FAILED":
    case "WORKER_LOST":
    case "SPOOL_FULL":
    case "SOURCE_MISSING":
    case "SOURCE_UNREADABLE":
    case "TARGET_UNSAFE":
    case "TARGET_FAILED":
    case "PEER_UNREACHABLE":
    case "PEER_TIMEOUT":
    case "PEER_BUSY":
    case "PEER_PROTOCOL":
    case "NO_ROOM":
    case "FORMAT_INVALID":
    case "FORMAT_VERSION":
    case "SIGNATURE_INVALID":
    case "RECORD_STALE":
    case "SHARD_CORRUPT":
    case "SHARD_CONFLICT":
    case "SEGMENT_UNREADABLE":
    case "CHUNK_UNKNOWN":
      return EXIT.failed;
  }
}

/**
 * Unreadable files outrank missing protection: the daemon goes on placing by itself, but nobody adds a file to
 * a snapshot afterwards.
 */
export function exitStatusOfSnapshot(result: SnapshotResult): ExitStatus {
  if (result.state === "partial") return EXIT.failed;
  if (result.unreadableCount > 0) return EXIT.inPart;
  return result.state === "placed" || result.state === "pending" ? EXIT.belowPolicy : EXIT.done;
}

export function exitStatusOfRestore(result: RestoreResult): ExitStatus {
  return result.problemCount > 0 ? EXIT.inPart : EXIT.done;
}

/**
 * Nothing that is on a machine that is no member is protected any more: a script that only looks at exit statuses should
 * see it. Nor is it all well while something does not survive what it is meant to survive, of the own repository or of what this
 * node holds for owners whose own node is away: nobody else may be looking at that.
 */
export function exitStatusOfStatus({
  standing,
  repair,
  heirs,
  alerts,
}: Pick<StatusResult, "standing" | "repair" | "heirs" | "alerts">): ExitStatus {
  const isWell = standing.state === "member" || standing.state === "guest";
  const isOwnWell = repair === undefined || isAsMeant(repair);
  const areOthersWell = heirs === undefined || (heirs.queued === 0 && heirs.stuck.length === 0);
  // Nothing new is saved as the policy wants it.
  const isSaved = !alerts.some(({ code }) => UNSAVED.has(code));
  return isWell && isOwnWell && areOthersWell && isSaved ? EXIT.done : EXIT.belowPolicy;
}

const UNSAVED: ReadonlySet<string> = new Set(["policy-invalid", "set-failing", "set-overdue", "set-behind"]);

/** What is left after a round by hand, or what the last look found. */
export function exitStatusOfRepair({ standing, held }: RepairResult): ExitStatus {
  if (standing === undefined) return EXIT.done;
  const { segments, stuck } = standing.queue;
  return isAsMeant(standing) && segments === 0 && stuck.length === 0 && held === 0
    ? EXIT.done
    : EXIT.belowPolicy;
}

function isAsMeant({ belowPolicy, unknown }: RepairStanding): boolean {
  return belowPolicy === 0 && unknown === 0;
}

/** Something was found, now or before, and still has to be mended; or nothing could be looked at. */
export function exitStatusOfScrub({ corrupt, waiting, disk }: ScrubResult): ExitStatus {
  return corrupt > 0 || waiting > 0 || disk.state === "gone" ? EXIT.belowPolicy : EXIT.done;
}

/** Something has nowhere to go, or is still here. */
export function exitStatusOfDrain({ state }: DrainResult): ExitStatus {
  return state === "stuck" ? EXIT.belowPolicy : EXIT.done;
}

/** Late is not wrong: only what was missing or altered, in this round or so that its holder is still suspect. */
export function exitStatusOfAudit({ now, corrupt, suspects }: AuditResult): ExitStatus {
  return (now && corrupt > 0) || suspects > 0 ? EXIT.belowPolicy : EXIT.done;
}

/** A corrupt shard is never `done`, even where enough others are left: somebody should see it. */
export function exitStatusOfVerify(result: VerifyResult): ExitStatus {
  if (result.state === "unreadable") return EXIT.tooFewShards;
  return result.state === "weak" || result.corruptCount > 0 ? EXIT.belowPolicy : EXIT.done;
}
