import { expect, it } from "vitest";
import { Fault, type FaultCode, type FaultDetail } from "../../../src/base/fault.ts";
import { incarnationOf, ownerIdOf, peerIdOf } from "../../../src/base/ids.ts";
import { EXIT_MEANINGS, exitStatusOf } from "../../../src/cli/exit-codes.ts";
import { DaemonFailure, faultFromJson, faultJson, faultToJson } from "../../../src/control/fault-json.ts";

const peer = peerIdOf(new Uint8Array(32).fill(7));
const owner = ownerIdOf(new Uint8Array(32).fill(1));
const segment = { owner, incarnation: incarnationOf(new Uint8Array(16)), number: 12 };
const shard = { ...segment, index: 3 };

/** One of every code, and the exit status that docs promise for it. */
const EVERY: {
  readonly [C in FaultCode]: readonly [number, Omit<Extract<FaultDetail, { code: C }>, "code">];
} = {
  USAGE: [2, { reason: "r" }],
  SNAPSHOT_UNKNOWN: [1, { asked: "4f" }],
  SNAPSHOT_AMBIGUOUS: [1, { asked: "4f", matches: ["4f1", "4f2"] }],
  PATH_NOT_IN_SNAPSHOT: [1, { snapshot: "4f", path: "/a" }],
  SET_UNKNOWN: [1, { set: "shop" }],
  POLICY_INVALID: [1, { issues: [{ line: 3, column: 1, message: "m" }] }],
  PEER_UNKNOWN: [1, { asked: "p" }],
  PROFILE_IMPOSSIBLE: [2, { profile: "6+3", reason: "r" }],
  UNSUPPORTED: [1, { what: "w" }],
  INTERRUPTED: [130, {}],
  HOME_MISSING: [10, { home: "/h" }],
  HOME_EXISTS: [1, { home: "/h" }],
  HOME_LOCKED: [1, { home: "/h", pid: 5 }],
  DAEMON_NOT_RUNNING: [5, { home: "/h" }],
  HOME_BEHIND: [6, { peers: 2 }],
  DISK_FULL: [1, { where: "/h", freeBytes: 5 }],
  DISK_FAILED: [1, { where: "/h", errno: "EIO" }],
  WORKER_LOST: [1, { reason: "r" }],
  SPOOL_FULL: [1, { usedBytes: 5, maxBytes: 6 }],
  SOURCE_MISSING: [1, { path: "/a" }],
  SOURCE_UNREADABLE: [1, { path: "/a", errno: "EACCES" }],
  COMMAND_FAILED: [1, { command: "pg_dump shop", reason: "it exited with status 1", stderr: "no" }],
  TARGET_UNSAFE: [1, { path: "/a", reason: "r" }],
  TARGET_FAILED: [1, { path: "/a", errno: "EROFS" }],
  NOT_A_MEMBER: [6, { peer }],
  NOT_ALLOWED: [6, { reason: "r" }],
  TOKEN_INVALID: [6, { reason: "r" }],
  TOKEN_EXPIRED: [6, { expiredAt: "2026-11-21T00:00:00Z" }],
  ADMINISTRATORS_FORKED: [6, { number: 2 }],
  TOKEN_USED: [6, {}],
  QUOTA_EXCEEDED: [6, { owner, quotaBytes: 5 }],
  WRONG_KEY: [12, { what: "recovery key" }],
  FENCED: [6, { owner }],
  REMOVED: [6, { owner }],
  PEER_UNREACHABLE: [1, { peer, reason: "r" }],
  PEER_TIMEOUT: [1, { peer, afterMs: 5 }],
  PEER_BUSY: [1, { peer }],
  PEER_REFUSED: [6, { peer, refusal: "no", reason: "r" }],
  PEER_PROTOCOL: [1, { peer, reason: "r" }],
  NO_ROOM: [1, { peer, freeBytes: 5 }],
  FORMAT_INVALID: [1, { what: "w", reason: "r" }],
  FORMAT_VERSION: [1, { what: "w", version: 9, newestKnown: 1 }],
  SIGNATURE_INVALID: [1, { what: "w", reason: "r" }],
  RECORD_STALE: [1, { what: "w", epoch: 1, knownEpoch: 2 }],
  SHARD_MISSING: [11, { shard, peer }],
  SHARD_CORRUPT: [1, { shard, reason: "r" }],
  SHARD_CONFLICT: [1, { shard }],
  SEGMENT_UNREADABLE: [1, { segment, reason: "r" }],
  CHUNK_UNKNOWN: [1, { chunk: "c" }],
  REPOSITORY_NOT_FOUND: [11, { owner, answered: 3, asked: 4 }],
  TOO_FEW_SHARDS: [11, { shortages: [{ segment, have: 2, need: 3, holders: [peer] }] }],
  HEAD_UNREADABLE: [
    11,
    {
      head: "4f",
      timeMs: 5,
      reason: "r",
      shortages: [{ segment, have: 2, need: 3, holders: [peer] }],
      readable: [{ head: "4e", timeMs: 4, snapshots: 2, newest: { snapshot: "aa", timeMs: 3 } }],
      apart: ["4d"],
    },
  ],
};

const faults = Object.entries(EVERY).map(([code, [status, detail]]) => {
  const fault = faultFromJson({ error: { code, message: "", detail: { ...detail } } });
  return [code, status, detail, fault] as const;
});

it.each(faults)("%s travels as JSON and exits with %i", (code, status, detail, fault) => {
  expect(fault).toBeInstanceOf(Fault);
  expect(fault).toMatchObject({ code, detail: { code, ...detail } });
  const travelled = faultFromJson(faultJson.parse(JSON.parse(JSON.stringify(faultToJson(fault)))));
  expect(travelled).toEqual(fault);
  expect(travelled.message).toBe(fault.message);
  expect(exitStatusOf(travelled)).toBe(status);
  expect(Object.keys(EXIT_MEANINGS)).toContain(String(status));
});

it("keeps code and text of a fault that this version does not know or that is malformed", () => {
  const unknown = faultFromJson({ error: { code: "NEW_ONE", message: "Something new." } });
  expect(unknown).toMatchObject({ name: "DaemonFailure", code: "NEW_ONE", message: "Something new." });
  const malformed = faultFromJson({
    error: { code: "FENCED", message: "m", detail: { owner: "../../etc" } },
  });
  expect(malformed).toMatchObject({ name: "DaemonFailure", code: "FENCED", message: "m" });
  expect(exitStatusOf(malformed)).toBe(1);
});

it("a bug and a lost connection are failures with their text", () => {
  expect(faultToJson(new TypeError("x is undefined")).error).toEqual({
    code: "INTERNAL",
    message: "x is undefined",
  });
  expect(exitStatusOf(new TypeError("x"))).toBe(1);
  expect(exitStatusOf(new DaemonFailure("DAEMON_GONE", "gone"))).toBe(5);
});
