import { must } from "../base/assert.ts";
import { isFault, messageOf } from "../base/fault.ts";
import type { OwnerId, PeerId, SwarmId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS } from "../base/units.ts";
import type { PeerClient } from "../exchange/index.ts";
import type { KnownLost, LossCause } from "../losses/index.ts";
import { type Clock, type Rng, randomInt } from "../ports/index.ts";
import type { AuditChallenge } from "../wire/audit.ts";
import type { AuditRequest } from "../wire/data.ts";
import type { HolderAudit } from "./auditor.ts";
import { type AuditBook, suspicionAfter } from "./book.ts";
import { type Contradiction, keepEvidence } from "./findings.ts";
import { type Judged, judgeAnswer } from "./judge.ts";
import { type HolderRecord, type PendingRowAudit, REASON_CHARACTERS_MAX } from "./records.ts";
import { messagesOf } from "./sample.ts";
import type { SharedRows, SharedShard } from "./shared-rows.ts";

export interface RowAuditorComponents {
  readonly rows: SharedRows;
  readonly client: Pick<PeerClient, "audit">;
  readonly book: AuditBook;
  readonly lost: KnownLost;
  readonly clock: Pick<Clock, "wallMs">;
  readonly rng: Rng;
  readonly log: Log;
}

/** Leaves a day of everybody together who shares rows with a holder: 224 a week; 172 find a loss of 4 % with 99.9 %. */
const LEAVES_A_DAY = 32;
const LOST_ASKED_AGAIN_MS = DAY_MS;
/** However many there are; less proves hardly anything of anybody. */
const LEAVES_MIN = 4;

/**
 * Holders audit each other: whoever holds one shard of a segment has the roots of all, so it needs neither the owner nor a key. What
 * another one does not have, or has wrong, is a fact for repair. A map says who is to hold a shard, not that it ever came there:
 * so what is denied here is held against nobody; only what is wrong by the holder's own signature is.
 */
export class RowAuditor {
  readonly #c: RowAuditorComponents;
  readonly #swarm: SwarmId;

  constructor(components: RowAuditorComponents, init: { swarm: SwarmId }) {
    this.#c = components;
    this.#swarm = init.swarm;
  }

  async holders(): Promise<PeerId[]> {
    return [...(await this.#c.rows.byPeer()).keys()];
  }

  /** How many leaves a day are this node's part of what is asked of a holder. */
  async leavesADay(): Promise<number> {
    const auditors = (await this.#c.rows.byPeer()).size;
    return Math.max(LEAVES_MIN, Math.ceil(LEAVES_A_DAY / Math.max(1, auditors)));
  }

  /** What it did not answer last time first; one message, about the segments of one owner. */
  async audit(peer: PeerId, leaves: number, sum: HolderAudit, signal: AbortSignal): Promise<void> {
    await this.#c.book.turns.run(peer, async () => {
      const pending = this.#c.book.holder(peer).rowPending ?? (await this.#draw(peer, leaves));
      if (pending !== undefined) await this.#ask(peer, pending, sum, signal);
    });
  }

  async #draw(peer: PeerId, leaves: number): Promise<PendingRowAudit | undefined> {
    const { rows, rng, lost, clock } = this.#c;
    // What is known to be lost is asked for again a day later: it may have been mended since.
    const askedBeforeMs = clock.wallMs() - LOST_ASKED_AGAIN_MS;
    const shared = ((await rows.byPeer()).get(peer) ?? []).filter(
      ({ shard }) => (lost.of(shard, peer) ?? 0) < askedBeforeMs,
    );
    const some = shared[randomInt(rng, Math.max(1, shared.length))];
    if (some === undefined) return undefined;
    const { owner } = some.shard;
    const ofOwner = shared.filter(({ shard }) => shard.owner === owner);
    const [challenges] = messagesOf(drawLeaves(rng, ofOwner, leaves), leaves);
    return challenges === undefined ? undefined : { owner, nonce: rng.bytes(32), challenges };
  }

  async #ask(peer: PeerId, pending: PendingRowAudit, sum: HolderAudit, signal: AbortSignal): Promise<void> {
    const { book, clock, client, log } = this.#c;
    const before = book.holder(peer);
    const asked = pending.challenges.length;
    const counted = { ...before, asked: before.asked + asked, lastAskedMs: clock.wallMs() };
    await book.write(peer, { ...counted, rowPending: pending });
    sum.asked += asked;
    const request: AuditRequest = { t: "audit", v: 1, ...pending };
    try {
      const reply = await client.audit(peer, request, signal);
      const judged = judgeAnswer(peer, this.#swarm, request, reply);
      sum.bytes += reply.body.length;
      await this.#record(peer, pending, judged, counted, sum);
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error) || isFault(error, "FENCED", "REMOVED")) throw error;
      const why = messageOf(error).slice(0, REASON_CHARACTERS_MAX);
      sum.late += asked;
      sum.problem ??= why;
      log.info("audit-unanswered", { peer, leaves: asked, owner: pending.owner, why });
      // Whoever refuses does not see this node in the row: to ask for the same again would be refused again.
      const isRefused = isFault(error, "PEER_REFUSED");
      const { rowPending: _, ...rest } = counted;
      const kept = isRefused ? rest : { ...rest, rowPending: pending };
      await book.write(peer, { ...kept, late: counted.late + asked });
    }
  }

  async #record(
    peer: PeerId,
    { owner, challenges }: PendingRowAudit,
    { statement, timeMs, verdicts }: Judged,
    before: HolderRecord,
    sum: HolderAudit,
  ): Promise<void> {
    const { book, clock, lost, log } = this.#c;
    const count = (is: Judged["verdicts"][number]["is"]): number =>
      verdicts.filter((verdict) => verdict.is === is).length;
    const [proven, denied] = [count("proven"), count("denied")];
    const [wrong, garbled] = [count("wrong"), count("garbled")];
    const bad = verdicts.flatMap((verdict, position) => {
      if (verdict.is === "proven") return [];
      const cause: LossCause = verdict.is === "denied" ? "denied" : "wrong";
      return [{ shard: shardOf(owner, must(challenges[position], "challenge")), atMs: timeMs, cause }];
    });
    const good = verdicts.flatMap((verdict, position) =>
      verdict.is === "proven" ? [shardOf(owner, must(challenges[position], "challenge"))] : [],
    );
    const news = await lost.note(peer, bad);
    await lost.mended(peer, good, timeMs);
    if (news > 0) log.warn("row-shards-lost", { peer, owner, denied, wrong: wrong + garbled, news });
    const contradictions = verdicts.flatMap((verdict, position): Contradiction[] => {
      if (verdict.is !== "wrong") return [];
      const { leaf, proof } = verdict;
      return [{ position, proof: { t: "wrong", leaf, proof } }];
    });
    const evidence = await keepEvidence(this.#c, { swarm: this.#swarm, peer, statement }, contradictions);
    const nowMs = clock.wallMs();
    const found = { wrong, garbled, deniedMs: [] };
    const suspicion = suspicionAfter(before.suspicion, found, nowMs, evidence.firstId);
    const { rowPending: _, ...kept } = before;
    const record: HolderRecord = {
      ...kept,
      proven: kept.proven + proven,
      denied: kept.denied + denied,
      wrong: kept.wrong + wrong + garbled,
      ...(proven === 0 ? {} : { lastProvenMs: nowMs }),
      ...(suspicion === undefined ? {} : { suspicion }),
    };
    await book.write(peer, record, evidence.ops);
    if (suspicion !== undefined && before.suspicion === undefined)
      log.error("holder-suspected", { peer, reason: suspicion.reason });
    sum.proven += proven;
    sum.denied += denied;
    sum.wrong += wrong + garbled;
  }
}

function shardOf(owner: OwnerId, { incarnation, number, index }: AuditChallenge) {
  return { owner, incarnation, number, index };
}

/** Of different shards as far as there are enough, each leaf once; leaves of one shard follow each other. */
export function drawLeaves(
  rng: Pick<Rng, "float">,
  shared: readonly SharedShard[],
  leaves: number,
): { challenge: AuditChallenge; leafBytes: number }[] {
  const left = [...shared];
  const chosen: { of: SharedShard; leaves: Set<number> }[] = [];
  while (chosen.length < leaves && left.length > 0) {
    const at = randomInt(rng, left.length);
    chosen.push({ of: must(left[at], "shared shard"), leaves: new Set() });
    left.splice(at, 1);
  }
  let due = leaves;
  for (let round = 0; round < 2 * leaves && due > 0; round++) {
    for (const one of chosen) {
      const before = one.leaves.size;
      if (due > 0) one.leaves.add(randomInt(rng, one.of.leaves));
      due -= one.leaves.size - before;
    }
  }
  return chosen.flatMap(({ of: { shard, root, leafBytes }, leaves: drawn }) => {
    const { incarnation, number, index } = shard;
    return [...drawn].map((leaf) => ({ challenge: { incarnation, number, index, root, leaf }, leafBytes }));
  });
}
