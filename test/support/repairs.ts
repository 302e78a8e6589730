import { must } from "../../src/base/assert.ts";
import {
  incarnationOf,
  type OwnerId,
  ownerIdOf,
  type PeerId,
  peerIdOf,
  type ShardId,
  swarmIdOf,
} from "../../src/base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { sha256 } from "../../src/crypto/hash.ts";
import type { Signer } from "../../src/crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { shardRoot } from "../../src/erasure/index.ts";
import {
  candidateRank,
  EMPTY_MAP,
  openClass,
  openGeneration,
  type PlacementMap,
  rowKey,
  type Slot,
} from "../../src/placement/index.ts";
import { type KnownRoster, rosterAt, signClaim, signRepair } from "../../src/repair/index.ts";
import {
  type Hearings,
  type Holder,
  NOTHING_HEARD,
  type NodeLiveness,
  TRUSTED,
  type Weather,
} from "../../src/upkeep/index.ts";
import { receiptBody } from "../../src/wire/data.ts";
import { descriptorCodec } from "../../src/wire/descriptor.ts";
import { nodeStatusCodec } from "../../src/wire/membership.ts";
import type { RepairBody, RepairCauseBody, RepairClaimBody } from "../../src/wire/repair.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { silenceBody } from "../../src/wire/silence.ts";
import { signer } from "../unit/membership/world.ts";
import { noise, ownerKeys } from "./segments.ts";

// A swarm on paper: nine nodes, an owner that is dead, one row of its map, and whatever anybody signs about it.

export const SWARM = swarmIdOf(new Uint8Array(32).fill(7));
export const NOW_MS = 1_800_000_000_000;
export const OF = { k: 2, m: 2, cap: 2 };
export const KEYS = ownerKeys(3);
export const LIFE = incarnationOf(new Uint8Array(16).fill(5));
export const AT = { classId: 0, partition: 0, fromSegment: 0 };
const LEAF_BYTES = 64;
const SITES = ["x", "y", "z"];

export interface PaperNode {
  readonly name: string;
  readonly peer: PeerId;
  readonly owner: OwnerId;
  readonly site: string;
  readonly key: Signer;
}

export const NODES: readonly PaperNode[] = Array.from({ length: 9 }, (_, index) => {
  const key = signer(`paper node ${index}`);
  const owner = index === 0 ? KEYS.owner : ownerIdOf(signer(`paper owner ${index}`).publicKey);
  return {
    name: `n${index}`,
    peer: peerIdOf(key.publicKey),
    owner,
    site: must(SITES[index % 3], "site"),
    key,
  };
});

export const node = (index: number): PaperNode => must(NODES[index], "node");

/** Slots 0 to 3 are with nodes 1 to 4. */
export const SLOTS: readonly Slot[] = [1, 2, 3, 4].map((index) => node(index).peer);

export class PaperSwarm {
  /** Whose eyes the papers are seen with. */
  readonly self = node(8).peer;
  readonly gone = new Set<PeerId>();
  readonly states = new Map<PeerId, NodeLiveness["state"]>([[node(0).peer, "absent"]]);
  readonly suspects = new Set<PeerId>();
  readonly heard = new Map<PeerId, Hearings>();
  map: PlacementMap = mapWith(SLOTS);
  weather: Weather = { kind: "calm" };

  readonly roster: KnownRoster & { memberOfOwner(owner: OwnerId): PaperNode | undefined } = {
    members: () => NODES.filter(({ peer }) => !this.gone.has(peer)),
    former: () => NODES.filter(({ peer }) => this.gone.has(peer)),
    certificatesOf: (owner) =>
      NODES.filter((one) => one.owner === owner).map(({ peer, site, name }) => ({
        body: {
          ...{ peer, site, host: name, holder: true, capacityBytes: 1000, issuedMs: NOW_MS - 24 * HOUR_MS },
          nodeNumber: sha256(new TextEncoder().encode(name)),
        },
      })),
    memberOfOwner: (owner) =>
      this.roster
        .members()
        .map(({ peer }) => byPeer(peer))
        .find((one) => one.owner === owner),
  };

  readonly presence = {
    nodes: (): ReadonlyMap<PeerId, NodeLiveness> =>
      new Map(NODES.map(({ peer }) => [peer, this.#liveness(peer)])),
    holders: (): ReadonlyMap<PeerId, Holder> =>
      new Map(
        NODES.map(({ peer, site, name }) => [
          peer,
          {
            ...{ peer, site, host: name, liveness: this.#liveness(peer), isOverfull: false },
            trust: this.suspects.has(peer)
              ? { kind: "suspect" as const, sinceMs: 0, reason: "it lied" }
              : TRUSTED,
          },
        ]),
      ),
    weather: (): Weather => this.weather,
    hearings: (peer: PeerId): Hearings => this.heard.get(peer) ?? NOTHING_HEARD,
  };

  #liveness(peer: PeerId): NodeLiveness {
    const state = this.states.get(peer) ?? "alive";
    return { state, sinceMs: 0, plannedUntilMs: undefined, isHeard: state === "alive" };
  }
}

function byPeer(peer: PeerId): PaperNode {
  return must(
    NODES.find((one) => one.peer === peer),
    "node",
  );
}

export function mapWith(slots: readonly Slot[]): PlacementMap {
  return openGeneration(openClass(EMPTY_MAP, OF, 16).map, AT, slots);
}

/** The row's only segment. */
export const SHARDS = Array.from({ length: OF.k + OF.m }, (_, seed) => noise(200, seed + 40));

export function descriptorOf(by: Signer = KEYS.signer): Uint8Array {
  const roots = SHARDS.map((bytes, index) => shardRoot(bytes, index, LEAF_BYTES));
  const body = descriptorCodec.encode({
    ...{
      v: 1,
      codec: 1,
      k: OF.k,
      m: OF.m,
      class: 0,
      segmentBytes: 400,
      shardBytes: 200,
      leafBytes: LEAF_BYTES,
    },
    ...{ roots, lockMs: 0, createdMs: NOW_MS },
  });
  return encodeSigned(
    signStatement({ type: "descriptor", swarm: SWARM, incarnation: LIFE, epoch: 0, body }, by),
  );
}

export function receiptOf(holder: PaperNode, index: number, timeMs = NOW_MS - MINUTE_MS): Uint8Array {
  const shard: ShardId = { owner: KEYS.owner, incarnation: LIFE, number: 0, index };
  const root = shardRoot(must(SHARDS[index], "shard"), index, LEAF_BYTES);
  const body = receiptBody.encode({ v: 1, ...shard, root, timeMs });
  return sign("receipt", body, timeMs, holder.key);
}

export function silenceOf(
  observer: PaperNode,
  of: PaperNode,
  { sinceMs = NOW_MS - 3 * HOUR_MS, atMs = NOW_MS - 10 * MINUTE_MS } = {},
): Uint8Array {
  const body = silenceBody.encode({ v: 1, timeMs: atMs, silent: [{ peer: of.peer, sinceMs }] });
  return sign("silence", body, Math.floor(atMs / 1000), observer.key);
}

export function statusOf(of: PaperNode, draining: boolean, timeMs = NOW_MS - MINUTE_MS): Uint8Array {
  const body = nodeStatusCodec.encode({
    ...{ v: 1, addresses: [], capacityBytes: 1, usedBytes: 0, freeBytes: 1, timeMs, programVersion: "test" },
    formatVersions: { reads: [1], writes: 1 },
    ...(draining ? { draining: true } : {}),
  });
  return sign("status", body, Math.floor(timeMs / 1000), of.key);
}

function sign(
  type: "receipt" | "silence" | "status",
  body: Uint8Array,
  epoch: number,
  key: Signer,
): Uint8Array {
  return encodeSigned(signStatement({ type, swarm: SWARM, incarnation: NO_INCARNATION, epoch, body }, key));
}

/** Nodes 2, 3 and 5 have not heard node 1 for three hours. */
export const ABSENT: RepairCauseBody = {
  t: "absent",
  witnesses: [2, 3, 5].map((observer) => silenceOf(node(observer), node(1))),
};

export function rankOf(peer: PeerId): number {
  const { roster } = new PaperSwarm();
  const { candidates } = must(rosterAt(roster, NOW_MS - 24 * HOUR_MS), "roster");
  const others = candidates.filter((one) => one.peer !== node(0).peer);
  return must(candidateRank(rowKey(KEYS.owner, OF, 0), others, peer), "rank");
}

/** Node 2 moves slot 0 from node 1 to node 6. */
export function repairOf(
  changes: Partial<RepairBody> = {},
  by: PaperNode = node(2),
  to: PaperNode = node(6),
): Uint8Array {
  const body = {
    ...{ owner: KEYS.owner, incarnation: LIFE, class: 0, partition: 0, fromSegment: 0, slot: 0 },
    ...{ ownerVersion: 1, repairs: 1, from: node(1).peer, to: to.peer, rank: rankOf(to.peer) },
    ...{ rosterEpoch: NOW_MS - 24 * HOUR_MS, cause: ABSENT, descriptor: descriptorOf() },
    ...{ receipt: receiptOf(to, changes.slot ?? 0), timeMs: NOW_MS },
    ...changes,
  };
  return signRepair(body, SWARM, by.key);
}

export function claimOf(changes: Partial<RepairClaimBody> = {}, by: PaperNode = node(2)): Uint8Array {
  const body = {
    ...{ owner: KEYS.owner, incarnation: LIFE, class: 0, partition: 0, fromSegment: 0, slot: 0 },
    ...{ ownerVersion: 1, repairs: 0, from: node(1).peer, cause: ABSENT, timeMs: NOW_MS, ...changes },
  };
  return signClaim(body, SWARM, by.key);
}
