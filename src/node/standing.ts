import { isFault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import { SegmentSet, type SnapshotEntry } from "../catalog/index.ts";
import { type ProtectionReport, shapeOfView } from "../exchange/index.ts";
import type { FormatVersions, Member } from "../membership/index.ts";
import { autoProfile } from "../placement/index.ts";
import type { NodeLiveness, Trust } from "../upkeep/index.ts";
import { apartNotes, versionNotes } from "./apart-notes.ts";
import type { Node } from "./node.ts";
import { snapshotNeeds } from "./snapshot-needs.ts";

export interface PeerStanding {
  readonly member: Member;
  /** `suspected`, `doubted` while it is connected: whether it answers counts more than what it answers. */
  readonly state: "self" | "alive" | "draining" | "unreachable" | "lost" | "suspected" | "doubted";
  readonly trust: Trust;
  readonly lastSeenMs: number | undefined;
  readonly addresses: readonly string[];
  readonly capacityBytes: number;
  readonly usedBytes: number | undefined;
  /** Program and formats, as it says. */
  readonly program: string | undefined;
  readonly formats: FormatVersions | undefined;
  /** It does not read the newest version that this node could write. */
  readonly holdsBack: boolean;
  /** Members with which it cannot connect, as it or they say. */
  readonly apart: readonly PeerId[];
}

/** Every member as this node sees it. */
export async function peersOf(node: Node): Promise<PeerStanding[]> {
  const { network, directory } = node.ports;
  const connected = new Set(network.connected());
  const apart = node.view.apart();
  const holdingBack = new Set(node.view.writable().heldBackBy);
  return Promise.all(
    node.roster.members().map(async (member): Promise<PeerStanding> => {
      const trust = node.audits.trust.of(member.peer);
      const isSelf = member.peer === network.self;
      const status = node.view.statusOf(member.peer);
      const addresses = isSelf
        ? directory.ownAddresses()
        : (status?.addresses ?? (await directory.addresses(member.peer)));
      return {
        member,
        state: isSelf
          ? "self"
          : stateOf(connected.has(member.peer), trust, node.presence.nodes().get(member.peer)),
        trust,
        lastSeenMs: node.lastSeenMs(member.peer),
        addresses,
        capacityBytes: status?.capacityBytes ?? member.capacityBytes,
        usedBytes: status?.usedBytes,
        program: status?.programVersion,
        formats: status?.formatVersions,
        holdsBack: holdingBack.has(member.peer),
        apart: [...(apart.get(member.peer) ?? [])],
      };
    }),
  );
}

function stateOf(
  isConnected: boolean,
  trust: Trust,
  liveness: NodeLiveness | undefined,
): PeerStanding["state"] {
  if (!isConnected) return liveness?.state === "lost" ? "lost" : "unreachable";
  if (trust.kind === "trusted") return liveness?.state === "draining" ? "draining" : "alive";
  return trust.kind === "doubted" ? "doubted" : "suspected";
}

export interface RepositoryStanding {
  readonly snapshots: number;
  readonly newest: { readonly entry: SnapshotEntry; readonly protection: ProtectionReport } | undefined;
  /** Of everything that any snapshot needs. */
  readonly protection: ProtectionReport | undefined;
  readonly segments: number;
  readonly logicalBytes: number;
  /** Plain bytes of all chunks that the index lists, each once. */
  readonly uniqueBytes: number;
  readonly storedBytes: number;
  /** What the owner's certificate lets it have at holders, and what of it is used. */
  readonly quota: { readonly bytes: number; readonly usedBytes: number } | undefined;
  readonly pool: readonly PeerId[];
  readonly unreachable: readonly PeerId[];
  /** Plain sentences: who is away, site by site, and what the swarm's shape does not cover. */
  readonly notes: readonly string[];
}

/** What this node's repository is worth right now. */
export async function repositoryStanding(node: Node): Promise<RepositoryStanding> {
  const { repository } = node;
  const entries = await repository.snapshots();
  const census = repository.census();
  const needed = await neededBy(node, entries);
  const { segments, storedBytes, quotaUsedBytes, uniqueBytes } = await repository.totals();
  const quotaBytes = node.view.ownQuotaBytes();
  // A fenced node asks nobody, so what it has not got at hand is not known to it.
  const newest = needed === undefined ? undefined : entries.at(-1);
  const pool = repository.heads.pool();
  const connected = new Set(node.ports.network.connected());
  const unreachable = pool.filter((peer) => !connected.has(peer));
  return {
    snapshots: entries.length,
    newest:
      newest === undefined
        ? undefined
        : { entry: newest, protection: await repository.protectionOf(newest, census) },
    protection:
      needed === undefined || entries.length === 0
        ? undefined
        : census.report(needed, repository.heads.keepers),
    segments,
    logicalBytes: entries.reduce((sum, entry) => sum + entry.bytes, 0),
    uniqueBytes,
    storedBytes,
    quota: quotaBytes === undefined ? undefined : { bytes: quotaBytes, usedBytes: quotaUsedBytes },
    pool,
    unreachable,
    notes: [
      ...awayNotes(node, pool, unreachable),
      ...apartNotes(node),
      ...versionNotes(node),
      ...shapeNotes(node),
    ],
  };
}

async function neededBy(node: Node, entries: readonly SnapshotEntry[]): Promise<SegmentSet | undefined> {
  const needed = new SegmentSet();
  try {
    for (const entry of entries) needed.addAll(await snapshotNeeds(node.repository, entry));
    return needed;
  } catch (error) {
    if (node.isFenced && isFault(error)) return undefined;
    throw error;
  }
}

function awayNotes(node: Node, pool: readonly PeerId[], unreachable: readonly PeerId[]): string[] {
  const { roster } = node;
  const siteOf = (peer: PeerId): string | undefined => roster.member(peer)?.site;
  const bySite = Map.groupBy(unreachable, siteOf);
  return [...bySite].map(([site, away]) => {
    const names = away
      .map((peer) => roster.member(peer)?.name ?? peer)
      .sort()
      .join(", ");
    if (site === undefined) return `No longer members, and not answering: ${names}.`;
    const isWhole = pool.filter((peer) => siteOf(peer) === site).length === away.length;
    return isWhole ? `Nobody at site ${site} answers: ${names}.` : `Not answering at site ${site}: ${names}.`;
  });
}

function shapeNotes(node: Node): readonly string[] {
  const shape = shapeOfView(node.view);
  if (shape.sites.length === 0)
    return ['No other node may be given data yet: invite one with "cairn invite".'];
  return autoProfile(shape).notes;
}
