import { z } from "zod";
import { equalBytes } from "../base/bytes.ts";
import { KeyedMutex } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import type { PeerId, SwarmId } from "../base/ids.ts";
import { idBytes } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { type Catalog, type RepositoryState, stateKeyOf } from "../catalog/index.ts";
import { openBox, sealBox } from "../crypto/box.ts";
import { sha256 } from "../crypto/hash.ts";
import type { OwnerKeys } from "../crypto/keys.ts";
import { type Signed, signedHash, signStatement } from "../crypto/signed.ts";
import { choosePool } from "../placement/index.ts";
import type { Clock, MetaOp, Rng } from "../ports/index.ts";
import { bytesOf, codec, count, peerId } from "../wire/codec.ts";
import { headBody, headPayload, type Locator } from "../wire/head.ts";
import { encodeSigned } from "../wire/signed.ts";
import { askAll } from "./ask-all.ts";
import type { Fence } from "./fence.ts";
import type { SwarmView } from "./field.ts";
import type { OwnerMaps } from "./owner-maps.ts";
import type { PeerClient } from "./peer-client.ts";
import { isOfAnother, signedHeadsOp } from "./signed-heads.ts";

/** Context of the sealed part of a head: it opens for this owner's heads and nothing else. */
export function headContext(owner: RepositoryState["owner"]): Uint8Array {
  return idBytes(owner);
}

export interface HeadKeeperComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly client: Pick<PeerClient, "keep" | "records">;
  readonly view: SwarmView;
  /** Nothing is signed while it is up. */
  readonly fence?: Pick<Fence, "check">;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
}

const acknowledgement = codec(
  "head acknowledgements",
  z.object({ v: z.literal(1), epoch: count, mapEpoch: count, peers: z.array(peerId).max(4096) }).strict(),
);
const signedMaps = codec("signed maps", z.object({ v: z.literal(1), hash: bytesOf(32) }).strict());
const SIGNED_MAPS_KEY = stateKeyOf("maps-signed");
const ACKNOWLEDGED_KEY = stateKeyOf("head-acknowledged");
/** Notes who keeps a head (and maps as they are) that this home did not hand out itself: it was recovered from them. */
export function acknowledgementOp(epoch: number, mapEpoch: number, peers: readonly PeerId[]): MetaOp {
  const value = acknowledgement.encode({ v: 1, epoch, mapEpoch, peers: [...peers] });
  return { type: "put", key: ACKNOWLEDGED_KEY, value };
}

/** Whether anybody has acknowledged the newest head of a catalog; true where there is none. */
export function isHeadKept(catalog: Catalog): boolean {
  const stored = catalog.store.get(ACKNOWLEDGED_KEY);
  if (catalog.head === undefined) return true;
  if (stored === undefined) return false;
  const { epoch, peers } = acknowledgement.decode(stored);
  return epoch === catalog.state.headEpoch && peers.length > 0;
}

interface Acknowledged {
  readonly epoch: number;
  readonly mapEpoch: number;
  readonly peers: Set<PeerId>;
}

/**
 * Signs the owner's heads, one after another, each naming its parent, and sees that the newest one lies with the
 * pool together with the maps. A head is in the catalog before anybody else sees it.
 */
export class HeadKeeper {
  readonly #c: HeadKeeperComponents;
  readonly #swarm: SwarmId;
  readonly #keys: OwnerKeys;
  readonly #one = new KeyedMutex();
  #acknowledged: Acknowledged;
  /** Bodies of the maps that `mapEpoch` stands for. */
  #noted: readonly Uint8Array[] | undefined;
  /** Have seen a newer state than this home has. Who says so counts until it says something else, though it is away meanwhile. */
  readonly #ahead = new Set<PeerId>();
  /** Are being handed the head, or hang. */
  readonly #underWay = new Set<PeerId>();

  constructor(components: HeadKeeperComponents, init: { swarm: SwarmId; keys: OwnerKeys }) {
    this.#c = components;
    this.#swarm = init.swarm;
    this.#keys = init.keys;
    const stored = components.catalog.store.get(ACKNOWLEDGED_KEY);
    const known =
      stored === undefined ? { epoch: 0, mapEpoch: 0, peers: [] } : acknowledgement.decode(stored);
    this.#acknowledged = { ...known, peers: new Set(known.peers) };
  }

  /** Peers that have the newest head and the maps on disk. */
  get keepers(): PeerId[] {
    const { epoch, mapEpoch, peers } = this.#acknowledged;
    const { state } = this.#c.catalog;
    return epoch === state.headEpoch && mapEpoch === state.mapEpoch ? [...peers] : [];
  }

  /**
   * Everybody who should keep the head: the holders, and the best candidates, so that one site's loss leaves a copy.
   */
  pool(): PeerId[] {
    const candidates = choosePool(this.#c.catalog.owner, this.#c.view.nodes(), this.#c.view.self);
    const members = [...this.#c.maps.holders(), ...candidates.map((node) => node.peer)];
    return [...new Set(members)].filter(
      (peer) => peer !== this.#c.view.self && this.#c.view.placeOf(peer) !== undefined,
    );
  }

  /**
   * Throws `HOME_BEHIND` when somebody in the pool has seen a newer state of this repository than this home: an owner
   * signs nothing before more than half of those who are up have told it so; `NOT_ALLOWED` when fewer did. What was said
   * before holds while nobody can be asked.
   */
  async compareWithPool(signal?: AbortSignal): Promise<{ asked: number; answered: number }> {
    const pool = this.#reachablePool();
    let answered = 0;
    const ask = async (peer: PeerId): Promise<boolean> => {
      const records = await this.#records(peer, signal);
      if (records === undefined) return false;
      answered++;
      if (records.some((record) => this.#isAhead(record))) this.#ahead.add(peer);
      else this.#ahead.delete(peer);
      return true;
    };
    await askAll(pool, ask, this.#waiting(signal));
    for (const peer of this.#ahead) if (this.#c.view.placeOf(peer) === undefined) this.#ahead.delete(peer);
    if (this.#ahead.size > 0) throw new Fault({ code: "HOME_BEHIND", peers: this.#ahead.size });
    if (pool.length > 0 && answered * 2 <= pool.length) {
      const reason = `only ${answered} of the ${pool.length} peers that are up said what they know of this repository; try again`;
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    return { asked: pool.length, answered };
  }

  /** Makes the next head and writes it, with `ops` and `change`, in one synced step. */
  async commit(root: Locator, change: Partial<RepositoryState>, ops: readonly MetaOp[]): Promise<Signed> {
    const { catalog } = this.#c;
    this.#c.fence?.check();
    const epoch = catalog.state.headEpoch + 1;
    const trail = change.trail ?? catalog.state.trail;
    const payload = headPayload.encode({
      v: 1,
      ...(trail === undefined ? {} : { trail }),
      incarnations: [...catalog.state.incarnations],
      root,
      snapshotSequence: change.snapshotSequence ?? catalog.state.snapshotSequence,
    });
    const parent = catalog.head;
    const body = headBody.encode({
      v: 1,
      ...(parent === undefined ? {} : { parent: signedHash(parent) }),
      timeMs: this.#c.clock.wallMs(),
      nextSegment: catalog.segmentCeiling,
      payload: sealBox(this.#keys.metadataKey, payload, headContext(catalog.owner), this.#c.rng.bytes(32)),
    });
    const statement = {
      type: "head",
      swarm: this.#swarm,
      incarnation: catalog.incarnation,
      epoch,
      body,
    } as const;
    const head = signStatement(statement, this.#keys.signer);
    const written = [catalog.headOp(head), signedHeadsOp(catalog, head)];
    await catalog.update({ ...change, headEpoch: epoch }, [...ops, ...written]);
    return head;
  }

  /**
   * The first head of a new life says what the last one of the life before it said. Until it is signed, holders would
   * refuse what this home hands them: it would be the fenced life's.
   */
  async beginLife(): Promise<void> {
    const { catalog } = this.#c;
    const head = catalog.head;
    if (head === undefined || head.incarnation === catalog.incarnation) return;
    const { payload } = headBody.decode(head.body);
    const opened = openBox(this.#keys.metadataKey, payload, headContext(catalog.owner), "head");
    await this.commit(headPayload.decode(opened).root, {}, []);
  }

  /**
   * Hands the newest head and the maps to everybody in the pool who can be reached and has not got them. One that hangs is
   * not waited for: what it acknowledges later counts from then on.
   */
  async publish(signal?: AbortSignal): Promise<void> {
    await this.#one.run("publish", async () => {
      const head = this.#c.catalog.head;
      if (head === undefined) return;
      const bodies = await this.#noteMaps();
      const { headEpoch, mapEpoch } = this.#c.catalog.state;
      if (this.#acknowledged.epoch !== headEpoch || this.#acknowledged.mapEpoch !== mapEpoch) {
        this.#acknowledged = { epoch: headEpoch, mapEpoch, peers: new Set() };
      }
      const acknowledged = this.#acknowledged;
      const isDue = (peer: PeerId): boolean => !acknowledged.peers.has(peer) && !this.#underWay.has(peer);
      const due = this.#reachablePool().filter(isDue);
      if (due.length === 0) return;
      const records = [head, ...this.#signMaps(bodies)].map(encodeSigned);
      let isOver = false;
      const hand = async (peer: PeerId): Promise<boolean> => {
        if (!(await this.#hand(peer, records, headEpoch, signal))) return false;
        acknowledged.peers.add(peer);
        signal?.throwIfAborted();
        if (isOver) await this.#keepAcknowledged(acknowledged);
        return true;
      };
      await askAll(due, hand, this.#waiting(signal));
      isOver = true;
      await this.#keepAcknowledged(acknowledged);
    });
  }

  async #hand(
    peer: PeerId,
    records: readonly Uint8Array[],
    epoch: number,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    this.#underWay.add(peer);
    try {
      await this.#c.client.keep(peer, this.#c.catalog.owner, records, signal);
      return true;
    } catch (error) {
      signal?.throwIfAborted();
      if (!isFault(error)) throw error;
      this.#c.log.warn("head-not-kept", { peer, epoch, why: messageOf(error) });
      return false;
    } finally {
      this.#underWay.delete(peer);
    }
  }

  async #keepAcknowledged(acknowledged: Acknowledged): Promise<void> {
    // A newer head has its own.
    if (acknowledged !== this.#acknowledged) return;
    const { epoch, mapEpoch, peers } = acknowledged;
    await this.#c.catalog.store.write([acknowledgementOp(epoch, mapEpoch, [...peers])], { sync: true });
  }

  #waiting(signal: AbortSignal | undefined) {
    return { clock: this.#c.clock, ...(signal === undefined ? {} : { signal }) };
  }

  /** The maps as they are now get the next epoch if they are not what was noted last; returns their bodies. */
  async #noteMaps(): Promise<readonly Uint8Array[]> {
    const { catalog, maps } = this.#c;
    this.#c.fence?.check();
    const bodies = maps.encodedBodies();
    // Looked at every minute, and changed by snapshots and repairs alone.
    if (bodies === this.#noted) return bodies;
    const hash = sha256(...bodies);
    const stored = catalog.store.get(SIGNED_MAPS_KEY);
    if (stored === undefined || !equalBytes(signedMaps.decode(stored).hash, hash)) {
      const value = signedMaps.encode({ v: 1, hash });
      await catalog.update({ mapEpoch: catalog.state.mapEpoch + 1 }, [
        { type: "put", key: SIGNED_MAPS_KEY, value },
      ]);
    }
    this.#noted = bodies;
    return bodies;
  }

  #signMaps(bodies: readonly Uint8Array[]): Signed[] {
    const { incarnation, state } = this.#c.catalog;
    const statement = { type: "map", swarm: this.#swarm, incarnation, epoch: state.mapEpoch } as const;
    return bodies.map((body) => signStatement({ ...statement, body }, this.#keys.signer));
  }

  async #records(peer: PeerId, signal: AbortSignal | undefined): Promise<Signed[] | undefined> {
    try {
      return await this.#c.client.records(peer, this.#c.catalog.owner, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (!isFault(error)) throw error;
      return undefined;
    }
  }

  #isAhead(record: Signed): boolean {
    if (record.type !== "head" || !equalBytes(record.signer, this.#keys.signer.publicKey)) return false;
    const { incarnations, headEpoch } = this.#c.catalog.state;
    if (!incarnations.includes(record.incarnation)) return true;
    if (record.incarnation !== this.#c.catalog.incarnation) return false;
    return record.epoch > headEpoch || isOfAnother(this.#c.catalog, record);
  }

  #reachablePool(): PeerId[] {
    const nodes = this.#c.view.nodes();
    const reachable = new Set(nodes.flatMap(({ peer, reachable: isUp }) => (isUp ? [peer] : [])));
    return this.pool().filter((peer) => reachable.has(peer));
  }
}
