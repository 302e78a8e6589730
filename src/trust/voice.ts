import { type AuditBook, type Conviction, checkConviction } from "../audit/index.ts";
import { must } from "../base/assert.ts";
import { Semaphore } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import { type PeerId, peerIdOf, publicKeyOfPeer, shardKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { HOUR_MS } from "../base/units.ts";
import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, type Signed, signStatement } from "../crypto/signed.ts";
import type { RecordStore, Roster } from "../membership/index.ts";
import type { Clock, Rng } from "../ports/index.ts";
import {
  CLEARANCE_EPOCH_MS,
  CONVICTING_DENIALS,
  CONVICTION_EPOCH_MS,
  clearanceBody,
  convictionBody,
  DOUBT_EPOCH_MS,
  DOUBT_KEPT_MS,
  doubtBody,
  TRUST_REASON_CHARACTERS_MAX,
} from "../wire/trust.ts";
import type { TrustBook } from "./book.ts";
import { areConvictingDenials } from "./record-rules.ts";
import type { TrustRecordType } from "./statements.ts";

export interface TrustVoiceComponents {
  readonly book: TrustBook;
  readonly audits: Pick<AuditBook, "holders" | "suspicion" | "evidence" | "clear" | "onSuspicion">;
  readonly records: Pick<RecordStore, "get" | "putAll" | "rule">;
  readonly roster: Pick<Roster, "swarm" | "member">;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly rng: Pick<Rng, "float">;
  readonly log: Log;
}

/** A doubt is said again when half of its time has gone. */
const RENEW_MS = DOUBT_KEPT_MS / 2;
const REVIEW_MS = HOUR_MS;

/**
 * Says, signed, what this node's own audits found: evidence as a conviction, which convicts whoever shows it; all else as
 * a doubt, which is taken back when the suspicion is. The record sync spreads both.
 */
export class TrustVoice {
  readonly #c: TrustVoiceComponents;
  readonly #saying = new Semaphore(1);
  readonly #stopping = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #unsubscribe: (() => void) | undefined;

  constructor(components: TrustVoiceComponents) {
    this.#c = components;
  }

  start(): void {
    this.#unsubscribe = this.#c.audits.onSuspicion((peer) => {
      this.#c.book.review();
      this.#run(this.#sayOf(peer));
    });
    this.#run(this.#rounds());
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.();
    this.#stopping.abort();
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** An administrator's word that answers all that was said of this peer until now. */
  async clear(peer: PeerId, administrator: Signer, reason: string): Promise<void> {
    const timeMs = this.#c.clock.wallMs();
    const body = clearanceBody.encode({
      v: 1,
      target: peer,
      timeMs,
      reason: reason.slice(0, TRUST_REASON_CHARACTERS_MAX),
    });
    await this.#put("clearance", Math.floor(timeMs / CLEARANCE_EPOCH_MS), body, administrator);
    this.#c.log.info("peer-cleared", { peer, by: peerIdOf(administrator.publicKey) });
  }

  /** What administrators answered is answered here, too; everything that this node stands for is said. */
  async review(): Promise<void> {
    const { audits, book } = this.#c;
    book.review();
    for (const [peer] of audits.holders()) {
      const suspicion = audits.suspicion(peer);
      const clearedMs = book.clearedMs(peer);
      if (suspicion !== undefined && clearedMs !== undefined && suspicion.sinceMs <= clearedMs)
        await audits.clear(peer);
      await this.#sayOf(peer);
    }
  }

  async #rounds(): Promise<void> {
    const { clock, rng } = this.#c;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.review();
      } catch (error) {
        if (!isFault(error)) throw error;
        this.#c.log.warn("trust-not-reviewed", { why: messageOf(error) });
      }
      await clock.sleep(REVIEW_MS * (0.5 + rng.float()), signal).catch(() => {});
    }
  }

  async #sayOf(peer: PeerId): Promise<void> {
    try {
      // One after the other: two under one epoch would be a fork.
      await this.#saying.run(() => this.#say(peer));
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#c.log.warn("trust-not-said", { peer, why: messageOf(error) });
    }
  }

  async #say(peer: PeerId): Promise<void> {
    const { audits, book, roster, clock } = this.#c;
    // Nobody takes the word of one that was removed; and nobody is asked to believe more than they do already.
    if (roster.member(this.#self) === undefined) return;
    const suspicion = audits.suspicion(peer);
    const nowMs = clock.wallMs();
    const doubt = this.#ownDoubt(peer);
    if (suspicion === undefined) {
      if (doubt?.stands === true) await this.#doubt(peer, false, "");
      return;
    }
    if (book.bySwarm(peer).kind === "suspect") return;
    const evidence = await this.#evidenceSince(peer, book.clearedMs(peer) ?? -1);
    if (evidence !== undefined && (await this.#convict(peer, evidence))) return;
    if (doubt?.stands !== true || nowMs - doubt.timeMs >= RENEW_MS || doubt.timeMs > nowMs)
      await this.#doubt(peer, true, suspicion.reason);
  }

  /** The smallest that is enough, of what nobody has answered yet. */
  async #evidenceSince(peer: PeerId, sinceMs: number): Promise<Uint8Array[] | undefined> {
    const { audits, roster } = this.#c;
    const found = (await audits.evidence(peer))
      .map((bytes) => ({ bytes, conviction: checkConviction(bytes, roster.swarm) }))
      .filter(({ conviction }) => conviction.timeMs > sinceMs)
      .sort((a, b) => a.conviction.timeMs - b.conviction.timeMs);
    const wrong = found
      .filter(({ conviction }) => conviction.kind === "wrong")
      .sort((a, b) => a.bytes.length - b.bytes.length)[0];
    if (wrong !== undefined) return [wrong.bytes];
    const denied = uniqueShards(found.filter(({ conviction }) => conviction.kind === "denied"));
    for (const ofOne of Map.groupBy(denied, ({ conviction }) => conviction.statement).values()) {
      const few = ofOne.slice(0, CONVICTING_DENIALS);
      if (areConvictingDenials(few.map(({ conviction }) => conviction))) return few.map(({ bytes }) => bytes);
    }
    return undefined;
  }

  /** False where it is too much to be spread. */
  async #convict(target: PeerId, evidence: Uint8Array[]): Promise<boolean> {
    const timeMs = this.#c.clock.wallMs();
    const body = convictionBody.encode({ v: 1, target, timeMs, evidence });
    if (body.length > this.#c.records.rule("conviction").bodyBytesMax) return false;
    await this.#put("conviction", Math.floor(timeMs / CONVICTION_EPOCH_MS), body, this.#c.signer);
    return true;
  }

  async #doubt(target: PeerId, stands: boolean, reason: string): Promise<void> {
    const known = this.#c.records.get(this.#key("doubt", target));
    const nowMs = this.#c.clock.wallMs();
    // In the minute in which it said something else it says it by the next one's time.
    const epoch = Math.max(Math.floor(nowMs / DOUBT_EPOCH_MS), (known?.epoch ?? -1) + 1);
    const timeMs = Math.max(nowMs, epoch * DOUBT_EPOCH_MS);
    const body = doubtBody.encode({ v: 1, target, timeMs, stands, reason });
    await this.#put("doubt", epoch, body, this.#c.signer);
  }

  #ownDoubt(peer: PeerId): ReturnType<(typeof doubtBody)["decode"]> | undefined {
    const signed = this.#c.records.get(this.#key("doubt", peer));
    return signed === undefined ? undefined : doubtBody.decode(signed.body);
  }

  async #put(type: TrustRecordType, epoch: number, body: Uint8Array, signer: Signer): Promise<void> {
    const { swarm } = this.#c.roster;
    const record: Signed = signStatement({ type, swarm, incarnation: NO_INCARNATION, epoch, body }, signer);
    const outcome = must((await this.#c.records.putAll([record]))[0], "outcome of one record");
    if (outcome instanceof Fault) throw outcome;
  }

  #key(type: TrustRecordType, target: PeerId) {
    return { type, signer: this.#c.signer.publicKey, subkey: publicKeyOfPeer(target) } as const;
  }

  get #self(): PeerId {
    return peerIdOf(this.#c.signer.publicKey);
  }

  #run(task: Promise<void>): void {
    const running = task.finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}

function uniqueShards<T extends { readonly conviction: Conviction }>(found: readonly T[]): T[] {
  return [...new Map(found.map((one) => [shardKey(one.conviction.shard), one])).values()];
}
