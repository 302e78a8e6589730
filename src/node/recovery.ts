import { must } from "../base/assert.ts";
import { toHex } from "../base/bytes.ts";
import { mapLimit } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import {
  INCARNATION_BYTES,
  type Incarnation,
  idBytes,
  incarnationOf,
  type PeerId,
  type SwarmId,
} from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { deriveOwnerKeys, type OwnerKeys, openBox, type RecoveryKeys } from "../crypto/index.ts";
import type { Signer } from "../crypto/sign.ts";
import { checkSigned, NO_INCARNATION, type Signed, signedHash, signStatement } from "../crypto/signed.ts";
import { headContext, IDLE_TIMEOUT_MS, PeerClient } from "../exchange/index.ts";
import {
  collectPages,
  type RosterBook,
  recoverCertificate,
  verifyRoster,
  viewOf,
} from "../membership/index.ts";
import { choosePool } from "../placement/index.ts";
import type { Clock, Network, Rng } from "../ports/index.ts";
import { incarnationBody } from "../wire/data.ts";
import { type HeadBody, type HeadPayload, headBody, headPayload, mapBody } from "../wire/head.ts";
import { type RecoverAnswer, type RecoverRequest, recoverAnswer, recoverRequest } from "../wire/recover.ts";
import { decodeSigned, encodeSigned } from "../wire/signed.ts";
import { openSlot, type SlotContent } from "./slot.ts";

export interface RecoveryComponents {
  /** A guest's end, under the recovery identity. */
  readonly network: Network;
  readonly dial: (address: string) => Promise<PeerId>;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
}

/** A head that somebody showed, its signature checked. */
export interface FoundHead {
  /** SHA-256 of the signed head, hex. */
  readonly id: string;
  readonly signed: Signed;
  readonly body: HeadBody;
  /** The members that showed it. */
  readonly keepers: readonly PeerId[];
}

export interface PoolFindings {
  /** Who was asked, and where. */
  readonly peers: readonly { readonly peer: PeerId; readonly addresses: readonly string[] }[];
  readonly asked: number;
  readonly answered: number;
  /** Newest first. */
  readonly heads: readonly FoundHead[];
  readonly maps: readonly Signed[];
  /** Everybody to whom the owner hands its heads, and how many of those answered. */
  readonly pool: { readonly members: number; readonly answered: number };
}

const ASK_LIMIT = 8;
const PEERS_MAX = 128;

/**
 * The way back from a recovery key and one member's address: the slot, the swarm, the pool, its heads. Nothing that a
 * member says is believed beyond what the recovery identity, the owner or the administrators have signed.
 */
export class Recovery {
  readonly keys: OwnerKeys;
  readonly slot: SlotContent;
  readonly slotRecord: Uint8Array;
  readonly swarm: SwarmId;
  readonly client: PeerClient;
  readonly book: RosterBook;
  readonly #c: RecoveryComponents;
  readonly #recovery: RecoveryKeys;
  readonly #via: PeerId;
  readonly #nowMs: number;
  readonly #certified: readonly Incarnation[];

  private constructor(
    components: RecoveryComponents,
    recovery: RecoveryKeys,
    via: PeerId,
    found: {
      slot: SlotContent;
      slotRecord: Uint8Array;
      book: RosterBook;
      nowMs: number;
      certified: Incarnation[];
    },
  ) {
    this.#c = components;
    this.#recovery = recovery;
    this.#via = via;
    this.slot = found.slot;
    this.slotRecord = found.slotRecord;
    this.book = found.book;
    this.swarm = found.slot.swarm;
    this.keys = deriveOwnerKeys(found.slot.root);
    this.#nowMs = found.nowMs;
    this.#certified = found.certified;
    this.client = new PeerClient(components, { swarm: this.swarm, protocol: "recover" });
  }

  /**
   * Asks a member for the slot and the roster. A recovery key that no owner of its swarm has is not let in at all,
   * which the caller sees as `NOT_A_MEMBER` from `dial`.
   */
  static async begin(components: RecoveryComponents, recovery: RecoveryKeys, via: PeerId): Promise<Recovery> {
    const ask = (request: RecoverRequest): Promise<RecoverAnswer> =>
      askMember(components.network, via, request);
    const welcome = await hello(ask, via, {});
    const opened = openNewestSlot(recovery, welcome.slots, via);
    const entries = await collectPages(via, welcome.page, async (page) => (await hello(ask, via, page)).page);
    const book = verifyRoster(welcome.page.genesis, entries, (candidate) => {
      if (candidate.swarm !== opened.slot.swarm) {
        throw new Fault({
          code: "SIGNATURE_INVALID",
          what: "genesis",
          reason: "it is of another swarm than the slot",
        });
      }
    });
    const certified = certifiedLives(welcome.incarnations, opened.slot, recovery);
    return new Recovery(components, recovery, via, { ...opened, book, nowMs: welcome.nowMs, certified });
  }

  /** Dials whoever may know something of this owner and collects what they keep. */
  async askPool(onAnswer: (answered: number, asked: number) => void): Promise<PoolFindings> {
    const answer = await askMember(this.#c.network, this.#via, { t: "pool", v: 1 });
    if (answer.t !== "pool") throw unexpected(this.#via, answer);
    const peers = answer.peers.slice(0, PEERS_MAX);
    const found: { peer: PeerId; records: Signed[] }[] = [];
    await mapLimit(peers, ASK_LIMIT, async ({ peer, addresses }) => {
      const records = await this.#recordsOf(peer, addresses);
      if (records !== undefined) found.push({ peer, records });
      onAnswer(found.length, peers.length);
    });
    const heads = this.#headsOf(found);
    const maps = newestMaps(found.flatMap(({ records }) => records));
    const members = new Set([
      ...maps.flatMap((map) => mapBody.decode(map.body).peers),
      ...this.#candidates(),
    ]);
    const answeredMembers = found.filter(({ peer }) => members.has(peer)).length;
    return {
      peers,
      asked: peers.length,
      answered: found.length,
      heads,
      maps,
      pool: { members: members.size, answered: answeredMembers },
    };
  }

  /**
   * Who keeps heads without holding shards, as the owner chose them (`HeadKeeper`). Without them a small repository,
   * of a few segments at four holders, could not be recovered once a site with two of these is gone.
   */
  #candidates(): PeerId[] {
    const { owner } = this.slot;
    const { members } = viewOf(this.book, this.#nowMs);
    const lost = members.find((member) => member.owner === owner)?.peer;
    const nodes = members
      .filter(({ holder }) => holder)
      .map(({ peer, site, host, nodeNumber, capacityBytes }) => {
        const state = { reachable: true, full: false, draining: false, suspected: false };
        return { peer, site, host, nodeNumber, weight: capacityBytes, ...state };
      });
    return choosePool(owner, nodes, lost).map(({ peer }) => peer);
  }

  open(head: FoundHead): HeadPayload {
    return headPayload.decode(
      openBox(this.keys.metadataKey, head.body.payload, headContext(this.slot.owner), "head"),
    );
  }

  newIncarnation(): Incarnation {
    return incarnationOf(this.#c.rng.bytes(INCARNATION_BYTES));
  }

  /** The roster as the member showed it, for `Roster.create`. */
  roster(): { genesis: Uint8Array; entries: Uint8Array[] } {
    const entries = this.book
      .entries()
      .flatMap(({ entry }) => (entry.type === "genesis" ? [] : [entry.bytes]));
    return { genesis: this.book.genesis.bytes, entries };
  }

  /** Hands in the new node's key and the new life; resolves with what the home's roster starts from. */
  async enter(
    node: Signer,
    incarnation: Incarnation,
    description: { name: string; host: string; capacityBytes: number; site?: string },
  ): Promise<{ genesis: Uint8Array; entries: Uint8Array[]; incarnation: Signed; site: string }> {
    const { clock, rng, network } = this.#c;
    const owner = idBytes(this.slot.owner);
    const certificate = recoverCertificate(
      { book: this.book, rng },
      { recovery: this.#recovery.identity, node, owner, nowMs: this.#nowMs, description },
    );
    const life = signStatement(
      {
        type: "incarnation",
        swarm: this.swarm,
        incarnation: NO_INCARNATION,
        epoch: certificate.body.generation,
        body: incarnationBody.encode({ v: 1, owner: this.slot.owner, incarnation, timeMs: clock.wallMs() }),
      },
      this.#recovery.identity,
    );
    const request = {
      t: "submit",
      v: 1,
      certificate: certificate.bytes,
      incarnation: encodeSigned(life),
    } as const;
    const answer = await askMember(network, this.#via, request);
    if (answer.t !== "accepted") throw unexpected(this.#via, answer);
    const { genesis, entries } = this.roster();
    const { site } = certificate.body;
    return {
      genesis,
      entries: [...entries, certificate.bytes],
      incarnation: life,
      site,
    };
  }

  async #recordsOf(peer: PeerId, addresses: readonly string[]): Promise<Signed[] | undefined> {
    const dials = peer === this.#via ? [undefined] : addresses;
    for (const address of dials) {
      try {
        if (address !== undefined && (await this.#c.dial(`${address}/p2p/${peer}`)) !== peer) continue;
        const records = await this.client.records(peer, this.slot.owner);
        return records.filter((record) => this.#isOwners(record));
      } catch (error) {
        if (!isFault(error)) throw error;
        this.#c.log.warn("pool-member-silent", { peer, address, why: messageOf(error) });
      }
    }
    return undefined;
  }

  #isOwners(record: Signed): boolean {
    if (record.type !== "head" && record.type !== "map") return false;
    try {
      checkSigned(record, { type: record.type, swarm: this.swarm, signer: idBytes(this.slot.owner) });
      return true;
    } catch (error) {
      if (!isFault(error, "SIGNATURE_INVALID")) throw error;
      this.#c.log.warn("record-not-owners", { type: record.type, why: messageOf(error) });
      return false;
    }
  }

  /** Lives that the recovery key certified come before others, later ones first; within a life the highest epoch. */
  #headsOf(found: readonly { peer: PeerId; records: readonly Signed[] }[]): FoundHead[] {
    const byId = new Map<string, FoundHead>();
    for (const { peer, records } of found) {
      for (const record of records) {
        if (record.type !== "head") continue;
        const id = toHex(signedHash(record));
        const keepers = [...(byId.get(id)?.keepers ?? []), peer];
        byId.set(id, { id, signed: record, body: headBody.decode(record.body), keepers });
      }
    }
    const rank = ({ signed }: FoundHead): number => this.#certified.indexOf(signed.incarnation);
    return [...byId.values()].sort(
      (a, b) => rank(b) - rank(a) || b.signed.epoch - a.signed.epoch || (a.id < b.id ? -1 : 1),
    );
  }
}

async function askMember(network: Network, via: PeerId, request: RecoverRequest): Promise<RecoverAnswer> {
  const message = { head: recoverRequest.encode(request), body: new Uint8Array(0) };
  const reply = await network.request(via, "recover", message, { idleTimeoutMs: IDLE_TIMEOUT_MS });
  const answer = recoverAnswer.decode(reply.head);
  if (answer.t !== "refused") return answer;
  throw new Fault({ code: "PEER_REFUSED", peer: via, refusal: answer.refusal, reason: answer.reason });
}

async function hello(
  ask: (request: RecoverRequest) => Promise<RecoverAnswer>,
  via: PeerId,
  page: Extract<RecoverRequest, { t: "hello" }>["page"],
): Promise<Extract<RecoverAnswer, { t: "welcome" }>> {
  const answer = await ask({ t: "hello", v: 1, page });
  if (answer.t !== "welcome") throw unexpected(via, answer);
  return answer;
}

function unexpected(via: PeerId, answer: RecoverAnswer): Fault {
  return new Fault({ code: "PEER_PROTOCOL", peer: via, reason: `an unexpected answer (${answer.t})` });
}

function openNewestSlot(
  recovery: RecoveryKeys,
  slots: readonly Uint8Array[],
  via: PeerId,
): { slot: SlotContent; slotRecord: Uint8Array } {
  const [newest] = [...slots].sort((a, b) => decodeSigned(b).epoch - decodeSigned(a).epoch);
  if (newest === undefined) {
    throw new Fault({
      code: "PEER_REFUSED",
      peer: via,
      refusal: "missing",
      reason: "it does not have the slot record yet",
    });
  }
  return { slot: openSlot(recovery, newest), slotRecord: newest };
}

/** Oldest first. */
function certifiedLives(
  records: readonly Uint8Array[],
  slot: SlotContent,
  recovery: RecoveryKeys,
): Incarnation[] {
  return records
    .map(decodeSigned)
    .filter((record) => {
      checkSigned(record, { type: "incarnation", swarm: slot.swarm, signer: recovery.identity.publicKey });
      return incarnationBody.decode(record.body).owner === slot.owner;
    })
    .sort((a, b) => a.epoch - b.epoch)
    .map((record) => incarnationBody.decode(record.body).incarnation);
}

/** Of every life and class the map of the highest epoch. */
function newestMaps(records: readonly Signed[]): Signed[] {
  const newest = new Map<string, Signed>();
  for (const record of records) {
    if (record.type !== "map") continue;
    const key = `${record.incarnation}/${mapBody.decode(record.body).class}`;
    const known = newest.get(key);
    if (known === undefined || known.epoch < record.epoch) newest.set(key, record);
  }
  return [...newest.values()];
}

/** By id or a unique beginning of it. */
export function pickHead(heads: readonly FoundHead[], asked: string): FoundHead {
  const matches = heads.filter((head) => head.id.startsWith(asked.toLowerCase()));
  if (matches.length !== 1) {
    throw new Fault({ code: "USAGE", reason: `${matches.length} of the heads found begin with "${asked}".` });
  }
  return must(matches[0], "head");
}
