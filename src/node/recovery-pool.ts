import { toHex } from "../base/bytes.ts";
import { mapLimit } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import { type Incarnation, idBytes, type PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { SECOND_MS } from "../base/units.ts";
import { checkSigned, type Signed, signedHash } from "../crypto/signed.ts";
import type { PeerClient } from "../exchange/index.ts";
import type { RosterBook } from "../membership/index.ts";
import type { Clock } from "../ports/index.ts";
import { headBody, mapBody } from "../wire/head.ts";
import type { RecoverAnswer, RecoverRequest } from "../wire/recover.ts";
import { decodeSigned } from "../wire/signed.ts";
import { within } from "./deadline.ts";
import type { LifeRecords } from "./recovery-lives.ts";
import { collectRoster, mergeEntries } from "./recovery-roster.ts";
import type { SlotContent } from "./slot.ts";

export interface InquiryComponents {
  readonly client: PeerClient;
  readonly ask: (peer: PeerId, request: RecoverRequest, signal: AbortSignal) => Promise<RecoverAnswer>;
  readonly dial: (address: string) => Promise<PeerId>;
  readonly clock: Clock;
  readonly log: Log;
  /** Grows by what members show. */
  readonly book: RosterBook;
  readonly lives: LifeRecords;
}

export interface MemberFound {
  readonly peer: PeerId;
  readonly records: readonly Signed[];
}

export interface Inquired {
  readonly found: readonly MemberFound[];
  readonly silent: ReadonlyMap<PeerId, string>;
  /** Everybody asked, and where. */
  readonly targets: ReadonlyMap<PeerId, readonly string[]>;
  /** What members showed that cannot be so, in words for a person. */
  readonly lies: readonly string[];
}

const ASK_LIMIT = 16;
const PEERS_MAX = 256;
const ADDRESSES_PER_PEER = 8;
/** One address, one question, and all that is asked of one member. A silent one costs no more. */
const DIAL_MS = 8 * SECOND_MS;
const QUESTION_MS = 10 * SECOND_MS;
const MEMBER_MS = 25 * SECOND_MS;
/** The whole inquiry: who has not answered by then counts as silent. */
const INQUIRY_MS = 90 * SECOND_MS;
/** Members that are asked whom else to ask, and members whose roster is read whole. */
const HINTS_FROM = 8;
const ROSTERS_FROM = 8;
/** Asked, told of further members, asked these, and so on. */
const ROUNDS_MAX = 4;
/** Lives of which older heads are asked for. */
const LIVES_ASKED_MAX = 16;

/**
 * Asks every member that can be reached what it knows of an owner: heads, maps, the lives that the recovery key certified,
 * and who else is in the swarm. What the first one said is completed by the others; nobody's silence holds up the rest.
 */
export class Inquiry {
  readonly #c: InquiryComponents;
  readonly #slot: SlotContent;
  readonly #targets = new Map<PeerId, Set<string>>();
  readonly #found = new Map<PeerId, Signed[]>();
  readonly #silent = new Map<PeerId, string>();
  readonly #lies: string[] = [];
  readonly #deadline = new AbortController();
  #hintsAsked = 0;
  #rostersRead = 0;

  constructor(components: InquiryComponents, slot: SlotContent) {
    this.#c = components;
    this.#slot = slot;
  }

  /** `connected`: members that are dialled already. */
  async run(
    connected: readonly PeerId[],
    onAnswer: (answered: number, asked: number) => void,
  ): Promise<Inquired> {
    const done = new AbortController();
    this.#c.clock.sleep(INQUIRY_MS, done.signal).then(
      () => this.#deadline.abort(new Fault({ code: "PEER_TIMEOUT", peer: "the pool", afterMs: INQUIRY_MS })),
      () => {},
    );
    try {
      for (const peer of connected) this.#targets.set(peer, new Set());
      for (let round = 0, due: readonly PeerId[] = connected; round < ROUNDS_MAX && due.length > 0; round++) {
        await mapLimit(due, ASK_LIMIT, async (peer) => {
          await this.#askMember(peer, connected.includes(peer));
          onAnswer(this.#found.size, this.#targets.size);
        });
        due = [...this.#targets.keys()].filter((peer) => !this.#found.has(peer) && !this.#silent.has(peer));
      }
      await this.#askOlderHeads();
    } finally {
      done.abort();
    }
    for (const peer of this.#targets.keys()) {
      if (!this.#found.has(peer) && !this.#silent.has(peer))
        this.#silent.set(peer, "it was not asked in time");
    }
    return {
      found: [...this.#found].map(([peer, records]) => ({ peer, records })),
      silent: this.#silent,
      targets: new Map([...this.#targets].map(([peer, addresses]) => [peer, [...addresses]])),
      lies: this.#lies,
    };
  }

  async #askMember(peer: PeerId, isConnected: boolean): Promise<void> {
    const { clock, client, log } = this.#c;
    try {
      await within(clock, { peer, afterMs: MEMBER_MS, outer: this.#deadline.signal }, async (signal) => {
        if (!isConnected) await this.#dial(peer, signal);
        const records = await within(clock, { peer, afterMs: QUESTION_MS, outer: signal }, (stop) =>
          client.records(peer, this.#slot.owner, stop),
        );
        this.#found.set(peer, this.#ownersOf(peer, records));
      });
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#silent.set(peer, messageOf(error));
      log.warn("pool-member-silent", { peer, why: messageOf(error) });
      return;
    }
    for (const part of [this.#learnLives, this.#learnHints, this.#learnRoster]) {
      try {
        await part.call(this, peer);
      } catch (error) {
        if (!isFault(error)) throw error;
        log.warn("pool-member-incomplete", { peer, why: messageOf(error) });
      }
    }
  }

  async #dial(peer: PeerId, signal: AbortSignal): Promise<void> {
    let last: unknown = new Fault({ code: "PEER_UNREACHABLE", peer, reason: "nobody told its address" });
    for (const address of this.#targets.get(peer) ?? []) {
      try {
        const reached = await within(this.#c.clock, { peer, afterMs: DIAL_MS, outer: signal }, () =>
          this.#c.dial(`${address}/p2p/${peer}`),
        );
        if (reached === peer) return;
      } catch (error) {
        signal.throwIfAborted();
        if (!isFault(error)) throw error;
        last = error;
      }
    }
    throw last;
  }

  /** The slot and lives that it has; a cursor behind everything, so that no roster comes along. */
  async #learnLives(peer: PeerId): Promise<void> {
    const after = new Uint8Array(33).fill(0xff);
    const answer = await this.#question(peer, { t: "hello", v: 1, page: { after } });
    if (answer.t !== "welcome") return;
    const refused = this.#c.lives.add(answer.incarnations);
    if (refused > 0) this.#lie(peer, `${refused} lives that the recovery key did not certify`);
  }

  async #learnHints(peer: PeerId): Promise<void> {
    if (this.#hintsAsked >= HINTS_FROM) return;
    this.#hintsAsked++;
    const answer = await this.#question(peer, { t: "pool", v: 1 });
    if (answer.t !== "pool") return;
    for (const told of answer.peers) {
      const known = this.#targets.get(told.peer);
      if (known === undefined && this.#targets.size >= PEERS_MAX) continue;
      const addresses = known ?? new Set();
      const before = addresses.size;
      for (const address of told.addresses) if (addresses.size < ADDRESSES_PER_PEER) addresses.add(address);
      this.#targets.set(told.peer, addresses);
      // It was tried where it is not, and somebody knows another place.
      if (addresses.size > before && this.#silent.has(told.peer)) this.#silent.delete(told.peer);
    }
  }

  async #learnRoster(peer: PeerId): Promise<void> {
    if (this.#rostersRead >= ROSTERS_FROM) return;
    this.#rostersRead++;
    const ask = (request: RecoverRequest): Promise<RecoverAnswer> => this.#question(peer, request);
    const bounds = { peer, afterMs: MEMBER_MS, outer: this.#deadline.signal };
    const { genesis, entries } = await within(this.#c.clock, bounds, () => collectRoster(peer, ask));
    const { refused, isOtherSwarm } = mergeEntries(this.#c.book, genesis, entries);
    if (isOtherSwarm) this.#lie(peer, "the roster of another swarm");
    if (refused > 0) this.#lie(peer, `${refused} roster entries that are not signed as they must be`);
  }

  /**
   * Lives in the order in which they are likely to be the owner's: of what the recovery key certified and of what
   * most members show.
   */
  async #askOlderHeads(): Promise<void> {
    const shownBy = new Map<Incarnation, number>();
    for (const records of this.#found.values()) {
      for (const life of new Set(records.filter(({ type }) => type === "head").map((one) => one.incarnation)))
        shownBy.set(life, (shownBy.get(life) ?? 0) + 1);
    }
    const rank = (life: Incarnation): number =>
      (this.#c.lives.certified().includes(life) ? PEERS_MAX : 0) + (shownBy.get(life) ?? 0);
    const lives = [...shownBy.keys()].sort((a, b) => rank(b) - rank(a)).slice(0, LIVES_ASKED_MAX);
    await mapLimit([...this.#found.keys()], ASK_LIMIT, async (peer) => {
      try {
        for (const incarnation of lives) {
          const answer = await this.#question(peer, { t: "heads", v: 1, incarnation });
          if (answer.t !== "heads") return;
          const heads = this.#ownersOf(peer, answer.heads.map(decodeSigned));
          this.#found.set(peer, distinctOf([...(this.#found.get(peer) ?? []), ...heads]));
        }
      } catch (error) {
        if (!isFault(error)) throw error;
        this.#c.log.warn("pool-member-incomplete", { peer, why: messageOf(error) });
      }
    });
  }

  #question(peer: PeerId, request: RecoverRequest): Promise<RecoverAnswer> {
    const bounds = { peer, afterMs: QUESTION_MS, outer: this.#deadline.signal };
    return within(this.#c.clock, bounds, (signal) => this.#c.ask(peer, request, signal));
  }

  /** Heads and maps that this owner's key signed for this swarm, and that can be read. */
  #ownersOf(peer: PeerId, records: readonly Signed[]): Signed[] {
    const good = records.filter((record) => this.#isOwners(record));
    if (good.length < records.length)
      this.#lie(peer, `${records.length - good.length} records that the owner did not sign`);
    return good;
  }

  #isOwners(record: Signed): boolean {
    if (record.type !== "head" && record.type !== "map") return false;
    try {
      const { swarm, owner } = this.#slot;
      checkSigned(record, { type: record.type, swarm, signer: idBytes(owner) });
      if (record.type === "head") headBody.decode(record.body);
      else mapBody.decode(record.body);
      return true;
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#c.log.warn("record-not-owners", { type: record.type, why: messageOf(error) });
      return false;
    }
  }

  #lie(peer: PeerId, what: string): void {
    this.#lies.push(`${peer} showed ${what}; they were left out.`);
  }
}

function distinctOf(records: readonly Signed[]): Signed[] {
  return [...new Map(records.map((record) => [toHex(signedHash(record)), record])).values()];
}
