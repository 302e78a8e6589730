import { must } from "../base/assert.ts";
import { type Fault, isFault, messageOf } from "../base/fault.ts";
import type { PeerId, SwarmId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Catalog, SegmentRef, ShardSlot } from "../catalog/index.ts";
import type { PeerClient } from "../exchange/index.ts";
import type { Clock, Network, Rng } from "../ports/index.ts";
import type { AuditChallenge } from "../wire/audit.ts";
import type { AuditRequest } from "../wire/data.ts";
import type { AuditBook } from "./book.ts";
import { type Finding, recordFindings } from "./findings.ts";
import { type Judged, judgeAnswer } from "./judge.ts";
import { type PendingAudit, REASON_CHARACTERS_MAX } from "./records.ts";
import { messagesOf, sampleLeaves } from "./sample.ts";

/** In one message: whoever has thrown things away and fetches them elsewhere has to fetch as many at once. */
export const LEAVES_PER_MESSAGE = 32;

export interface AuditorComponents {
  readonly catalog: Catalog;
  readonly client: Pick<PeerClient, "audit">;
  readonly network: Pick<Network, "connected">;
  readonly book: AuditBook;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
}

/** What one holder answered. */
export interface HolderAudit {
  readonly peer: PeerId;
  asked: number;
  proven: number;
  /** Not answered: asked for again later, and held against nobody. */
  late: number;
  denied: number;
  /** Wrong by the holder's own signature, or other bytes than it signed. */
  wrong: number;
  /** Of leaves that came. */
  bytes: number;
  /** Why it did not answer. */
  problem?: string;
}

type Outcome = { readonly judged: Judged; readonly bytes: number } | { readonly problem: string };

/**
 * The owner as auditor: it has the roots in its descriptors. One holder at a time is asked for leaves; what was asked is on disk
 * before it is asked, so that neither a restart nor silence gives a holder other leaves than those it did not answer.
 */
export class Auditor {
  readonly #c: AuditorComponents;
  readonly #swarm: SwarmId;

  constructor(components: AuditorComponents, init: { swarm: SwarmId }) {
    this.#c = components;
    this.#swarm = init.swarm;
  }

  /** What is pending first; then, where that was answered, so many leaves drawn anew. */
  async audit(peer: PeerId, leaves: number, signal: AbortSignal): Promise<HolderAudit> {
    return this.#c.book.turns.run(peer, async () => {
      const sum: HolderAudit = { peer, asked: 0, proven: 0, late: 0, denied: 0, wrong: 0, bytes: 0 };
      const pending = this.#stillDue(peer);
      if (pending !== undefined) await this.#ask(peer, pending, sum, signal);
      const due = leaves - sum.asked;
      if (sum.problem !== undefined || due <= 0) return sum;
      // The first message is about as many shards as it can be: it takes several in one statement to convict.
      const first = Math.min(due, LEAVES_PER_MESSAGE);
      for (const some of [first, due - first]) await this.#askNew(peer, some, sum, signal);
      return sum;
    });
  }

  async #askNew(peer: PeerId, leaves: number, sum: HolderAudit, signal: AbortSignal): Promise<void> {
    if (leaves === 0 || sum.problem !== undefined) return;
    const sampled = await sampleLeaves(this.#c, { swarm: this.#swarm, peer, leaves });
    for (const challenges of messagesOf(sampled, LEAVES_PER_MESSAGE)) {
      if (sum.problem !== undefined) return;
      await this.#ask(peer, { nonce: this.#c.rng.bytes(32), challenges }, sum, signal);
    }
  }

  /** Of what was not answered, that which the holder is still counted on for. */
  #stillDue(peer: PeerId): PendingAudit | undefined {
    const { pending } = this.#c.book.holder(peer);
    if (pending === undefined) return undefined;
    const challenges = pending.challenges.filter((one) => this.#slotOf(one)?.slot.peer === peer);
    return challenges.length === 0 ? undefined : { ...pending, challenges };
  }

  async #ask(peer: PeerId, pending: PendingAudit, sum: HolderAudit, signal: AbortSignal): Promise<void> {
    const { book, catalog, clock } = this.#c;
    const before = book.holder(peer);
    const asked = pending.challenges.length;
    const slots = pending.challenges.map((one) => this.#slotOf(one));
    const counted = { ...before, asked: before.asked + asked, lastAskedMs: clock.wallMs() };
    await book.write(peer, { ...counted, pending });
    sum.asked += asked;
    const request: AuditRequest = { t: "audit", v: 1, owner: catalog.owner, ...pending };
    const outcome = await this.#exchange(peer, request, signal);
    if ("problem" in outcome) {
      sum.late += asked;
      sum.problem = outcome.problem;
      this.#c.log.info("audit-unanswered", { peer, leaves: asked, why: outcome.problem });
      await book.write(peer, { ...counted, pending, late: before.late + asked, problem: outcome.problem });
      return;
    }
    const { verdicts, statement } = outcome.judged;
    const findings = pending.challenges.map((challenge, position): Finding => {
      const verdict = must(verdicts[position], "verdict on a challenge");
      return { verdict, position, challenge, ...slots[position] };
    });
    const { proven, denied, wrong } = await recordFindings(this.#c, {
      swarm: this.#swarm,
      peer,
      nonce: pending.nonce,
      statement,
      findings,
      before: counted,
    });
    sum.proven += proven;
    sum.denied += denied;
    sum.wrong += wrong;
    sum.bytes += outcome.bytes;
  }

  async #exchange(peer: PeerId, request: AuditRequest, signal: AbortSignal): Promise<Outcome> {
    try {
      const reply = await this.#c.client.audit(peer, request, signal);
      return { judged: judgeAnswer(peer, this.#swarm, request, reply), bytes: reply.body.length };
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error) || isFault(error, "FENCED", "REMOVED")) throw error;
      return { problem: this.#problemOf(peer, error).slice(0, REASON_CHARACTERS_MAX) };
    }
  }

  /** A member that is connected and resets the request does not know it: it is of an older version, or its disk is away. */
  #problemOf(peer: PeerId, fault: Fault): string {
    const isReset = fault.code === "PEER_UNREACHABLE" && this.#c.network.connected().includes(peer);
    return isReset
      ? "It cannot be audited: it is of an older version, or its disk is not there."
      : messageOf(fault);
  }

  #slotOf(challenge: AuditChallenge): { ref: SegmentRef; slot: ShardSlot } | undefined {
    const { catalog } = this.#c;
    const incarnation = catalog.state.incarnations.indexOf(challenge.incarnation);
    if (incarnation < 0) return undefined;
    const ref = { incarnation, number: challenge.number };
    const slot = catalog.segments.get(ref)?.slots[challenge.index];
    return slot === undefined || slot === null ? undefined : { ref, slot };
  }
}
