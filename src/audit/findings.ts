import { must } from "../base/assert.ts";
import { fromHex } from "../base/bytes.ts";
import { isFault } from "../base/fault.ts";
import { type OwnerId, type PeerId, publicKeyOfPeer, type SwarmId, shardKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Catalog, SegmentRef, ShardSlot } from "../catalog/index.ts";
import { NO_INCARNATION } from "../crypto/signed.ts";
import type { Clock, MetaOp } from "../ports/index.ts";
import type { AuditChallenge, ConvictionRecord } from "../wire/audit.ts";
import { receiptBody } from "../wire/data.ts";
import { encodeSigned } from "../wire/signed.ts";
import { CONVICTING_SHARE } from "../wire/trust.ts";
import { type AuditBook, EVIDENCE_MAX, suspicionAfter, withDenials } from "./book.ts";
import { type Conviction, checkConviction, encodeConviction } from "./conviction.ts";
import type { Verdict } from "./judge.ts";
import type { ProvenShard } from "./proven.ts";
import type { HolderRecord } from "./records.ts";

/** One leaf of an answer, with what the catalog said of its shard when it was asked for. */
export interface Finding {
  readonly verdict: Verdict;
  readonly position: number;
  readonly challenge: AuditChallenge;
  readonly ref?: SegmentRef;
  readonly slot?: ShardSlot;
}

interface FindingsComponents {
  readonly catalog: Catalog;
  readonly book: AuditBook;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

export interface Answered {
  readonly swarm: SwarmId;
  readonly peer: PeerId;
  readonly nonce: Uint8Array;
  /** The holder's signed word. */
  readonly statement: Uint8Array;
  readonly findings: readonly Finding[];
  readonly before: HolderRecord;
}

/**
 * Draws the consequences of an answer, in this order: shards that were denied or wrong count as lost, evidence and what was
 * proven go to disk with the holder's new record, in one write. After a crash between the two the same leaves are asked again.
 */
export async function recordFindings(
  components: FindingsComponents,
  answered: Answered,
): Promise<{ proven: number; denied: number; wrong: number }> {
  const { book, clock, log } = components;
  const { peer, findings, before } = answered;
  const nowMs = clock.wallMs();
  const proven = shardsOf(findings, "proven");
  const lost = findings.filter(({ verdict }) => verdict.is !== "proven");
  await loseShards(components, peer, lost);
  const contradictions = lost.flatMap((finding): Contradiction[] => {
    const proof = proofOf(finding, { swarm: answered.swarm, peer, owner: components.catalog.owner });
    return proof === undefined ? [] : [{ position: finding.position, proof }];
  });
  const evidence = await keepEvidence(components, answered, contradictions);
  const count = (is: Verdict["is"]): number => findings.filter(({ verdict }) => verdict.is === is).length;
  const deniedMs = withDenials(before, countedDenials(findings), nowMs);
  const [wrong, garbled, denied] = [count("wrong"), count("garbled"), count("denied")];
  const suspicion = suspicionAfter(before.suspicion, { wrong, garbled, deniedMs }, nowMs, evidence.firstId);
  const { pending: _, problem: __, ...kept } = before;
  const record: HolderRecord = {
    ...kept,
    proven: kept.proven + count("proven"),
    denied: kept.denied + denied,
    wrong: kept.wrong + wrong + garbled,
    deniedMs,
    ...(proven.length === 0 ? {} : { lastProvenMs: nowMs }),
    ...(suspicion === undefined ? {} : { suspicion }),
  };
  const provenOps = await book.proven.add(peer, proven, answered.nonce, nowMs);
  await book.write(peer, record, [...evidence.ops, ...provenOps]);
  if (suspicion !== undefined && before.suspicion === undefined)
    log.error("holder-suspected", { peer, reason: suspicion.reason });
  return { proven: count("proven"), denied, wrong: wrong + garbled };
}

/** Each once, however many leaves of it were asked for. */
function shardsOf(findings: readonly Finding[], is: Verdict["is"]): ProvenShard[] {
  const shards = new Map<string, ProvenShard>();
  for (const { verdict, ref, challenge } of findings) {
    if (verdict.is !== is || ref === undefined) continue;
    shards.set(`${ref.incarnation}/${ref.number}/${challenge.index}`, { ref, index: challenge.index });
  }
  return [...shards.values()];
}

/** What a holder had not said itself, and only when it is more than a bad spot on its disk. */
function countedDenials(findings: readonly Finding[]): number {
  const fresh = findings.filter(({ verdict }) => verdict.is === "denied" && verdict.told !== true);
  const place = ({ challenge: { incarnation, number, index } }: Finding): string =>
    `${incarnation}/${number}/${index}`;
  const share = new Set(fresh.map(place)).size / Math.max(1, new Set(findings.map(place)).size);
  return share < CONVICTING_SHARE ? 0 : shardsOf(fresh, "denied").length;
}

async function loseShards(
  { catalog, book, log }: FindingsComponents,
  peer: PeerId,
  lost: readonly Finding[],
): Promise<void> {
  for (const { verdict, ref, slot, challenge } of lost) {
    if (ref === undefined || slot === undefined) continue;
    const { index, number } = challenge;
    const now = catalog.segments.get(ref)?.slots[index];
    // Acknowledged anew since it was asked for: what it said was about an older time. Or lost by another leaf already.
    if (now?.peer !== slot.peer || now.timeMs !== slot.timeMs) continue;
    await catalog.segments.forget(ref, index, peer);
    book.proven.forget(peer, { ref, index });
    log.error("audit-shard-lost", { peer, segment: number, index, why: verdict.is });
  }
}

/** What an answer is contradicted by. */
export interface Contradiction {
  readonly position: number;
  readonly proof: ConvictionRecord["proof"];
}

/** What to write so that the evidence is kept, as far as there is room; logged. */
export async function keepEvidence(
  { book, log }: Pick<FindingsComponents, "book" | "log">,
  { swarm, peer, statement }: Pick<Answered, "swarm" | "peer" | "statement">,
  contradictions: readonly Contradiction[],
): Promise<{ ops: MetaOp[]; firstId: Uint8Array | undefined }> {
  const ops: MetaOp[] = [];
  if (contradictions.length === 0) return { ops, firstId: undefined };
  const kept = await book.evidence(peer);
  const room = EVIDENCE_MAX - kept.length;
  // One piece for each shard: it takes several shards denied to convict.
  const shown = new Set(kept.map((bytes) => placeOf(checkConviction(bytes, swarm))));
  let firstId: Uint8Array | undefined;
  for (const { position, proof } of contradictions) {
    if (ops.length >= room) break;
    const bytes = encodeConviction({ statement, position, proof });
    const conviction = convictionOf(bytes, swarm);
    if (conviction === undefined || shown.has(placeOf(conviction))) continue;
    shown.add(placeOf(conviction));
    const id = must(fromHex(conviction.id), "id of a conviction");
    firstId ??= id;
    ops.push(book.evidenceOp(peer, id, bytes));
    const { kind, shard, leaf } = conviction;
    const segment = { incarnation: shard.incarnation, segment: shard.number, index: shard.index, leaf };
    log.error("holder-convicted", { peer, kind, ...segment, evidence: conviction.id });
  }
  return { ops, firstId };
}

function placeOf({ kind, shard }: Conviction): string {
  return `${kind}/${shardKey(shard)}`;
}

function proofOf(
  { verdict, challenge, slot }: Finding,
  of: { swarm: SwarmId; peer: PeerId; owner: OwnerId },
): ConvictionRecord["proof"] | undefined {
  if (verdict.is === "wrong") return { t: "wrong", leaf: verdict.leaf, proof: verdict.proof };
  const receipt = slot === undefined ? undefined : receiptOf(slot, challenge, of);
  const isFresh = verdict.is === "denied" && verdict.told !== true;
  return isFresh && receipt !== undefined ? { t: "denied", receipt } : undefined;
}

/** The record that the holder signed; the catalog keeps only what does not follow from the rest. */
function receiptOf(
  { timeMs, signature }: ShardSlot,
  { incarnation, number, index, root }: AuditChallenge,
  { swarm, peer, owner }: { swarm: SwarmId; peer: PeerId; owner: OwnerId },
): Uint8Array | undefined {
  if (signature === undefined) return undefined;
  const body = receiptBody.encode({ v: 1, owner, incarnation, number, index, root, timeMs });
  const signer = publicKeyOfPeer(peer);
  const of = { swarm, signer, incarnation: NO_INCARNATION, epoch: timeMs };
  return encodeSigned({ type: "receipt", ...of, body, signature });
}

/** `undefined` where the holder's clock was set back between receipt and answer: others would not believe it. */
function convictionOf(bytes: Uint8Array, swarm: SwarmId): Conviction | undefined {
  try {
    return checkConviction(bytes, swarm);
  } catch (error) {
    if (!isFault(error)) throw error;
    return undefined;
  }
}
