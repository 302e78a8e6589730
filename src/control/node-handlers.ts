import { toHex } from "../base/bytes.ts";
import { HOUR_MS } from "../base/units.ts";
import {
  catFile,
  chooseSnapshot,
  diffSnapshots,
  findEntries,
  listEntries,
  type Node,
  type NodeScheduler,
  narrowSnapshots,
  ownerNames,
  peersOf,
  repositoryStanding,
  type SnapshotEntry,
  type Tidier,
} from "../node/index.ts";
import type { CommandContext, ControlHandlers } from "./api.ts";
import { adminHandlers, pendingJson } from "./node-admin.ts";
import { auditHandler, auditStanding } from "./node-audit.ts";
import { asFarAsHere } from "./node-fenced.ts";
import { drainHandler, heirsStandingOf } from "./node-heirs.ts";
import {
  alertsOf,
  differenceJson,
  entryJson,
  iso,
  recoveryUsesJson,
  snapshotInfoJson,
  standingJson,
  survivesJson,
} from "./node-json.ts";
import { locksStandingOf } from "./node-locks.ts";
import { markAlerts, unmarkHandler } from "./node-marks.ts";
import { planHandler } from "./node-plan.ts";
import { policyJson, requireScheduler, scheduleStandingOf, snapshotSetHandler } from "./node-policy.ts";
import { livenessOf, maintenanceHandler, presenceStanding } from "./node-presence.ts";
import { proposalOf } from "./node-proposals.ts";
import { collectionAlerts, pruneHandler, releaseHandler } from "./node-prune.ts";
import { removedPeers } from "./node-removed.ts";
import { repairHandler, repairStatus } from "./node-repair.ts";
import { restoreHandler } from "./node-restore.ts";
import { forgetHandler, pinHandler } from "./node-retention.ts";
import { rotateHandler, rotationBasisHandler } from "./node-rotation.ts";
import { scrubHandler, scrubStanding, shardsHandler } from "./node-scrub.ts";
import { snapshotHandler, snapshotStdinHandler } from "./node-snapshot.ts";
import { logHandler } from "./node-trail.ts";
import { trustOf } from "./node-trust.ts";
import { usageHandler } from "./node-usage.ts";
import { verifyHandler } from "./node-verify.ts";
import type * as requests from "./requests.ts";
import type * as results from "./results.ts";
import { LISTED_MAX } from "./results.ts";

export interface NodeHandlersInit {
  readonly version: string;
  /** Asks the daemon to stop as on SIGTERM. */
  readonly stop: () => void;
  /** @default none: nothing is made by itself */
  readonly scheduler?: NodeScheduler;
  /** @default none: nothing is forgotten by itself */
  readonly tidier?: Tidier;
}

/** What a running node answers to the command line and the dashboard. */
export function nodeHandlers(node: Node, init: NodeHandlersInit): ControlHandlers {
  const { repository } = node;
  return {
    status: () => statusHandler(node, init),
    peers: () => peersHandler(node),
    invite: (request) => inviteHandler(node, request),
    ...adminHandlers(node),
    keyBasis: async () => rotationBasisHandler(node),
    keyRotate: (request) => rotateHandler(node, request),
    snapshot: (request, context) => snapshotHandler(node, request, context),
    snapshotSet: async (request, context) =>
      snapshotSetHandler(node, requireScheduler(init.scheduler), request, context),
    usage: (_, context) => usageHandler(node, context),
    log: (request, context) => logHandler(node, request, context),
    forget: (request, context) =>
      forgetHandler(node, requireScheduler(init.scheduler), request, context.signal),
    prune: (request, context) => pruneHandler(node, request, context),
    release: (request) => releaseHandler(node, request),
    pin: (request) => pinHandler(node, request),
    unmark: (request) => unmarkHandler(node, request),
    async policyShow() {
      const scheduler = requireScheduler(init.scheduler);
      await scheduler.reload();
      return policyJson(node, scheduler);
    },
    async policySet({ text }) {
      const scheduler = requireScheduler(init.scheduler);
      await scheduler.replace(text);
      return policyJson(node, scheduler);
    },
    snapshotStdin: (request, context, body) => snapshotStdinHandler(node, request, context, body),
    async snapshots(request) {
      const census = repository.census();
      const entries = narrowSnapshots(await repository.snapshots(), request);
      const snapshots: results.SnapshotInfo[] = [];
      for (const entry of entries) {
        snapshots.push(
          snapshotInfoJson(
            entry,
            await repository.protectionOf(entry, census),
            repository.locks.standingOf(entry),
          ),
        );
      }
      return { snapshots };
    },
    ls: (request, context) => asFarAsHere(node, lsHandler(node, request, context)),
    find: (request, context) => asFarAsHere(node, findHandler(node, request, context)),
    diff: (request, context) => asFarAsHere(node, diffHandler(node, request, context)),
    cat: (request, context) => asFarAsHere(node, catHandler(node, request, context)),
    restore: (request, context) => restoreHandler(node, request, context),
    verify: (request, context) => verifyHandler(node, request, context),
    scrub: (request, context) => scrubHandler(node, request, context),
    shards: (request) => shardsHandler(node, request),
    maintenance: (request) => maintenanceHandler(node, request),
    drain: (request, context) => drainHandler(node, request, context),
    audit: (request, context) => auditHandler(node, request, context),
    plan: (request) => planHandler(node, request),
    repair: (request, context) => repairHandler(node, request, context),
    async shutdown() {
      init.stop();
      return { stopping: true };
    },
  };
}

async function statusHandler(
  node: Node,
  { version, scheduler, tidier }: NodeHandlersInit,
): Promise<results.StatusResult> {
  const { repository, roster, ports } = node;
  const self = roster.member(ports.network.self) ?? roster.formerMember(ports.network.self);
  const [standing, space, spoolMax] = await Promise.all([
    repositoryStanding(node),
    ports.shards.space(),
    repository.spool.maxBytes(),
  ]);
  const disputes = await node.disputes();
  const scrubbed = await scrubStanding(node);
  const repaired = repairStatus(node);
  const { heirs, alerts: heirsAlerts } = await heirsStandingOf(node);
  const { presence, alerts } = presenceStanding(node);
  const locks = await locksStandingOf(node);
  const scheduled = await scheduleStandingOf(node, scheduler, tidier);
  const members = roster.members();
  const alive = new Set([...ports.network.connected(), ports.network.self]);
  const { newest, protection } = standing;
  return {
    standing: standingJson(node),
    node: {
      peerId: ports.network.self,
      name: self?.name ?? "read-only",
      site: self?.site ?? "-",
      version,
      addresses: ports.directory.ownAddresses(),
      startedAt: iso(node.startedMs),
    },
    swarm: {
      swarmId: roster.swarm,
      members: members.length,
      alive: members.filter((member) => alive.has(member.peer)).length,
      sites: new Set(members.map((member) => member.site)).size,
      administrators: roster.administrators().keys.length,
      pending: roster
        .pending()
        .slice(0, LISTED_MAX)
        .map((one) => pendingJson(node, one)),
    },
    repository: {
      ownerId: repository.catalog.owner,
      incarnation: repository.catalog.incarnation,
      readOnly: repository.catalog.state.readOnly || node.isFenced,
      behind: repository.behind,
      snapshots: standing.snapshots,
      ...(newest === undefined
        ? {}
        : {
            newest: {
              snapshotId: toHex(newest.entry.id),
              time: iso(newest.entry.timeMs),
              state: newest.entry.partial ? "partial" : newest.protection.state,
              bytes: newest.entry.bytes,
            },
          }),
      logicalBytes: standing.logicalBytes,
      uniqueBytes: standing.uniqueBytes,
      storedBytes: standing.storedBytes,
      ...(standing.quota === undefined ? {} : { quota: standing.quota }),
      segments: standing.segments,
      pool: standing.pool.length,
    },
    protection: {
      survives: survivesJson(protection?.survival),
      state: protection === undefined ? "none" : protection.state,
      margins: [...(protection?.margins ?? [])]
        .map(([margin, segments]) => ({ margin, segments }))
        .sort((a, b) => a.margin - b.margin),
      unreachable: [...standing.unreachable],
      notes: [...standing.notes],
    },
    storage: {
      capacityBytes: space.capacityBytes,
      usedBytes: space.usedBytes,
      freeBytes: Math.max(0, space.freeBytes),
      shards: await heldShards(node),
      conflicts: disputes.conflicts,
    },
    forks: [...disputes.forks],
    spool: {
      segments: repository.spool.segments,
      bytes: repository.spool.bytes,
      maxBytes: Math.floor(spoolMax),
    },
    recoveryUses: recoveryUsesJson(node),
    scrub: scrubbed.scrub,
    ...repaired.standing,
    ...(heirs === undefined ? {} : { heirs }),
    ...locks.standing,
    audit: auditStanding(node),
    ...(presence === undefined ? {} : { presence }),
    ...(scheduled.schedule === undefined ? {} : { schedule: scheduled.schedule }),
    alerts: [
      ...alertsOf(node, standing, disputes),
      ...alerts,
      ...scrubbed.alerts,
      ...repaired.alerts,
      ...heirsAlerts,
      ...locks.alerts,
      ...scheduled.alerts,
      ...(await markAlerts(node)),
      ...(await collectionAlerts(node)),
    ],
  };
}

/** Counted through the index, page by page. */
async function heldShards(node: Node): Promise<number> {
  let shards = 0;
  let page = await node.ports.shards.list(undefined, 10_000);
  while (page.length > 0) {
    shards += page.length;
    page = await node.ports.shards.list(page.at(-1)?.id, 10_000);
  }
  return shards;
}

export async function peersHandler(node: Node): Promise<results.PeersResult> {
  const pending = Map.groupBy(node.roster.pending(), ({ owner }) => owner);
  const peers = (await peersOf(node)).map(
    ({
      member,
      state,
      lastSeenMs,
      addresses,
      capacityBytes,
      usedBytes,
      apart,
      ...said
    }): results.PeerInfo => ({
      peerId: member.peer,
      name: member.name,
      site: member.site,
      host: member.host,
      state,
      ...(said.trust.kind === "suspect"
        ? { suspect: { since: iso(said.trust.sinceMs), reason: said.trust.reason } }
        : {}),
      ...livenessOf(node, member.peer),
      ...trustOf(node, member.peer),
      holder: member.holder,
      ...(member.holder ? {} : { awaitsConfirmation: true }),
      ...(pending.has(member.owner)
        ? { pending: (pending.get(member.owner) ?? []).map((one) => pendingJson(node, one)) }
        : {}),
      capacityBytes,
      ...(usedBytes === undefined ? {} : { usedBytes }),
      ...(member.quotaBytes === undefined ? {} : { quotaBytes: member.quotaBytes }),
      ...(lastSeenMs === undefined ? {} : { lastSeen: iso(lastSeenMs) }),
      addresses: [...addresses],
      ...(said.program === undefined ? {} : { version: said.program }),
      ...(said.formats === undefined
        ? {}
        : { formatVersions: { reads: [...said.formats.reads], writes: said.formats.writes } }),
      ...(said.holdsBack ? { holdsBack: true } : {}),
      ...(apart.length === 0 ? {} : { cannotReach: [...apart] }),
    }),
  );
  return { peers: [...peers, ...removedPeers(node)] };
}

async function inviteHandler(node: Node, request: requests.InviteRequest): Promise<results.InviteResult> {
  const { site, expiresMs, uses, quotaBytes } = request;
  const quota = quotaBytes === undefined ? {} : { quotaBytes };
  const { token, expiresAtMs, deciding } = await node.invite({
    site,
    expiresMs: expiresMs === 0 ? 24 * HOUR_MS : expiresMs,
    uses,
    ...quota,
  });
  return { token, site, expiresAt: iso(expiresAtMs), uses, ...quota, ...proposalOf(node, deciding) };
}

async function* lsHandler(
  node: Node,
  request: requests.LsRequest,
  context: CommandContext,
): AsyncGenerator<results.EntryInfo, results.LsResult, void> {
  const { repository } = node;
  const entry = await repository.find(request);
  const names = await ownerNames(repository, entry);
  const { path, recursive } = request;
  const options = path === undefined ? { recursive } : { path, recursive };
  const sum = { entries: 0, bytes: 0 };
  for await (const placed of listEntries(repository, entry, options, context.signal)) {
    sum.entries++;
    sum.bytes += placed.entry.size;
    yield entryJson(placed, names);
  }
  return { snapshotId: toHex(entry.id), time: iso(entry.timeMs), ...sum };
}

async function searched(
  repository: Node["repository"],
  { snapshots, tags, paths, atMs, source }: requests.FindRequest,
): Promise<SnapshotEntry[]> {
  const all = await repository.snapshots();
  const asked = snapshots.length === 0 && atMs !== undefined ? ["latest"] : snapshots;
  if (asked.length === 0) return narrowSnapshots(all, { tags, paths, source }).reverse();
  return asked.map((snapshot) => chooseSnapshot(all, { snapshot, tags, paths, atMs, source }));
}

async function* findHandler(
  node: Node,
  request: requests.FindRequest,
  context: CommandContext,
): AsyncGenerator<results.FoundEntry, results.FindResult, void> {
  const { repository } = node;
  const entries = await searched(repository, request);
  let matches = 0;
  for (const entry of entries) {
    const names = await ownerNames(repository, entry);
    for await (const placed of findEntries(repository, entry, request, context.signal)) {
      matches++;
      yield { snapshotId: toHex(entry.id), time: iso(entry.timeMs), ...entryJson(placed, names) };
    }
  }
  return { snapshots: entries.length, matches };
}

async function* diffHandler(
  node: Node,
  request: requests.DiffRequest,
  context: CommandContext,
): AsyncGenerator<results.DiffEntry, results.DiffResult, void> {
  const { repository } = node;
  const before = await repository.find(request.before);
  const after = await repository.find(request.after);
  const sum = { added: 0, removed: 0, modified: 0, metadata: 0, bytesAdded: 0, bytesRemoved: 0 };
  for await (const difference of diffSnapshots(repository, before, after, request.path, context.signal)) {
    const { change } = difference;
    sum[change === "type" ? "modified" : change]++;
    if (change !== "metadata") {
      sum.bytesAdded += difference.after?.size ?? 0;
      sum.bytesRemoved += difference.before?.size ?? 0;
    }
    yield differenceJson(difference);
  }
  return { before: toHex(before.id), after: toHex(after.id), ...sum };
}

async function* catHandler(
  node: Node,
  request: requests.CatRequest,
  context: CommandContext,
): AsyncGenerator<Uint8Array, results.CatResult, void> {
  const entry = await node.repository.find(request);
  let bytes = 0;
  for await (const part of catFile(node.repository, entry, request.path, context.signal)) {
    bytes += part.length;
    yield part;
  }
  return { snapshotId: toHex(entry.id), time: iso(entry.timeMs), bytes };
}
