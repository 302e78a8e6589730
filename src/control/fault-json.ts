import { z } from "zod";
import { Fault, type FaultDetail, messageOf } from "../base/fault.ts";
import {
  type OwnerId,
  type PeerId,
  parseIncarnation,
  parseOwnerId,
  parsePeerId,
  SEGMENT_NUMBER_MAX,
} from "../base/ids.ts";

/** What `--json` prints, and what travels: the same object. */
export const faultJson = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    detail: z.record(z.string(), z.unknown()).optional(),
  }),
});
export type FaultJson = z.infer<typeof faultJson>;

/** Our own failure, or a fault of a newer daemon that this program does not know. */
export class DaemonFailure extends Error {
  override readonly name = "DaemonFailure";
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export function faultToJson(error: unknown): FaultJson {
  if (error instanceof Fault) {
    const { code, ...detail } = error.detail;
    return { error: { code, message: error.message, detail } };
  }
  const code = error instanceof DaemonFailure ? error.code : "INTERNAL";
  return { error: { code, message: messageOf(error) } };
}

/** The thrown thing again. Details of the wrong shape make it a `DaemonFailure` with the same code and text. */
export function faultFromJson(json: FaultJson): Fault | DaemonFailure {
  const { code, message, detail } = json.error;
  const parsed = faultDetail.safeParse({ ...detail, code });
  return parsed.success ? new Fault(parsed.data) : new DaemonFailure(code, message);
}

function branded<T extends string>(parse: (text: string) => T | undefined, what: string) {
  return z.string().transform((text, context): T => {
    const id = parse(text);
    if (id !== undefined) return id;
    context.addIssue({ code: "custom", message: `not ${what}` });
    return z.NEVER;
  });
}

const peer = branded<PeerId>(parsePeerId, "a peer id");
const owner = branded<OwnerId>(parseOwnerId, "an owner id");
const incarnation = branded(parseIncarnation, "an incarnation");
const text = z.string();
const number = z.number();
const segment = z.object({ owner, incarnation, number: z.int().min(0).max(SEGMENT_NUMBER_MAX) });
const shard = segment.extend({ index: z.int().nonnegative() });
const shortage = z.object({ segment, have: number, need: number, holders: z.array(peer) });
const readableHead = z.object({
  head: text,
  timeMs: number,
  snapshots: number,
  newest: z.object({ snapshot: text, timeMs: number }),
});

const fault = <C extends FaultDetail["code"], S extends z.core.$ZodLooseShape>(code: C, shape: S) =>
  z.object({ code: z.literal(code), ...shape });

const details = [
  fault("USAGE", { reason: text }),
  fault("SNAPSHOT_UNKNOWN", {
    asked: text,
    at: z.exactOptional(z.object({ askedMs: number, oldestMs: z.exactOptional(number) })),
    of: z.exactOptional(z.object({ source: text, hosts: z.array(text) })),
  }),
  fault("SNAPSHOT_AMBIGUOUS", { asked: text, matches: z.array(text) }),
  fault("PATH_NOT_IN_SNAPSHOT", { snapshot: text, path: text }),
  fault("SET_UNKNOWN", { set: text }),
  fault("POLICY_INVALID", { issues: z.array(z.object({ line: number, column: number, message: text })) }),
  fault("PEER_UNKNOWN", { asked: text }),
  fault("PROFILE_IMPOSSIBLE", { profile: text, reason: text }),
  fault("UNSUPPORTED", { what: text }),
  fault("INTERRUPTED", {}),
  fault("HOME_MISSING", { home: text }),
  fault("HOME_EXISTS", { home: text }),
  fault("HOME_LOCKED", { home: text, pid: z.exactOptional(number) }),
  fault("DAEMON_NOT_RUNNING", { home: text }),
  fault("HOME_BEHIND", { peers: number }),
  fault("DISK_FULL", { where: text, freeBytes: z.exactOptional(number), needBytes: z.exactOptional(number) }),
  fault("DISK_FAILED", { where: text, errno: text }),
  fault("WORKER_LOST", { reason: text }),
  fault("SPOOL_FULL", { usedBytes: number, maxBytes: number }),
  fault("SOURCE_MISSING", { path: text }),
  fault("SOURCE_UNREADABLE", { path: text, errno: text }),
  fault("COMMAND_FAILED", { command: text, reason: text, stderr: text }),
  fault("TARGET_UNSAFE", { path: text, reason: text }),
  fault("TARGET_FAILED", { path: text, errno: text }),
  fault("NOT_A_MEMBER", {
    peer: z.exactOptional(peer),
    displacedBy: z.exactOptional(peer),
    token: z.exactOptional(z.literal("unknown")),
  }),
  fault("NOT_ALLOWED", { reason: text }),
  fault("ADMINISTRATORS_FORKED", { number }),
  fault("TOKEN_INVALID", { reason: text }),
  fault("TOKEN_EXPIRED", { expiredAt: text }),
  fault("TOKEN_USED", {}),
  fault("QUOTA_EXCEEDED", { owner, quotaBytes: number }),
  fault("WRONG_KEY", {
    what: z.enum(["recovery key", "passphrase", "share of a recovery key", "set of shares"]),
    reason: text.exactOptional(),
  }),
  fault("FENCED", { owner }),
  fault("REMOVED", { owner }),
  fault("PEER_UNREACHABLE", { peer: text, reason: text }),
  fault("PEER_TIMEOUT", { peer: text, afterMs: number }),
  fault("PEER_BUSY", { peer: text }),
  fault("PEER_REFUSED", { peer: text, refusal: text, reason: text }),
  fault("PEER_PROTOCOL", { peer: text, reason: text }),
  fault("NO_ROOM", { peer: text, freeBytes: number }),
  fault("FORMAT_INVALID", { what: text, reason: text }),
  fault("FORMAT_VERSION", { what: text, version: number, newestKnown: number }),
  fault("SIGNATURE_INVALID", { what: text, reason: text }),
  fault("RECORD_STALE", { what: text, epoch: number, knownEpoch: number }),
  fault("SHARD_MISSING", { shard, peer: z.exactOptional(peer) }),
  fault("SHARD_CORRUPT", { shard, peer: z.exactOptional(peer), reason: text }),
  fault("SHARD_CONFLICT", { shard }),
  fault("SEGMENT_UNREADABLE", { segment, reason: text }),
  fault("CHUNK_UNKNOWN", { chunk: text }),
  fault("REPOSITORY_NOT_FOUND", { owner, answered: number, asked: number }),
  fault("TOO_FEW_SHARDS", { shortages: z.array(shortage) }),
  fault("HEAD_UNREADABLE", {
    head: text,
    timeMs: number,
    reason: text,
    shortages: z.array(shortage),
    readable: z.array(readableHead),
    apart: z.array(text),
  }),
] as const;

const faultDetail = z.discriminatedUnion("code", details);

/** Does not compile when a code of `FaultDetail` has no schema above. */
type CodeWithSchema = z.infer<typeof faultDetail>["code"];
export const everyFaultHasASchema: Exclude<FaultDetail["code"], CodeWithSchema> extends never ? true : never =
  true;
