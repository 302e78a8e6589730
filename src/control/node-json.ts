import { toHex } from "../base/bytes.ts";
import { bytePath, displayPath } from "../base/paths.ts";
import { formatBytes } from "../base/units.ts";
import type {
  Difference,
  Disputes,
  LockStanding,
  Node,
  NodeStanding,
  OwnerNames,
  PlacedEntry,
  ProtectionReport,
  RepositoryStanding,
  SnapshotEntry,
  Survival,
} from "../node/index.ts";
import { HIDDEN_TAG_PREFIX, isPinned, type Mark, marksOf } from "../node/index.ts";
import { administratorAlerts } from "./node-admin-alerts.ts";
import { lockJson } from "./node-locks.ts";
import { showPath } from "./paths-json.ts";
import * as results from "./results.ts";

export function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** ISO 8601 down to the nanosecond, which `Date` does not have. */
export function isoNs(ns: bigint): string {
  const second = 1_000_000_000n;
  const rest = ((ns % second) + second) % second;
  const date = new Date(Number((ns - rest) / 1_000_000n));
  if (Number.isNaN(date.getTime())) return `${ns} ns`;
  return `${date.toISOString().slice(0, -5)}.${rest.toString().padStart(9, "0")}Z`;
}

export function survivesJson(survival: Survival | undefined): results.Survives {
  if (survival === undefined) return { sites: 0, nodes: 0, hosts: 0, nodesAfterWorstSite: 0 };
  const { sites, nodes, hosts, nodesAfterWorstSite } = survival;
  return { sites, nodes, hosts, nodesAfterWorstSite };
}

/** Absent where there is none. */
export function marksJson(entry: SnapshotEntry): { marks?: Mark[] } {
  const marks = marksOf(entry);
  return marks.length === 0 ? {} : { marks };
}

export function snapshotInfoJson(
  entry: SnapshotEntry,
  protection: ProtectionReport,
  lock: LockStanding | undefined,
): results.SnapshotInfo {
  const shown = entry.paths.map((path) => showPath(bytePath(path)));
  return {
    snapshotId: toHex(entry.id),
    sequence: entry.sequence,
    time: iso(entry.timeMs),
    host: entry.host,
    paths: shown.map(({ path }) => path),
    pathsBase64: shown.map(({ pathBase64 }) => pathBase64),
    tags: entry.tags.filter((tag) => !tag.startsWith(HIDDEN_TAG_PREFIX)),
    pinned: isPinned(entry),
    ...marksJson(entry),
    files: entry.files,
    directories: entry.directories,
    bytes: entry.bytes,
    state: entry.partial ? "partial" : protection.state,
    survives: survivesJson(protection.survival),
    ...lockJson(lock),
  };
}

export function entryJson({ path, entry }: PlacedEntry, names: OwnerNames): results.EntryInfo {
  const user = names.users.get(entry.uid);
  const group = names.groups.get(entry.gid);
  return {
    ...showPath(path),
    type: entry.type,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    size: entry.size,
    mtime: isoNs(entry.mtimeNs),
    ...(entry.target === undefined ? {} : { target: displayPath(entry.target) }),
  };
}

export function differenceJson({ path, change, before, after }: Difference): results.DiffEntry {
  return {
    ...showPath(path),
    change,
    type: (after ?? before)?.type ?? "file",
    ...(before === undefined ? {} : { sizeBefore: before.size }),
    ...(after === undefined ? {} : { sizeAfter: after.size }),
  };
}

export function standingJson(node: Node): results.Standing {
  const { standing } = node;
  const { state } = standing;
  if (!("sinceMs" in standing)) return { state };
  const { by } = standing;
  const name = by === undefined ? undefined : nameOfDecider(node, by);
  return {
    state,
    since: iso(standing.sinceMs),
    ...(by === undefined ? {} : { by }),
    ...(name === undefined ? {} : { byName: name }),
  };
}

/** `by`: the peer that has the repository now, or the key of the administrator who removed this node. */
function nameOfDecider({ roster, administrators }: Node, by: string): string | undefined {
  const peer = roster.members().find((member) => member.peer === by);
  return peer?.name ?? administrators.list().find(({ key }) => toHex(key) === by)?.member?.name;
}

export function recoveryUsesJson(node: Node): results.StatusResult["recoveryUses"] {
  return node.recoveryWatch
    .uses()
    .slice(0, results.LISTED_MAX)
    .map(({ member, firstMs, lastMs, hellos, reads, submits }) => {
      const name = node.roster.member(member)?.name;
      const common = { first: iso(firstMs), last: iso(lastMs), hellos, reads, submits };
      return { member, ...(name === undefined ? {} : { name }), ...common };
    });
}

function recoveryAlert(node: Node): results.Alert | undefined {
  const uses = recoveryUsesJson(node);
  const [last] = uses;
  if (last === undefined) return undefined;
  const submits = uses.reduce((sum, use) => sum + use.submits, 0);
  const moved = submits === 0 ? "" : `, ${submits} time(s) to bring it to a new node`;
  return {
    code: "recovery-identity-used",
    text: `This repository's recovery key was used at ${uses.length} member(s) in the last 30 days${moved}, last at ${last.name ?? last.member} at ${last.last}. If that was nobody of yours, somebody else has the 24 words.`,
  };
}

const ADOPT =
  'Nothing is written from here. To make this machine a node of its own again, stop the daemon and run "cairn adopt TOKEN" with a token that an administrator makes ("cairn invite").';

function standingAlert({ state }: NodeStanding): results.Alert | undefined {
  switch (state) {
    case "member":
    case "guest":
      return undefined;
    case "fenced":
      return { code: state, text: `This repository was recovered on another machine. ${ADOPT}` };
    case "removed":
      return {
        code: state,
        text: `Administrators removed this node from the swarm; it keeps its shards for now. ${ADOPT}`,
      };
    case "unlisted":
      return {
        code: state,
        text: `The token of this node was used for another node, which counts. ${ADOPT}`,
      };
  }
}

/** Beyond this share of its quota an owner is told. */
const QUOTA_ALERT_SHARE = 0.9;

/** What somebody should do something about. */
export function alertsOf(node: Node, standing: RepositoryStanding, disputes: Disputes): results.Alert[] {
  const alerts: results.Alert[] = [];
  const ended = standingAlert(node.standing);
  if (ended !== undefined) alerts.push(ended);
  if (node.repository.behind > 0 && ended === undefined) {
    alerts.push({
      code: "home-behind",
      text: `${node.repository.behind} peer(s) have seen a newer state of this repository than this home has: it was rolled back, or runs twice. It makes no snapshots; "cairn recover" on an empty home goes on.`,
    });
  }
  if (disputes.forks.length > 0) {
    alerts.push({
      code: "forked",
      text: `${disputes.forks.length} key(s) said two different things with one number: a home runs twice, or a key was stolen. "cairn status --json" names them.`,
    });
  }
  if (disputes.conflicts > 0) {
    alerts.push({
      code: "shard-conflicts",
      text: `Owners handed in ${disputes.conflicts} shard(s) with other bytes than those that are held; what is held stays. A home runs twice, or an owner's key was stolen: "shard-conflict" in the log says whose.`,
    });
  }
  const used = recoveryAlert(node);
  if (used !== undefined) alerts.push(used);
  alerts.push(...administratorAlerts(node));
  const newest = ended === undefined ? standing.newest : undefined;
  const { quota } = standing;
  if (quota !== undefined && quota.usedBytes > quota.bytes * QUOTA_ALERT_SHARE) {
    alerts.push({
      code: "quota-nearly-used",
      text: `${formatBytes(quota.usedBytes)} of the quota of ${formatBytes(quota.bytes)} are used; snapshots end with "refused" when it is.`,
    });
  }
  if (newest !== undefined && newest.protection.state === "pending") {
    alerts.push({
      code: "snapshot-pending",
      text: "The newest snapshot does not survive the loss of a site yet; it is being placed as peers come back.",
    });
  }
  if (newest !== undefined && newest.protection.state === "placed") {
    alerts.push({
      code: "site-loss-not-covered",
      text: "The loss of a whole site is not covered: this swarm's sites make it impossible.",
    });
  }
  alerts.push(...trustAlerts(node));
  const missing = node.repository.unreadParts;
  if (missing > 0) {
    alerts.push({
      code: "recovery-incomplete",
      text: `${missing} part(s) of this recovered repository could not be read yet; they are asked for as members come back.`,
    });
  }
  if (node.repository.catalog.state.readOnly) {
    alerts.push({
      code: "read-only",
      text: "This repository can be looked at and restored here, not written.",
    });
  }
  return alerts;
}

/** Of all members: whoever is not believed by one owner is of no use to the others either. */
function trustAlerts(node: Node): { code: string; text: string }[] {
  const { trust } = node.audits;
  const named = (kind: "suspect" | "doubted"): string =>
    trust
      .peers()
      .filter((peer) => node.roster.member(peer) !== undefined && trust.of(peer).kind === kind)
      .map((peer) => node.roster.member(peer)?.name ?? peer)
      .join(", ");
  const [suspects, doubted] = [named("suspect"), named("doubted")];
  return [
    ...(suspects === ""
      ? []
      : [
          {
            code: "holders-suspected",
            text: `${suspects}: lost or altered what they had taken; they get no new data. "cairn audit" says why.`,
          },
        ]),
    ...(doubted === ""
      ? []
      : [
          {
            code: "holders-doubted",
            text: `${doubted}: auditors doubt them; they get no new data and keep what they have. "cairn audit" says who.`,
          },
        ]),
  ];
}
