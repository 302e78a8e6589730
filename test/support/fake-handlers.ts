import { bytePathOf } from "../../src/base/paths.ts";
import {
  type AuditResult,
  type ControlHandlers,
  type DecisionResult,
  type EntryInfo,
  type PlanResult,
  type RepairResult,
  type RepairStanding,
  type RestoreResult,
  type ScrubResult,
  type SnapshotResult,
  type StatusResult,
  showPath,
  type VerifyResult,
} from "../../src/control/api.ts";

export const SURVIVES = { sites: 1, nodes: 3, hosts: 3, nodesAfterWorstSite: 1 };
export const SNAPSHOT_ID = "4f2a9c".padEnd(64, "0");
export const TIME = "2026-11-21T03:04:05.000Z";

export function snapshotResult(changes: Partial<SnapshotResult> = {}): SnapshotResult {
  return {
    snapshotId: SNAPSHOT_ID,
    state: "safe",
    time: TIME,
    profile: "3+3",
    files: 12,
    directories: 3,
    bytesRead: 5_000_000,
    bytesNew: 4_000_000,
    bytesStored: 9_000_000,
    segments: 2,
    unreadable: [],
    unreadableCount: 0,
    changed: [],
    changedCount: 0,
    skipped: [],
    skippedCount: 0,
    excluded: 0,
    durationMs: 2500,
    survives: SURVIVES,
    notes: [],
    ...changes,
  };
}

export function restoreResult(changes: Partial<RestoreResult> = {}): RestoreResult {
  return {
    snapshotId: SNAPSHOT_ID,
    time: TIME,
    files: 12,
    directories: 3,
    bytes: 5_000_000,
    bytesFetched: 4_100_000,
    verified: true,
    skippedUnchanged: 0,
    skippedExisting: 0,
    deleted: 0,
    ownersNotRestored: 0,
    problems: [],
    problemCount: 0,
    dryRun: false,
    durationMs: 1800,
    ...changes,
  };
}

export function verifyResult(changes: Partial<VerifyResult> = {}): VerifyResult {
  return {
    snapshots: 1,
    state: "ok",
    segmentCount: 2,
    segments: [],
    proven: 12,
    claimed: 0,
    missing: 0,
    elsewhere: 0,
    shardsChecked: 12,
    corrupt: [],
    corruptCount: 0,
    worstMargin: 3,
    survives: SURVIVES,
    bytesRead: 196_608,
    readData: false,
    durationMs: 900,
    notes: [],
    ...changes,
  };
}

export function scrubResult(changes: Partial<ScrubResult> = {}): ScrubResult {
  return {
    ran: true,
    complete: true,
    scanned: 412,
    corrupt: 0,
    quarantined: 0,
    repaired: 0,
    bytesRead: 3_000_000,
    bytesMoved: 0,
    waiting: 0,
    bad: [],
    paused: false,
    disk: { state: "serving" },
    oldestUnverifiedMs: 5000,
    periodMs: 30 * 86_400_000,
    roundStartedAt: TIME,
    durationMs: 900,
    notes: [],
    ...changes,
  };
}

export function auditResult(changes: Partial<AuditResult> = {}): AuditResult {
  const holder = {
    peerId: "12D3KooWQf8AL8",
    name: "till-4",
    asked: 32,
    proven: 32,
    late: 0,
    missing: 0,
    wrong: 0,
  };
  return {
    scanned: 32,
    corrupt: 0,
    quarantined: 0,
    repaired: 0,
    bytesMoved: 524_288,
    now: false,
    suspects: 0,
    holders: [{ ...holder, lastAsked: TIME, lastProven: TIME, pending: 0, evidence: [] }],
    ...changes,
  };
}

export function repairResult(changes: Partial<RepairResult> = {}): RepairResult {
  return {
    now: false,
    scanned: 900,
    corrupt: 0,
    quarantined: 0,
    repaired: 0,
    failed: 0,
    bytesMoved: 0,
    bytesRead: 0,
    bytesSent: 0,
    silent: 0,
    held: 0,
    standing: repairStanding(),
    ...changes,
  };
}

export function planResult(changes: Partial<PlanResult> = {}): PlanResult {
  return {
    remove: [{ peerId: "12D3KooWGoes", name: "till-7", site: "jena" }],
    segments: 100,
    bytes: { held: 1000, drained: 1000, read: 3000, sent: 1000, repaired: 4000, stuck: 0 },
    survives: { before: SURVIVES, during: SURVIVES, after: SURVIVES },
    margin: { before: 3, during: 2, after: 3 },
    received: [{ peerId: "12D3KooWTakes", name: "till-8", bytes: 1000 }],
    stuck: [],
    ...changes,
  };
}

export function repairStanding(changes: Partial<RepairStanding> = {}): RepairStanding {
  return {
    lookedAt: TIME,
    segments: 100,
    unknown: 0,
    margin: 3,
    survives: { sites: 1, nodes: 3, hosts: 3, nodesAfterWorstSite: 1 },
    belowPolicy: 0,
    absentShards: 0,
    suspectShards: 0,
    weather: "calm",
    queue: {
      segments: 0,
      shards: 0,
      bytes: 0,
      worstMargin: 3,
      reasons: [],
      waiting: { shards: 0 },
      stuck: [],
    },
    ...changes,
  };
}

export function statusResult(changes: Partial<StatusResult> = {}): StatusResult {
  return {
    standing: { state: "member" },
    recoveryUses: [],
    forks: [],
    node: {
      peerId: "12D3KooWQf8AL8c1gCLEhJ3fkTk7sVdRrJE6tUuoBZpRzpXbTnRk",
      name: "till-3",
      site: "leipzig",
      version: "0.1.0",
      addresses: ["/ip4/10.1.0.3/tcp/4001"],
      startedAt: TIME,
    },
    swarm: { swarmId: "ab".repeat(32), members: 9, alive: 8, sites: 3, administrators: 1, pending: [] },
    repository: {
      ownerId: "cd".repeat(32),
      incarnation: "ef".repeat(16),
      readOnly: false,
      behind: 0,
      snapshots: 14,
      newest: { snapshotId: SNAPSHOT_ID, time: TIME, state: "safe", bytes: 5_000_000 },
      logicalBytes: 70_000_000,
      uniqueBytes: 6_000_000,
      storedBytes: 12_500_000,
      segments: 4,
      pool: 8,
    },
    protection: {
      survives: SURVIVES,
      state: "safe",
      margins: [
        { margin: 2, segments: 1 },
        { margin: 3, segments: 3 },
      ],
      unreachable: [],
      notes: [],
    },
    storage: {
      conflicts: 0,
      capacityBytes: 100 * 2 ** 30,
      usedBytes: 3 * 2 ** 30,
      freeBytes: 97 * 2 ** 30,
      shards: 412,
    },
    spool: { segments: 0, bytes: 0, maxBytes: 10 * 2 ** 30 },
    alerts: [],
    ...changes,
  };
}

export function decisionResult(changes: Partial<DecisionResult> = {}): DecisionResult {
  return {
    peerId: "12D3KooWQf8AL8",
    name: "till-3",
    site: "leipzig",
    outcome: "announced",
    inEffect: true,
    withdrawn: [],
    ...changes,
  };
}

export function entry(path: string, changes: Partial<EntryInfo> = {}): EntryInfo {
  return {
    ...showPath(bytePathOf(path)),
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    user: "root",
    group: "root",
    size: 1234,
    mtime: "2026-11-20T01:02:03.000000004Z",
    ...changes,
  };
}

/** A daemon that answers everything with something plausible; a test replaces what it is about. */
export function fakeHandlers(changes: Partial<ControlHandlers> = {}): ControlHandlers {
  return {
    status: async () => statusResult(),
    peers: async () => ({
      peers: [
        {
          peerId: "12D3KooWQf8AL8c1gCLEhJ3fkTk7sVdRrJE6tUuoBZpRzpXbTnRk",
          name: "till-3",
          site: "leipzig",
          state: "self",
          holder: true,
          capacityBytes: 2 ** 40,
          usedBytes: 2 ** 30,
          addresses: ["/ip4/10.1.0.3/tcp/4001"],
        },
      ],
    }),
    invite: async ({ site, uses, quotaBytes }) => ({
      token: "cairn1-abc",
      site,
      uses,
      expiresAt: TIME,
      ...(quotaBytes === undefined ? {} : { quotaBytes }),
    }),
    remove: async () => decisionResult(),
    siteMove: async () => decisionResult(),
    adminList: async () => ({
      administrators: [{ key: "ab".repeat(32), since: TIME, self: true, name: "till-3", site: "leipzig" }],
      threshold: 1,
      number: 0,
      forks: [],
    }),
    log: async () => ({
      swarmId: "ab".repeat(32),
      ownerId: "cd".repeat(32),
      entries: [],
      total: 0,
      problems: [],
      missing: [],
      spreadTo: 0,
    }),
    keyBasis: async () => ({
      swarmId: "ab".repeat(32),
      ownerId: "cd".repeat(32),
      peerId: "12D3KooWQf8AL8",
      certificate: "01".repeat(32),
      generation: 0,
      number: 1,
      retires: "02".repeat(32),
      incarnation: "03".repeat(16),
    }),
    keyRotate: async () => ({
      recoveryId: "04".repeat(32),
      oldRecoveryId: "02".repeat(32),
      since: TIME,
      members: 4,
      connected: 3,
    }),
    adminKey: async () => ({ key: "ab".repeat(32) }),
    adminAdd: async () => ({ key: "cd".repeat(32), outcome: "added", administrators: 2 }),
    adminRemove: async () => ({ key: "cd".repeat(32), outcome: "removed", administrators: 1 }),
    adminConfirm: async () => ({
      peerId: "12D3KooWQf8AL8",
      name: "till-3",
      site: "leipzig",
      holder: true,
    }),
    adminThreshold: async ({ threshold }) => ({ threshold, administrators: 3 }),
    adminPending: async () => ({ proposals: [], decisions: [], threshold: 1, administrators: 1 }),
    adminVote: async ({ id, vote }) => ({ id, vote, known: false, inEffect: true }),
    quota: async ({ quotaBytes }) => ({
      peerId: "12D3KooWQf8AL8",
      name: "till-3",
      outcome: "changed",
      ...(quotaBytes === undefined ? {} : { quotaBytes }),
    }),
    snapshot: async () => snapshotResult(),
    async snapshotStdin(_request, _context, body) {
      let bytesRead = 0;
      for await (const chunk of body) bytesRead += chunk.length;
      return snapshotResult({ bytesRead, files: 1, directories: 0 });
    },
    snapshotSet: async () => snapshotResult(),
    usage: async () => ({
      ...{ logicalBytes: 3_000_000, uniqueBytes: 1_000_000, unread: 0 },
      stored: { segments: 4, storedBytes: 2_000_000 },
      shared: { segments: 2, storedBytes: 1_500_000 },
      unneeded: { segments: 1, storedBytes: 100_000 },
      snapshots: [
        {
          ...{ snapshotId: SNAPSHOT_ID, time: TIME, tags: ["db"], logicalBytes: 3_000_000 },
          own: { segments: 1, storedBytes: 400_000 },
        },
      ],
      peers: [
        { peerId: "12D3KooWQf8AL8", name: "till-3", site: "leipzig", shards: 4, storedBytes: 2_000_000 },
      ],
    }),
    forget: async () => ({ dryRun: true, sets: [], snapshots: [] }),
    prune: async ({ dryRun }) => ({
      ...{ dryRun, segments: 2, freedBytes: 300_000, kept: { segments: 9, storedBytes: 2_000_000 } },
      copied: { segments: 3, aliveBytes: 40_000 },
      liveSet: { epoch: 1, time: TIME, holders: 5, missing: 1 },
    }),
    release: async () => ({
      peerId: "12D3KooWQf8AL8",
      name: "till-3",
      owner: "ab",
      until: TIME,
      inForce: true,
    }),
    unmark: async () => ({
      snapshotId: SNAPSHOT_ID,
      time: TIME,
      marks: [{ kind: "anomaly", text: "9 of 10 files are gone" }],
    }),
    pin: async ({ pinned }) => ({ snapshotId: SNAPSHOT_ID, time: TIME, pinned }),
    policyShow: async () => ({ state: "none", issues: [], sets: [] }),
    policySet: async () => ({ state: "valid", issues: [], sets: [] }),
    snapshots: async () => ({ snapshots: [] }),
    async *ls() {
      yield entry("/srv/a");
      return { snapshotId: SNAPSHOT_ID, time: TIME, entries: 1, bytes: 1234 };
    },
    async *find() {
      yield { snapshotId: SNAPSHOT_ID, time: TIME, ...entry("/srv/a") };
      return { snapshots: 1, matches: 1 };
    },
    async *diff() {
      yield { ...showPath(bytePathOf("/srv/a")), change: "added", type: "file", sizeAfter: 1234 };
      return {
        before: SNAPSHOT_ID,
        after: SNAPSHOT_ID,
        added: 1,
        removed: 0,
        modified: 0,
        metadata: 0,
        bytesAdded: 1234,
        bytesRemoved: 0,
      };
    },
    async *cat() {
      yield Buffer.from("contents");
      return { snapshotId: SNAPSHOT_ID, time: TIME, bytes: 8 };
    },
    restore: async () => restoreResult(),
    verify: async () => verifyResult(),
    scrub: async () => scrubResult(),
    async *shards() {
      const place = { file: "/home/shards/x", offset: 0 };
      yield {
        ownerId: "cd".repeat(32),
        incarnation: "ef".repeat(16),
        number: 5,
        index: 2,
        bytes: 100,
        ...place,
      };
      return { shards: 1, bytes: 100 };
    },
    drain: async ({ action }) => ({
      ...{ shardsLeft: 0, bytesLeft: 0, bytesMoved: 0, shardsUnknown: 0, shardsSurplus: 0, stuck: [] },
      state: action === "begin" ? "done" : "none",
    }),
    maintenance: async (request) => ({
      ...(request.action === "begin" ? { until: TIME } : {}),
      connected: 8,
    }),
    audit: async ({ now }) => auditResult({ now }),
    plan: async () => planResult(),
    repair: async ({ now }) => repairResult({ now }),
    shutdown: async () => ({ stopping: true }),
    ...changes,
  };
}
