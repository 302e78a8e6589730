import { equalBytes } from "../base/bytes.ts";
import { type PeerId, peerIdOf, type SwarmId } from "../base/ids.ts";
import type { Signed } from "../crypto/signed.ts";
import type { AdministratorSet } from "../membership/index.ts";
import type { TrustStatement } from "../upkeep/index.ts";
import {
  CONVICTION_KEPT_MS,
  clearanceBody,
  convictionBody,
  DOUBT_KEPT_MS,
  doubtBody,
} from "../wire/trust.ts";
import { provenBy } from "./record-rules.ts";

/** One signed word about a member, as people are shown it. */
export interface Word {
  readonly kind: "doubt" | "conviction" | "clearance";
  readonly target: PeerId;
  /** Public key of who says it: a member's, of a clearance an administrator's. */
  readonly by: Uint8Array;
  readonly atMs: number;
  /** From then on it says nothing any more. */
  readonly untilMs: number;
  readonly reason: string;
}

export const TRUST_RECORD_TYPES = ["conviction", "doubt", "clearance"] as const;
export type TrustRecordType = (typeof TRUST_RECORD_TYPES)[number];

export function isTrustRecord(record: Signed): record is Signed & { type: TrustRecordType } {
  return TRUST_RECORD_TYPES.some((type) => type === record.type);
}

/** Of a record that the store has checked. A doubt that was taken back is one that has ended. */
export function wordOf({ type, body, signer, swarm }: Signed & { readonly type: TrustRecordType }): Word {
  switch (type) {
    case "conviction":
      return convictionOf(body, signer, swarm);
    case "clearance": {
      const { target, timeMs: atMs, reason } = clearanceBody.decode(body);
      return { kind: "clearance", target, by: signer, atMs, untilMs: Number.POSITIVE_INFINITY, reason };
    }
    case "doubt": {
      const { target, timeMs: atMs, stands, reason } = doubtBody.decode(body);
      return {
        kind: "doubt",
        target,
        by: signer,
        atMs,
        untilMs: stands ? atMs + DOUBT_KEPT_MS : 0,
        reason,
      };
    }
  }
}

function convictionOf(body: Uint8Array, by: Uint8Array, swarm: SwarmId): Word {
  const { target, timeMs, evidence } = convictionBody.decode(body);
  const { kind, saidMs } = provenBy(target, evidence, swarm);
  return {
    kind: "conviction",
    target,
    by,
    // Nobody can make old words of the target newer than they are by showing them again; where its clock is ahead they
    // are no newer than the day on which they were shown.
    atMs: Math.min(saidMs, timeMs),
    untilMs: timeMs + CONVICTION_KEPT_MS,
    reason:
      kind === "wrong"
        ? "it signed bytes that are not those it was given"
        : `it signed that it has not got ${evidence.length} shards that it gave receipts for`,
  };
}

/** When so many present administrators as it takes had cleared the target; `undefined` while they have not. */
export function clearedMs(
  words: readonly Word[],
  { keys, threshold }: Pick<AdministratorSet, "keys" | "threshold">,
): number | undefined {
  const times = words
    .filter(({ kind, by }) => kind === "clearance" && keys.some((key) => equalBytes(key, by)))
    .map(({ atMs }) => atMs);
  return times.sort((a, b) => b - a)[threshold - 1];
}

/** As the rules of upkeep take them. */
export function statementsOf(
  words: readonly Word[],
  administrators: Pick<AdministratorSet, "keys" | "threshold">,
): TrustStatement[] {
  const statements = words.flatMap(({ kind, target, by, atMs, reason }): TrustStatement[] => {
    if (kind === "clearance") return [];
    return [
      kind === "doubt" ? { kind, auditor: peerIdOf(by), target, atMs } : { kind, target, atMs, reason },
    ];
  });
  const [first] = words;
  const atMs = clearedMs(words, administrators);
  if (first !== undefined && atMs !== undefined)
    statements.push({ kind: "clearance", target: first.target, atMs });
  return statements;
}
