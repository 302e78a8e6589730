import type { PeerId } from "../base/ids.ts";
import { publicKeyOfPeer } from "../base/ids.ts";
import { MIB } from "../base/units.ts";
import type { SwarmView } from "../exchange/index.ts";
import {
  FORMAT_VERSIONS,
  type FormatVersions,
  type RecordStore,
  type Roster,
  type Writable,
  writableVersion,
} from "../membership/index.ts";
import { type Apart, apartOf, type PlacementNode } from "../placement/index.ts";
import type { Clock, Network } from "../ports/index.ts";
import type { PresenceView } from "../presence/index.ts";
import { type NodeStatus, nodeStatusCodec } from "../wire/membership.ts";

/** A holder with less room than a few shards is not asked; a refusal would say the same one round trip later. */
const FULL_BELOW_BYTES = 64 * MIB;
/** Of a small holder, when less than this share of it is left. */
const FULL_BELOW_SHARE = 0.05;

interface KnownStatus {
  readonly signer: Uint8Array;
  readonly hash: Uint8Array | undefined;
  readonly status: NodeStatus | undefined;
}

/** More than a roster has members: those who were members, and asked about, go with the rest now and then. */
const STATUSES_MAX = 16_384;

/** The newest that a node has said of itself; a hint. */
export function statusOf(records: Pick<RecordStore, "get">, peer: PeerId): NodeStatus | undefined {
  const signed = records.get({ type: "status", signer: publicKeyOfPeer(peer) });
  return signed === undefined ? undefined : nodeStatusCodec.decode(signed.body);
}

/** The swarm as this node sees it right now: the roster, its own connections, and what nodes say of their room. */
export class RosterView implements SwarmView {
  readonly self: PeerId;
  readonly #roster: Roster;
  readonly #records: RecordStore;
  readonly #network: Pick<Network, "connected">;
  readonly #clock: Pick<Clock, "wallMs">;
  readonly #formats: FormatVersions;
  readonly #isSuspected: (peer: PeerId) => boolean;
  readonly #isBelieved: (peer: PeerId) => boolean;
  readonly #presence: Pick<PresenceView, "nodes"> | undefined;
  /** Decoded once each: whoever places or compares looks at all of them, every minute and for every shard. */
  readonly #statuses = new Map<PeerId, KnownStatus>();

  constructor(components: {
    roster: Roster;
    records: RecordStore;
    network: Pick<Network, "self" | "connected">;
    clock: Pick<Clock, "wallMs">;
    /** @default those of this program */
    formats?: FormatVersions;
    /** Whom this node's own audits found wanting. @default nobody */
    isSuspected?: (peer: PeerId) => boolean;
    /** Who is not convicted by its own words. @default everybody */
    isBelieved?: (peer: PeerId) => boolean;
    /** @default whoever is connected is up */
    presence?: Pick<PresenceView, "nodes">;
  }) {
    this.#presence = components.presence;
    this.#isBelieved = components.isBelieved ?? (() => true);
    this.#isSuspected = components.isSuspected ?? (() => false);
    this.#clock = components.clock;
    this.#formats = components.formats ?? FORMAT_VERSIONS;
    this.self = components.network.self;
    this.#roster = components.roster;
    this.#records = components.records;
    this.#network = components.network;
  }

  nodes(): readonly PlacementNode[] {
    const connected = new Set(this.#network.connected());
    const states = this.#presence?.nodes();
    return this.#roster.members().flatMap((member) => {
      if (!member.holder) return [];
      const status = this.statusOf(member.peer);
      const { peer, site, host, nodeNumber, capacityBytes } = member;
      const state = states?.get(peer)?.state;
      const isAway = state === "absent" || state === "lost";
      return [
        {
          peer,
          site,
          host,
          nodeNumber,
          weight: capacityBytes,
          reachable: peer === this.self || (connected.has(peer) && !isAway),
          full: status !== undefined && isFull(status),
          draining: state === "draining",
          suspected: this.#isSuspected(peer),
        },
      ];
    });
  }

  formatVersion(): number {
    return this.writable().version;
  }

  /** What this node may write, and who keeps it from writing the newest that it could. */
  writable(): Writable {
    const readers = this.#roster.members().flatMap(({ peer, since }) => {
      if (peer === this.self) return [];
      const status = this.statusOf(peer);
      return [{ peer, formats: status?.formatVersions, heardMs: status?.timeMs ?? since }];
    });
    return writableVersion(this.#formats, readers, this.#clock.wallMs());
  }

  apart(): Apart {
    const statements = this.#roster.members().flatMap(({ peer }) => {
      const unmet = this.statusOf(peer)?.unmet ?? [];
      const members = unmet.filter((other) => this.#roster.member(other) !== undefined);
      return members.length === 0 ? [] : [{ peer, unmet: members }];
    });
    return apartOf(statements);
  }

  /** The newest that a node has said of itself; a hint. */
  statusOf(peer: PeerId): NodeStatus | undefined {
    const known = this.#statuses.get(peer);
    const signer = known?.signer ?? publicKeyOfPeer(peer);
    const hash = this.#records.hashOf({ type: "status", signer });
    // A hash stands for one statement: the array is another where the record is.
    if (known !== undefined && known.hash === hash) return known.status;
    const status = statusOf(this.#records, peer);
    if (this.#statuses.size >= STATUSES_MAX) this.#statuses.clear();
    this.#statuses.set(peer, { signer, hash, status });
    return status;
  }

  placeOf(peer: PeerId): { site: string; host: string } | undefined {
    return this.#roster.member(peer);
  }

  isGone(peer: PeerId): boolean {
    return this.#presence?.nodes().get(peer)?.state === "lost" || !this.#isBelieved(peer);
  }

  ownQuotaBytes(): number | undefined {
    return this.#roster.member(this.self)?.quotaBytes;
  }
}

function isFull({ freeBytes, capacityBytes }: NodeStatus): boolean {
  return freeBytes < Math.min(FULL_BELOW_BYTES, capacityBytes * FULL_BELOW_SHARE);
}
