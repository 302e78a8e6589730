import { EMPTY_BYTES, toHex } from "../base/bytes.ts";
import { Fault, messageOf } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import { peerIdOf } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { SECOND_MS } from "../base/units.ts";
import { sha256 } from "../crypto/hash.ts";
import type { Signed } from "../crypto/signed.ts";
import { type Clock, type Directory, type Network, type Rng, sampleOf } from "../ports/index.ts";
import { nodeStatusCodec } from "../wire/membership.ts";
import { encodeSigned } from "../wire/signed.ts";
import { type SyncSetName, syncAnswerCodec } from "../wire/sync.ts";
import { AnsweredAs } from "./answered-as.ts";
import type { RosterEntry } from "./entry.ts";
import { Introductions } from "./introductions.ts";
import { Outbox } from "./outbox.ts";
import { isRecordType } from "./record-rules.ts";
import type { RecordView } from "./record-view.ts";
import type { PutOutcome, RecordStore } from "./records.ts";
import type { Roster } from "./roster.ts";
import { answerSync, logRefusals, type SyncSets, syncAnswerBytesMax } from "./sync-server.ts";
import { SyncSession } from "./sync-session.ts";
import { recordSet, rosterSet, type SyncSet } from "./sync-sets.ts";

export interface SyncComponents {
  readonly network: Network;
  readonly roster: Roster;
  readonly records: RecordStore;
  /** Is told the addresses that nodes sign into their status. */
  readonly directory: Pick<Directory, "learn">;
  readonly clock: Clock;
  readonly rng: Pick<Rng, "float">;
  readonly log: Log;
  /** Answers an exchange of ticks. @default takes and gives none */
  readonly ticks?: (from: PeerId, fresh: boolean, packed: Uint8Array) => Uint8Array;
}

export interface SyncInit {
  /** Mean time between comparisons, in a swarm of up to 100 members. @default 30 s */
  readonly intervalMs?: number;
  /** How many connected members a round compares with. @default 3 */
  readonly neighbours?: number;
  /** News goes to all connected members up to so many, beyond to so many of them at random; statuses to half. @default 12 */
  readonly fanout?: number;
}

/** Comparisons under way at once that we began. */
const SESSIONS_MAX = 2;
/** Peers waiting for their first comparison after connecting; beyond, the rounds come to them. */
const WAITING_MAX = 1024;
const REFUSED_MAX = 4096;
/** What a comparison brought is passed on if it was no more than this: a newcomer would tell everybody the whole roster. */
const PASSED_ON_MAX = 16;
/** A machine that comes back after long should not take half a minute to hear what became of it. */
const FIRST_ROUND_MS = 5 * SECOND_MS;
/** Of statuses, which are most of the news and seldom urgent: one in 400 members hears of each by comparing only. */
const STATUS_FANOUT = 6;
/** Beyond so many members comparisons become rarer, down to a quarter: each finds as much news as before. */
const INTERVAL_MEMBERS = 100;
const INTERVAL_STRETCH_MAX = 4;
/** About an hour: what expires is looked for so often. */
const PRUNE_EVERY_ROUNDS = 120;

/**
 * Spreads roster entries and gossiped records: news at once to connected members, who pass on what was new to
 * them, and comparison of fingerprints after connecting and every half minute (every two minutes in large
 * swarms), which finds what news missed. An epidemic
 * with a fan-out of 12 reaches all but about e^-12 of the members; comparing reaches the rest. A newcomer that is turned
 * away somewhere has itself introduced there.
 */
export class SyncService {
  readonly answeredAs = new AnsweredAs();
  readonly #components: SyncComponents;
  readonly #intervalMs: number;
  readonly #neighbours: number;
  readonly #fanout: number;
  readonly #stopping = new AbortController();
  readonly #outbox: Outbox;
  readonly #introductions: Introductions;
  readonly #view: RecordView;
  readonly #viewOfFormer: RecordView;
  readonly #sets: SyncSets;
  /** What a former member is shown, and may add to: enough to learn what became of it. */
  readonly #setsOfFormer: SyncSets;
  readonly #unsubscribe: (() => void)[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #waiting = new Set<PeerId>();
  readonly #inSession = new Set<PeerId>();
  /** What is being stored right now, by the hash of its bytes: who sent it, and whether to pass it on. */
  readonly #arriving = new Map<string, { readonly from: PeerId; readonly passOn: boolean }>();
  readonly #refused = new Set<string>();

  constructor(components: SyncComponents, init: SyncInit = {}) {
    const { network, roster, records, log } = components;
    this.#components = components;
    this.#intervalMs = init.intervalMs ?? 30 * SECOND_MS;
    this.#neighbours = init.neighbours ?? 3;
    this.#fanout = init.fanout ?? 12;
    this.#outbox = new Outbox({ network, log }, this.#stopping.signal);
    this.#introductions = new Introductions(components, this.#stopping.signal);
    this.#view = records.view(({ type }) => records.rule(type).gossip);
    this.#viewOfFormer = records.view(({ type }) => type === "incarnation");
    const entries = rosterSet(roster);
    this.#sets = { roster: entries, records: recordSet(records, this.#view) };
    this.#setsOfFormer = { roster: entries, records: recordSet(records, this.#viewOfFormer) };
  }

  start(): void {
    const { network, roster, records } = this.#components;
    network.handle(
      "sync",
      (from, { head }) => this.#answer(from, head),
      (_, { head }) => syncAnswerBytesMax(head),
    );
    this.#unsubscribe.push(
      roster.onChange(({ added }) => this.#rosterChanged(added)),
      records.onChange(({ record }) => this.#recordChanged(record)),
      network.onConnection((peer, connected) => this.#connectionChanged(peer, connected)),
      network.onRefused((peer) => this.#run(this.#beIntroduced(peer))),
    );
    for (const record of records.ofType("status")) this.#learn(record);
    for (const peer of network.connected()) this.#connectionChanged(peer, true);
    this.#run(this.#rounds());
  }

  /** Resolves once nothing of it is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Fault({ code: "INTERRUPTED" }));
    for (const end of this.#unsubscribe.splice(0)) end();
    this.#view.close();
    this.#viewOfFormer.close();
    while (this.#running.size > 0) await Promise.all(this.#running);
    await this.#outbox.idle();
  }

  /**
   * Sends an entry or a record to connected members, or to one of them. What is applied here while the service
   * runs is announced without being asked; this is for telling again whoever seems not to have heard.
   */
  announce(news: RosterEntry | Signed, only?: PeerId): void {
    if ("signatures" in news) {
      for (const entry of this.#components.roster.withDependencies(news))
        this.#send("roster", entry.bytes, only);
    } else if (isRecordType(news.type) && this.#components.records.rule(news.type).gossip) {
      this.#send("records", encodeSigned(news), only);
    }
  }

  /** Compares with one member now. Throws what the network throws. */
  async syncWith(peer: PeerId): Promise<void> {
    const { network, log } = this.#components;
    const session = new SyncSession(
      {
        network,
        sets: this.#sets,
        setsOfFormer: this.#setsOfFormer,
        take: (set, entries) => this.#take(peer, entries.length <= PASSED_ON_MAX, set, entries),
        refused: {
          has: (hash) => this.#refused.has(hash),
          add: (hash) => this.#noteRefused(hash),
        },
      },
      peer,
      this.#stopping.signal,
    );
    const { fetched, pushed, asFormer } = await session.reconcile();
    this.answeredAs.note(peer, asFormer ? "former" : "member");
    if (fetched + pushed > 0) log.debug("synced", { peer, fetched, pushed });
  }

  async #answer(from: PeerId, head: Uint8Array) {
    const asFormer = this.#components.roster.roleOf(from) === "former";
    const sets = asFormer ? this.#setsOfFormer : this.#sets;
    const take = (set: SyncSet, entries: readonly Uint8Array[], news: boolean) =>
      // Its word is as good as its signatures, but nobody is hurried by it.
      this.#take(from, news && !asFormer, set, entries);
    const introduce = (to: PeerId) => this.#introductions.introduce(from, to);
    const ticks = (fresh: boolean, packed: Uint8Array) =>
      this.#components.ticks?.(from, fresh, packed) ?? EMPTY_BYTES;
    const answer = await answerSync({ sets, asFormer, take, introduce, ticks }, head);
    if (answer.kind === "refused") {
      this.#components.log.warn("sync-refused", { from, code: answer.refusal, reason: answer.reason });
    }
    return { head: syncAnswerCodec.encode(answer), body: new Uint8Array(0) };
  }

  async #take(
    from: PeerId,
    passOn: boolean,
    set: SyncSet,
    entries: readonly Uint8Array[],
  ): Promise<PutOutcome[]> {
    if (entries.length === 0) return [];
    const names = entries.map((bytes) => toHex(sha256(bytes)));
    for (const name of names) this.#arriving.set(name, { from, passOn });
    try {
      const outcomes = await set.offer(entries);
      // One that does not know yet that it is none any more goes on telling its own news.
      if (this.#components.roster.roleOf(from) !== "former")
        logRefusals(this.#components.log, from, outcomes);
      return outcomes;
    } finally {
      for (const name of names) this.#arriving.delete(name);
    }
  }

  #rosterChanged(added: readonly RosterEntry[]): void {
    this.#refused.clear();
    this.#run(this.#prune());
    const news = new Set(added.flatMap((entry) => this.#components.roster.withDependencies(entry)));
    for (const entry of news) this.#pass("roster", entry.bytes);
  }

  async #prune(): Promise<void> {
    try {
      await this.#components.records.prune();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#components.log.warn("records-not-pruned", { code: error.code, reason: error.message });
    }
  }

  #recordChanged(record: Signed): void {
    if (!isRecordType(record.type) || !this.#components.records.rule(record.type).gossip) return;
    if (record.type === "status") this.#learn(record);
    const fanout = record.type === "status" ? Math.min(STATUS_FANOUT, this.#fanout) : this.#fanout;
    this.#pass("records", encodeSigned(record), fanout);
  }

  #learn(record: Signed): void {
    const { directory, network, log } = this.#components;
    const peer = peerIdOf(record.signer);
    if (peer === network.self) return;
    const { addresses } = nodeStatusCodec.decode(record.body);
    this.#run(
      directory.learn(peer, addresses).catch((error: unknown) => {
        log.debug("addresses-not-learnt", { peer, reason: messageOf(error) });
      }),
    );
  }

  #pass(set: SyncSetName, bytes: Uint8Array, fanout = this.#fanout): void {
    const arrived = this.#arriving.get(toHex(sha256(bytes)));
    if (arrived !== undefined && !arrived.passOn) return;
    // Who has just let somebody in tells everybody it can: until they know, they turn the newcomer away.
    const isOwnEntry = arrived === undefined && set === "roster";
    for (const peer of this.#sample(isOwnEntry ? Number.POSITIVE_INFINITY : fanout)) {
      if (peer !== arrived?.from) this.#outbox.push(peer, set, bytes);
    }
  }

  #send(set: SyncSetName, bytes: Uint8Array, only: PeerId | undefined): void {
    const peers = only === undefined ? this.#sample(this.#fanout) : [only];
    for (const peer of peers) this.#outbox.push(peer, set, bytes);
  }

  #sample(size: number): PeerId[] {
    const { network, rng } = this.#components;
    return sampleOf(rng, network.connected(), size);
  }

  #connectionChanged(peer: PeerId, connected: boolean): void {
    if (!connected) {
      this.#waiting.delete(peer);
      return;
    }
    const { network, roster } = this.#components;
    // One side's comparison serves both; but no member begins one with who is none.
    const isOurs = network.self < peer || roster.member(network.self) === undefined;
    if (!isOurs || this.#waiting.size >= WAITING_MAX) return;
    this.#waiting.add(peer);
    this.#startSessions();
  }

  /** A member turned us away: somebody else tells it of us, and then it is dialled at once. */
  async #beIntroduced(refuser: PeerId): Promise<void> {
    if (!(await this.#introductions.askFor(refuser)) || this.#stopping.signal.aborted) return;
    this.#waiting.add(refuser);
    this.#startSessions();
  }

  #startSessions(): void {
    for (const peer of this.#waiting) {
      if (this.#inSession.size >= SESSIONS_MAX || this.#stopping.signal.aborted) return;
      if (this.#inSession.has(peer)) continue;
      this.#waiting.delete(peer);
      this.#inSession.add(peer);
      this.#run(this.#session(peer));
    }
  }

  async #session(peer: PeerId): Promise<void> {
    try {
      await this.syncWith(peer);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#components.log.debug("sync-failed", { peer, code: error.code, reason: error.message });
    } finally {
      this.#inSession.delete(peer);
      this.#startSessions();
    }
  }

  async #rounds(): Promise<void> {
    const { clock, rng, roster } = this.#components;
    const { signal } = this.#stopping;
    let waitMs = Math.min(FIRST_ROUND_MS, this.#intervalMs);
    let rounds = 0;
    while (!signal.aborted) {
      try {
        await clock.sleep(waitMs * (0.75 + rng.float() / 2), signal);
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      const stretch = roster.members().length / INTERVAL_MEMBERS;
      waitMs = this.#intervalMs * Math.max(1, Math.min(INTERVAL_STRETCH_MAX, stretch));
      roster.tick();
      if (++rounds % PRUNE_EVERY_ROUNDS === 0) this.#run(this.#prune());
      for (const peer of this.#sample(this.#neighbours)) this.#waiting.add(peer);
      this.#startSessions();
    }
  }

  #noteRefused(hash: string): void {
    if (this.#refused.size >= REFUSED_MAX) this.#refused.clear();
    this.#refused.add(hash);
  }

  #run(task: Promise<void>): void {
    const running = task.finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}
