import type { AuditBook, Suspicion } from "../audit/index.ts";
import { toHex } from "../base/bytes.ts";
import { type PeerId, peerIdOf } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Signed } from "../crypto/signed.ts";
import type { RecordStore, Roster } from "../membership/index.ts";
import type { Clock } from "../ports/index.ts";
import { TRUSTED, type Trust, trustOf, type UpkeepMember } from "../upkeep/index.ts";
import {
  clearedMs,
  isTrustRecord,
  statementsOf,
  TRUST_RECORD_TYPES,
  type Word,
  wordOf,
} from "./statements.ts";

export interface TrustBookComponents {
  readonly records: Pick<RecordStore, "ofType" | "onChange">;
  readonly roster: Pick<Roster, "members" | "member" | "formerMember" | "administrators" | "onChange">;
  /** What this node's own audits found. */
  readonly audits: Pick<AuditBook, "suspicion" | "holders">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

/** Whom this node believes how far, and why. */
export interface TrustStanding {
  readonly peer: PeerId;
  readonly trust: Trust;
  /** By this node's own audits. */
  readonly own: Suspicion | undefined;
  /** What members and administrators have signed about it, the oldest first. */
  readonly words: readonly Word[];
}

/**
 * Whom to believe: what all members have signed about each other, and what this node found itself. The statements are in
 * the record store, which keeps them on disk and never goes back; so is its own part in the book of audits.
 */
export class TrustBook {
  readonly #c: TrustBookComponents;
  /** By whom they are about, then by type and signer: one of each, the newest. */
  readonly #words = new Map<PeerId, Map<string, Word>>();
  /** As it was told last. */
  readonly #told = new Map<PeerId, Trust["kind"]>();
  readonly #listeners = new Set<() => void>();
  #counted: readonly UpkeepMember[] | undefined;

  constructor(components: TrustBookComponents) {
    this.#c = components;
    for (const type of TRUST_RECORD_TYPES)
      for (const record of components.records.ofType(type)) this.#take(record);
  }

  /** Returns how to stop. */
  start(): () => void {
    this.review();
    const ends = [
      this.#c.records.onChange(({ record }) => {
        const word = this.#take(record);
        if (word === undefined) return;
        this.#logWord(word);
        this.#reviewAll([word.target]);
      }),
      this.#c.roster.onChange(() => {
        this.#counted = undefined;
        this.review();
      }),
    ];
    return () => {
      for (const end of ends) end();
    };
  }

  /** As the swarm's signed words and this node's own audits have it now. */
  of(peer: PeerId): Trust {
    return this.#judge(peer, this.#wordsOf(peer), this.#c.audits.suspicion(peer));
  }

  /** By signed words alone: what every member with the same records says. */
  bySwarm(peer: PeerId): Trust {
    return this.#judge(peer, this.#wordsOf(peer), undefined);
  }

  standing(peer: PeerId): TrustStanding {
    const words = this.#wordsOf(peer).sort((a, b) => a.atMs - b.atMs);
    return { peer, trust: this.of(peer), own: this.#c.audits.suspicion(peer), words };
  }

  /** Everybody of whom something is said, or was found here. */
  peers(): PeerId[] {
    const { audits } = this.#c;
    const own = [...audits.holders().keys()].filter((peer) => audits.suspicion(peer) !== undefined);
    return [...new Set([...this.#words.keys(), ...own])].sort();
  }

  /** When administrators, as many as it takes, last cleared it. */
  clearedMs(peer: PeerId): number | undefined {
    return clearedMs(this.#wordsOf(peer), this.#c.roster.administrators());
  }

  /** Called when somebody is believed more or less than before. Returns how to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Looks whether anything is other than it was told last: time makes doubts fade. */
  review(): void {
    const nowMs = this.#c.clock.wallMs();
    for (const [peer, words] of this.#words) {
      for (const [key, { untilMs }] of words) if (untilMs <= nowMs) words.delete(key);
      if (words.size === 0) this.#words.delete(peer);
    }
    this.#reviewAll(new Set([...this.peers(), ...this.#told.keys()]));
  }

  #reviewAll(peers: Iterable<PeerId>): void {
    let hasChanged = false;
    for (const peer of peers) {
      const trust = this.of(peer);
      if (trust.kind === (this.#told.get(peer) ?? "trusted")) continue;
      hasChanged = true;
      if (trust.kind === "trusted") this.#told.delete(peer);
      else this.#told.set(peer, trust.kind);
      this.#logTrust(peer, trust);
    }
    if (hasChanged) for (const listener of [...this.#listeners]) listener();
  }

  #judge(peer: PeerId, words: readonly Word[], own: Suspicion | undefined): Trust {
    if (own === undefined && words.length === 0) return TRUSTED;
    const { roster, clock } = this.#c;
    const target = roster.member(peer) ?? roster.formerMember(peer);
    if (target === undefined) return TRUSTED;
    const nowMs = clock.wallMs();
    const statements = statementsOf(words, roster.administrators());
    if (own !== undefined) {
      // What was found was found by now, whatever became of the clock.
      const atMs = Math.min(own.sinceMs, nowMs);
      statements.push({ kind: "conviction", target: peer, atMs, reason: own.reason });
    }
    this.#counted ??= roster.members().map((member) => ({ peer: member.peer, site: member.site }));
    return trustOf({ peer, site: target.site }, statements, this.#counted, nowMs);
  }

  #wordsOf(peer: PeerId): Word[] {
    const nowMs = this.#c.clock.wallMs();
    return [...(this.#words.get(peer)?.values() ?? [])].filter(({ untilMs }) => untilMs > nowMs);
  }

  #take(record: Signed): Word | undefined {
    if (!isTrustRecord(record)) return undefined;
    const word = wordOf(record);
    const words = this.#words.get(word.target) ?? new Map<string, Word>();
    words.set(`${word.kind}/${toHex(word.by)}`, word);
    this.#words.set(word.target, words);
    return word;
  }

  #logWord({ kind, target, by, untilMs, reason }: Word): void {
    if (kind === "clearance" || untilMs <= this.#c.clock.wallMs()) return;
    const event = kind === "doubt" ? "doubt-heard" : "conviction-heard";
    this.#c.log.info(event, { peer: target, by: peerIdOf(by), reason });
  }

  #logTrust(peer: PeerId, trust: Trust): void {
    const { log } = this.#c;
    if (trust.kind === "trusted") log.info("peer-trusted", { peer });
    else if (trust.kind === "doubted")
      log.warn("peer-doubted", { peer, auditors: [...trust.auditors], sinceMs: trust.sinceMs });
    else log.error("peer-suspected", { peer, reason: trust.reason, sinceMs: trust.sinceMs });
  }
}
