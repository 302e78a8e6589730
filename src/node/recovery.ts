import { Fault, isFault, messageOf } from "../base/fault.ts";
import {
  INCARNATION_BYTES,
  type Incarnation,
  idBytes,
  incarnationOf,
  type PeerId,
  peerIdOf,
  type SwarmId,
} from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { MINUTE_MS, SECOND_MS } from "../base/units.ts";
import { deriveOwnerKeys, type OwnerKeys, openBox, type RecoveryKeys } from "../crypto/index.ts";
import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, type Signed, signStatement } from "../crypto/signed.ts";
import { headContext, PeerClient } from "../exchange/index.ts";
import { type Member, type RosterBook, recoverCertificate, viewOf } from "../membership/index.ts";
import { choosePool } from "../placement/index.ts";
import type { Clock, Network, Rng } from "../ports/index.ts";
import { incarnationBody } from "../wire/data.ts";
import { type HeadPayload, headPayload, mapBody } from "../wire/head.ts";
import { type RecoverAnswer, type RecoverRequest, recoverAnswer, recoverRequest } from "../wire/recover.ts";
import { decodeSigned, encodeSigned } from "../wire/signed.ts";
import { within } from "./deadline.ts";
import { isSameLine, type OlderHead } from "./older-heads.ts";
import { type FoundHead, newestMaps, rankHeads } from "./recovery-heads.ts";
import { LifeRecords } from "./recovery-lives.ts";
import { type Inquired, Inquiry } from "./recovery-pool.ts";
import { bookOfSlot, collectRoster, hello, mergeEntries } from "./recovery-roster.ts";
import { openSlot, type SlotContent } from "./slot.ts";

export interface RecoveryComponents {
  /** A guest's end, under the recovery identity. */
  readonly network: Network;
  readonly dial: (address: string) => Promise<PeerId>;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
}

export interface SilentMember {
  readonly peer: PeerId;
  readonly name: string;
  readonly site: string;
  readonly why: string;
}

export interface PoolFindings {
  /** Who was asked, and where. */
  readonly peers: readonly { readonly peer: PeerId; readonly addresses: readonly string[] }[];
  /** Members of the swarm besides the lost one, as all that answered know them together. */
  readonly asked: number;
  readonly answered: number;
  readonly silent: readonly SilentMember[];
  /** Members that answered. */
  readonly answering: ReadonlySet<PeerId>;
  /** Newest first, older ones of each life too. */
  readonly heads: readonly FoundHead[];
  /** Heads whose epoch is further ahead of all others than it can be: never chosen by themselves. */
  readonly leaps: readonly FoundHead[];
  readonly maps: readonly Signed[];
  /** Everybody to whom the owner hands its heads, and how many of those answered. */
  readonly pool: { readonly members: number; readonly answered: number };
  /** What members showed that cannot be so, in words for a person. */
  readonly lies: readonly string[];
}

/** A recovery is not kept waiting by a peer that says nothing, and others are there to be asked. */
const IDLE_TIMEOUT_MS = 10 * SECOND_MS;
/** For slot and roster of the first member. */
const BEGIN_MS = 2 * MINUTE_MS;

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
  /** The time by the clock of the first member: a new machine's own may be years off. */
  readonly nowMs: number;
  readonly #lives: LifeRecords;
  readonly #lies: readonly string[];

  private constructor(
    components: RecoveryComponents,
    recovery: RecoveryKeys,
    via: PeerId,
    found: {
      slot: SlotContent;
      slotRecord: Uint8Array;
      book: RosterBook;
      nowMs: number;
      lives: LifeRecords;
      lies: readonly string[];
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
    this.nowMs = found.nowMs;
    this.#lives = found.lives;
    this.#lies = found.lies;
    this.client = new PeerClient(components, {
      swarm: this.swarm,
      protocol: "recover",
      idleTimeoutMs: IDLE_TIMEOUT_MS,
    });
  }

  /**
   * Asks a member for the slot and the roster. A recovery key that no owner of its swarm has is not let in at all,
   * which the caller sees as `NOT_A_MEMBER` from `dial`.
   */
  static async begin(components: RecoveryComponents, recovery: RecoveryKeys, via: PeerId): Promise<Recovery> {
    const bounds = { peer: via, afterMs: BEGIN_MS };
    return within(components.clock, bounds, async (signal) => {
      const ask = (request: RecoverRequest): Promise<RecoverAnswer> =>
        askMember(components.network, via, request, signal);
      const welcome = await hello(via, ask, {});
      const opened = openNewestSlot(recovery, welcome.slots, via);
      const { genesis, entries } = await collectRoster(via, ask, welcome);
      const book = bookOfSlot(genesis, opened.slot);
      const { refused } = mergeEntries(book, genesis, entries);
      const lies =
        refused === 0
          ? []
          : [
              `${via} showed ${refused} roster entries that are not signed as they must be; they were left out.`,
            ];
      const lives = new LifeRecords(recovery, opened.slot);
      lives.add(welcome.incarnations);
      return new Recovery(components, recovery, via, { ...opened, book, nowMs: welcome.nowMs, lives, lies });
    });
  }

  /**
   * Dials whoever may know something of this owner and collects what they keep; `also`: members that are dialled
   * already. What the first member said is completed and set right by what the others say.
   */
  async askPool(
    onAnswer: (answered: number, asked: number) => void,
    also: readonly PeerId[] = [],
  ): Promise<PoolFindings> {
    const { network, dial, clock, log } = this.#c;
    const ask = (peer: PeerId, request: RecoverRequest, signal: AbortSignal): Promise<RecoverAnswer> =>
      askMember(network, peer, request, signal);
    const components = { client: this.client, ask, dial, clock, log, book: this.book, lives: this.#lives };
    const inquiry = new Inquiry(components, this.slot);
    return this.#findings(await inquiry.run([...new Set([this.#via, ...also])], onAnswer));
  }

  #findings({ found, silent, targets, lies }: Inquired): PoolFindings {
    const { members, byOwner } = viewOf(this.book, this.nowMs);
    const lost = byOwner.get(this.slot.owner)?.peer;
    const others = members.filter(({ peer }) => peer !== lost);
    const answering = new Set(found.map(({ peer }) => peer));
    const maps = newestMaps(found.flatMap(({ records }) => records));
    // As the owner counts its pool: whoever is no member any more, or never was, will not answer.
    const isMember = new Set(others.map(({ peer }) => peer));
    const named = [...maps.flatMap((map) => mapBody.decode(map.body).peers), ...this.#candidates(others)];
    const pool = new Set(named.filter((peer) => isMember.has(peer)));
    const { heads, leaps } = rankHeads(found, this.#lives.certified());
    const sealed = [...heads, ...leaps].filter((head) => !this.#opens(head));
    return {
      peers: [...targets].map(([peer, addresses]) => ({ peer, addresses })),
      asked: others.length,
      answered: others.filter(({ peer }) => answering.has(peer)).length,
      silent: others
        .filter(({ peer }) => !answering.has(peer))
        .map(({ peer, name, site }) => ({
          peer,
          name,
          site,
          why: silent.get(peer) ?? "nobody told its address",
        })),
      answering,
      heads: heads.filter((head) => !sealed.includes(head)),
      leaps: leaps.filter((head) => !sealed.includes(head)),
      maps,
      pool: { members: pool.size, answered: [...pool].filter((peer) => answering.has(peer)).length },
      lies: [
        ...this.#lies,
        ...lies,
        ...sealed.map(({ id }) => `Head ${id.slice(0, 12)} was left out: its contents cannot be opened.`),
      ],
    };
  }

  /**
   * Who keeps heads without holding shards, as the owner chose them (`HeadKeeper`). Without them a small repository,
   * of a few segments at four holders, could not be recovered once a site with two of these is gone.
   */
  #candidates(others: readonly Member[]): PeerId[] {
    const nodes = others
      .filter(({ holder }) => holder)
      .map(({ peer, site, host, nodeNumber, capacityBytes }) => {
        const state = { reachable: true, full: false, draining: false, suspected: false };
        return { peer, site, host, nodeNumber, weight: capacityBytes, ...state };
      });
    return choosePool(this.slot.owner, nodes, undefined).map(({ peer }) => peer);
  }

  /** The node that is to be replaced; a name of its own where the roster has none any more. */
  get lostPeer(): PeerId {
    const { byOwner } = viewOf(this.book, this.nowMs);
    return byOwner.get(this.slot.owner)?.peer ?? peerIdOf(this.#recovery.identity.publicKey);
  }

  /** What people called the node that is replaced. */
  get lostName(): string | undefined {
    return this.book.certificatesOf(this.slot.owner)[0]?.body.name;
  }

  open(head: FoundHead): HeadPayload {
    return headPayload.decode(
      openBox(this.keys.metadataKey, head.body.payload, headContext(this.slot.owner), "head"),
    );
  }

  /** Heads below the chosen one: `PoolFindings.heads` is in this order. */
  olderThan(head: FoundHead, heads: readonly FoundHead[]): OlderHead[] {
    const older = heads.slice(heads.findIndex(({ id }) => id === head.id) + 1);
    return older.map((one) => ({ id: one.id, signed: one.signed, payload: this.open(one) }));
  }

  /** What only somebody with a part of the owner's keys can have signed: nothing can be begun with it. */
  #opens(head: FoundHead): boolean {
    try {
      this.open(head);
      return true;
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#c.log.warn("older-head-unread", { head: head.id, why: messageOf(error) });
      return false;
    }
  }

  /**
   * Whether another line of lives stands beside this head, and the recovery key has certified neither: which of them is the
   * owner's, and which a thief's of its key, nobody here can tell.
   */
  isContested(head: FoundHead, heads: readonly FoundHead[]): boolean {
    if (head.isCertified) return false;
    const { incarnations } = this.open(head);
    return this.olderThan(head, heads).some(({ payload }) => !isSameLine(payload.incarnations, incarnations));
  }

  newIncarnation(): Incarnation {
    return incarnationOf(this.#c.rng.bytes(INCARNATION_BYTES));
  }

  /** The roster as members showed it, for `Roster.create`. */
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
      { recovery: this.#recovery.identity, node, owner, nowMs: this.nowMs, description },
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
}

async function askMember(
  network: Network,
  peer: PeerId,
  request: RecoverRequest,
  signal?: AbortSignal,
): Promise<RecoverAnswer> {
  const message = { head: recoverRequest.encode(request), body: new Uint8Array(0) };
  const options = { idleTimeoutMs: IDLE_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) };
  const reply = await network.request(peer, "recover", message, options);
  const answer = recoverAnswer.decode(reply.head);
  if (answer.t !== "refused") return answer;
  throw new Fault({ code: "PEER_REFUSED", peer, refusal: answer.refusal, reason: answer.reason });
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
