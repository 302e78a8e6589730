import type { Incarnation, OwnerId, ShardId, SwarmId } from "../base/ids.ts";
import type { Signer } from "../crypto/sign.ts";
import type { Fence, Holder, KeptRecords, OwnerRegistry } from "../exchange/index.ts";
import type { LockBearer } from "../locks/index.ts";
import type { KnownLost } from "../losses/index.ts";
import type { RecordStore, Roster } from "../membership/index.ts";
import { classFromData, EMPTY_MAP, type PlacementMap, withClass } from "../placement/index.ts";
import { prefixed } from "../ports/index.ts";
import type { Presence } from "../presence/index.ts";
import {
  Drainer,
  FormerMaps,
  Heirs,
  Introductions,
  Mender,
  Rebuilder,
  RepairBook,
  RepairDoor,
  RepairJudge,
  RepairPeers,
  RepairSpread,
  RowCheck,
  RowProgress,
  RowRepair,
} from "../repair/index.ts";
import { REPAIR_RULES, type UpkeepSettings } from "../upkeep/index.ts";
import { mapBody } from "../wire/head.ts";
import { nodeStatusCodec } from "../wire/membership.ts";
import { encodeSigned } from "../wire/signed.ts";
import { NAMESPACE, type NodePorts } from "./ports.ts";
import type { Repository } from "./repository.ts";
import type { RosterView } from "./swarm-view.ts";

export interface HeirshipComponents extends NodePorts {
  readonly roster: Roster;
  readonly records: RecordStore;
  readonly view: RosterView;
  readonly kept: KeptRecords;
  readonly holder: Holder;
  readonly registry: OwnerRegistry;
  readonly presence: Presence;
  readonly repository: Repository;
  readonly fence: Pick<Fence, "why">;
  readonly lost: KnownLost;
  readonly locks: Pick<LockBearer, "bring">;
  /** Its owner does not want it any more: nobody is to make it anew because another one still has some of it. */
  readonly isGivenUp: (shard: ShardId) => boolean;
  readonly signer: Signer;
}

/** Owners whose maps are kept decoded. */
const MAPS_MAX = 32;

/** What a node does for others' data beyond holding it: repairs of owners that are away, and the records of all of them. */
export class Heirship {
  readonly book: RepairBook;
  readonly door: RepairDoor;
  readonly heirs: Heirs;
  readonly drainer: Drainer;
  readonly rebuilder: Rebuilder;
  readonly #maps: KeptMaps;

  constructor(c: HeirshipComponents, init: { swarm: SwarmId; settings: UpkeepSettings }) {
    const { swarm, settings } = init;
    const self = c.network.self;
    const ownOwner = c.repository.catalog.owner;
    const silenceMinMs = settings.liveness.unreachableAfterMs;
    const rules = { ...REPAIR_RULES, silenceMinMs };
    const judge = new RepairJudge({ ...c, self }, { rules });
    this.#maps = new KeptMaps(c.kept);
    const signedMaps = async (owner: OwnerId): Promise<ReadonlyMap<Incarnation, PlacementMap>> =>
      owner === ownOwner ? ownMaps(c.repository) : this.#maps.of(owner);
    this.book = new RepairBook(
      { ...c, store: prefixed(c.meta, NAMESPACE.repairs), signedMaps, judge },
      { swarm },
    );
    const peers = new RepairPeers(c, { swarm });
    const readOwn = async (shard: Parameters<typeof c.shards.stat>[0]): Promise<Uint8Array | undefined> => {
      const held = c.shards.stat(shard);
      return held === undefined ? undefined : c.shards.read(shard, 0, held.bytes);
    };
    this.rebuilder = new Rebuilder({ ...c, self, readOwn, client: peers.under(new Uint8Array(0)) });
    const introductions = new Introductions({ ...c, book: this.book, peers });
    const rows = new RowRepair(
      {
        ...c,
        ...{ self, rebuilder: this.rebuilder, peers, introductions },
        progress: new RowProgress(prefixed(c.meta, NAMESPACE.rows)),
        pace: c.repository.repair.pace,
      },
      { swarm, settleMs: silenceMinMs },
    );
    const { book } = this;
    this.door = new RepairDoor({ ...c, book, judge, self, ownOwner }, { swarm });
    const spread = new RepairSpread({ ...c, book, peers });
    c.repository.repair.follow({
      changes: (life, map) => book.changes(ownOwner, life, map),
      ask: (signal) => spread.ask(ownOwner, signal),
      onChange: (listener) => book.onChange((owner) => (owner === ownOwner ? listener() : undefined)),
    });
    const { door } = this;
    const leavingStatement = (): Uint8Array | undefined => {
      const status = c.records.get({ type: "status", signer: c.signer.publicKey });
      const isSaid = status !== undefined && nodeStatusCodec.decode(status.body).draining === true;
      return isSaid ? encodeSigned(status) : undefined;
    };
    const { own } = c.presence;
    const { pace } = c.repository.repair;
    this.drainer = new Drainer(
      { ...c, self, book, rows, spread, own, leavingStatement, pace },
      { everyMs: settings.assessEveryMs },
    );
    const mender = new Mender(
      { ...c, self, book, judge, peers, introductions, rebuilder: this.rebuilder },
      { swarm, retryMs: settings.assessEveryMs },
    );
    const check = new RowCheck(
      { ...c, self, ownOwner, book, judge, mender },
      { everyMs: settings.auditEveryMs },
    );
    const formerMaps = () => c.repository.catalog.formerMaps();
    const former = new FormerMaps({ ...c, ownOwner, formerMaps, book, peers });
    this.heirs = new Heirs(
      { ...c, self, ownOwner, book, judge, door, rows, spread, former, mender, check },
      { swarm, settings },
    );
  }

  start(): void {
    this.heirs.start();
    this.drainer.start();
  }

  async stop(): Promise<void> {
    await this.drainer.stop();
    await this.heirs.stop();
  }
}

/** As the owner's own catalog has them. */
function ownMaps({ catalog, maps }: Repository): ReadonlyMap<Incarnation, PlacementMap> {
  return new Map(catalog.state.incarnations.map((life, position) => [life, maps.map(position)]));
}

/** Maps that are kept for others, decoded once for as long as none of them changes. */
class KeptMaps {
  readonly #kept: KeptRecords;
  readonly #decoded = new Map<OwnerId, ReadonlyMap<Incarnation, PlacementMap>>();

  constructor(kept: KeptRecords) {
    this.#kept = kept;
    kept.onMaps((owner) => this.#decoded.delete(owner));
  }

  async of(owner: OwnerId): Promise<ReadonlyMap<Incarnation, PlacementMap>> {
    const known = this.#decoded.get(owner) ?? (await this.#read(owner));
    this.#decoded.delete(owner);
    this.#decoded.set(owner, known);
    const [oldest] = this.#decoded.keys();
    if (this.#decoded.size > MAPS_MAX && oldest !== undefined) this.#decoded.delete(oldest);
    return known;
  }

  async #read(owner: OwnerId): Promise<ReadonlyMap<Incarnation, PlacementMap>> {
    const maps = new Map<Incarnation, PlacementMap>();
    for (const { incarnation, body } of await this.#kept.maps(owner)) {
      const { classId, rows } = classFromData(mapBody.decode(body));
      maps.set(incarnation, withClass(maps.get(incarnation) ?? EMPTY_MAP, classId, rows));
    }
    return maps;
  }
}
