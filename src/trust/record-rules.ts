import { type Conviction, checkConviction } from "../audit/index.ts";
import { Fault } from "../base/fault.ts";
import { type PeerId, type SwarmId, shardKey } from "../base/ids.ts";
import type { Signed } from "../crypto/signed.ts";
import { DEFAULT_RECORD_RULES, type RecordRule, type RecordType } from "../membership/index.ts";
import { CONVICTING_DENIALS, CONVICTING_SHARE, convictionBody } from "../wire/trust.ts";

/** What a `conviction` proves, whoever shows it. */
export interface Proven {
  readonly target: PeerId;
  readonly kind: Conviction["kind"];
  /** By the target's own clock, the last of its words. */
  readonly saidMs: number;
}

/** Puts the check of what convictions rest on into the rules of the record store. */
export const TRUST_RECORD_RULES: Readonly<Partial<Record<RecordType, Partial<RecordRule>>>> = {
  conviction: {
    check: (record: Signed): void => {
      DEFAULT_RECORD_RULES.conviction.check(record);
      const { target, evidence } = convictionBody.decode(record.body);
      provenBy(target, evidence, record.swarm);
    },
  },
};

/**
 * One answer that is wrong convicts; of shards denied it takes several in one statement: one or two are a bad spot on a disk.
 * Throws `FORMAT_INVALID` or `SIGNATURE_INVALID` where the evidence does not prove that.
 */
export function provenBy(target: PeerId, evidence: readonly Uint8Array[], swarm: SwarmId): Proven {
  const convictions = evidence.map((bytes) => checkConviction(bytes, swarm));
  if (convictions.some(({ holder }) => holder !== target))
    throw invalid("its evidence is about another peer");
  const times = convictions.map(({ timeMs }) => timeMs);
  const [first, ...others] = convictions;
  const saidMs = Math.max(...times);
  if (first?.kind === "wrong" && others.length === 0) return { target, kind: "wrong", saidMs };
  if (!areConvictingDenials(convictions)) throw invalid("its evidence is not enough to convict");
  return { target, kind: "denied", saidMs };
}

/**
 * Of different shards and in one statement, of which they are no small part: whoever asks cannot gather a conviction from the bad
 * spots of an honest disk, since a shard that was found to be bad once is admitted from then on.
 */
export function areConvictingDenials(convictions: readonly Conviction[]): boolean {
  const shards = new Set(convictions.map(({ shard }) => shardKey(shard)));
  return (
    convictions.length === CONVICTING_DENIALS &&
    shards.size === CONVICTING_DENIALS &&
    new Set(convictions.map(({ statement }) => statement)).size === 1 &&
    convictions.every(({ kind, deniedShare }) => kind === "denied" && deniedShare >= CONVICTING_SHARE)
  );
}

function invalid(reason: string): Fault {
  return new Fault({ code: "FORMAT_INVALID", what: "conviction record", reason });
}
