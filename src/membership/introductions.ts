import { must } from "../base/assert.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import { type PeerId, publicKeyOfPeer } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { SECOND_MS } from "../base/units.ts";
import { type Clock, type Network, type Rng, sampleOf } from "../ports/index.ts";
import { encodeSigned } from "../wire/signed.ts";
import { type SyncAnswer, type SyncRequest, syncAnswerCodec, syncRequestCodec } from "../wire/sync.ts";
import type { RecordStore } from "./records.ts";
import type { Roster } from "./roster.ts";
import { SYNC_IDLE_TIMEOUT_MS } from "./sync-session.ts";

/** A member that we dial again and again is asked about no more often than this. */
const ASK_EVERY_MS = 2 * SECOND_MS;
/** Members asked for one refusal, one after the other; the next refusal draws others. */
const ASKED_MAX = 4;
/** Refusals being dealt with at once; beyond, the next dial brings them up again. */
const UNDER_WAY_MAX = 8;
const REMEMBERED_MAX = 1024;

export interface IntroductionComponents {
  readonly network: Network;
  readonly roster: Roster;
  readonly records: Pick<RecordStore, "get">;
  readonly clock: Clock;
  readonly rng: Pick<Rng, "float">;
  readonly log: Log;
}

/**
 * For a newcomer whose news has not reached everybody: where a member turns it away, another one that has let it in
 * pushes that member the newcomer's entries and status. Both halves: asking, and doing it for others.
 */
export class Introductions {
  readonly #c: IntroductionComponents;
  readonly #signal: AbortSignal;
  readonly #askedMs = new Map<PeerId, number>();
  readonly #underWay = new Set<PeerId>();
  #pushing = 0;

  constructor(components: IntroductionComponents, signal: AbortSignal) {
    this.#c = components;
    this.#signal = signal;
  }

  /** After `refuser` turned us away: whether somebody has introduced us to it since. Never rejects with a fault. */
  async askFor(refuser: PeerId): Promise<boolean> {
    const { network, rng, log } = this.#c;
    if (!this.#mayAsk(refuser)) return false;
    this.#underWay.add(refuser);
    try {
      const others = network.connected().filter((peer) => peer !== refuser);
      for (const helper of sampleOf(rng, others, ASKED_MAX)) {
        if (await this.#ask(helper, refuser)) {
          log.info("introduced", { to: refuser, by: helper });
          return true;
        }
      }
      log.info("not-introduced", { to: refuser, asked: Math.min(others.length, ASKED_MAX) });
      return false;
    } finally {
      this.#underWay.delete(refuser);
    }
  }

  /** Pushes what makes `newcomer` a member to `to`; whether that one has taken it. Throws what the network throws. */
  async introduce(newcomer: PeerId, to: PeerId): Promise<boolean> {
    const { network, roster, records } = this.#c;
    const member = roster.member(newcomer);
    if (member === undefined) throw new Fault({ code: "NOT_A_MEMBER", peer: newcomer });
    if (this.#pushing >= UNDER_WAY_MAX || !network.connected().includes(to)) return false;
    const certificate = must(roster.entry(member.certificateHash), "certificate of a member");
    const status = records.get({ type: "status", signer: publicKeyOfPeer(newcomer) });
    this.#pushing++;
    try {
      const answer = await this.#send(to, {
        v: 1,
        kind: "push",
        news: true,
        roster: roster.withDependencies(certificate).map((entry) => entry.bytes),
        records: status === undefined ? [] : [encodeSigned(status)],
      });
      return answer.kind === "taken" && answer.refused === 0;
    } finally {
      this.#pushing--;
    }
  }

  #mayAsk(refuser: PeerId): boolean {
    const nowMs = this.#c.clock.monotonicMs();
    const lastMs = this.#askedMs.get(refuser);
    if (lastMs !== undefined && nowMs - lastMs < ASK_EVERY_MS) return false;
    if (this.#underWay.has(refuser) || this.#underWay.size >= UNDER_WAY_MAX) return false;
    if (this.#askedMs.size >= REMEMBERED_MAX) this.#askedMs.clear();
    this.#askedMs.set(refuser, nowMs);
    return true;
  }

  async #ask(helper: PeerId, to: PeerId): Promise<boolean> {
    try {
      const answer = await this.#send(helper, { v: 1, kind: "introduce", to });
      return answer.kind === "introduced" && answer.done;
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#c.log.debug("introduction-failed", { to, by: helper, reason: messageOf(error) });
      return false;
    }
  }

  async #send(peer: PeerId, request: SyncRequest): Promise<SyncAnswer> {
    const { head } = await this.#c.network.request(
      peer,
      "sync",
      { head: syncRequestCodec.encode(request), body: new Uint8Array(0) },
      { idleTimeoutMs: SYNC_IDLE_TIMEOUT_MS, signal: this.#signal },
    );
    return syncAnswerCodec.decode(head);
  }
}
