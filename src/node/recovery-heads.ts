import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { Incarnation, PeerId } from "../base/ids.ts";
import { type Signed, signedHash } from "../crypto/signed.ts";
import { type HeadBody, headBody, mapBody } from "../wire/head.ts";

/** A head that somebody showed, its signature checked. */
export interface FoundHead {
  /** SHA-256 of the signed head, hex. */
  readonly id: string;
  readonly signed: Signed;
  readonly body: HeadBody;
  /** The members that showed it. */
  readonly keepers: readonly PeerId[];
  /** Of a life that the recovery key certified. */
  readonly isCertified: boolean;
}

export interface RankedHeads {
  /** Newest first, older ones of each life too. */
  readonly heads: readonly FoundHead[];
  /** Further ahead of all others than a life can get: taken only by who names them. */
  readonly leaps: readonly FoundHead[];
}

/** Further ahead than this an epoch is a trick to make every later one look old. */
const EPOCH_LEAP_MAX = 2 ** 32;

/**
 * The order in which heads are believed: lives that the recovery key certified before others, later ones first; then the
 * higher epoch; then the lower id. `certified` oldest first. The records are the owner's, their signatures checked.
 */
export function rankHeads(
  found: Iterable<{ readonly peer: PeerId; readonly records: readonly Signed[] }>,
  certified: readonly Incarnation[],
): RankedHeads {
  const rank = ({ signed }: FoundHead): number => certified.indexOf(signed.incarnation);
  const all = distinct(found, certified).sort(
    (a, b) => rank(b) - rank(a) || b.signed.epoch - a.signed.epoch || (a.id < b.id ? -1 : 1),
  );
  const leaps = new Set<FoundHead>();
  // The epochs of all lives count on from each other, so that a leap shows; a certified life may begin anywhere.
  for (const line of Map.groupBy(all, (head) =>
    head.isCertified ? head.signed.incarnation : "others",
  ).values()) {
    let base = line[0]?.isCertified === true ? (line.at(-1)?.signed.epoch ?? 0) : 0;
    for (const head of line.toReversed()) {
      if (head.signed.epoch > base + EPOCH_LEAP_MAX) leaps.add(head);
      else base = Math.max(base, head.signed.epoch);
    }
  }
  return { heads: all.filter((head) => !leaps.has(head)), leaps: [...leaps] };
}

function distinct(
  found: Iterable<{ readonly peer: PeerId; readonly records: readonly Signed[] }>,
  certified: readonly Incarnation[],
): FoundHead[] {
  const byId = new Map<string, { signed: Signed; keepers: Set<PeerId> }>();
  for (const { peer, records } of found) {
    for (const signed of records) {
      if (signed.type !== "head") continue;
      const id = toHex(signedHash(signed));
      const known = byId.get(id) ?? { signed, keepers: new Set() };
      known.keepers.add(peer);
      byId.set(id, known);
    }
  }
  return [...byId].map(([id, { signed, keepers }]) => ({
    id,
    signed,
    body: headBody.decode(signed.body),
    keepers: [...keepers],
    isCertified: certified.includes(signed.incarnation),
  }));
}

/** Other heads of the same life and epoch: its owner's key said two things with one number. */
export function forksOf(heads: readonly FoundHead[], head: FoundHead): FoundHead[] {
  const { incarnation, epoch } = head.signed;
  return heads.filter(
    (other) =>
      other.id !== head.id && other.signed.incarnation === incarnation && other.signed.epoch === epoch,
  );
}

/** By id or a unique beginning of it. */
export function pickHead(heads: readonly FoundHead[], asked: string): FoundHead {
  const matches = heads.filter((head) => head.id.startsWith(asked.toLowerCase()));
  const [match] = matches;
  if (match === undefined || matches.length > 1) {
    throw new Fault({ code: "USAGE", reason: `${matches.length} of the heads found begin with "${asked}".` });
  }
  return match;
}

/** Of every life and class the map of the highest epoch. */
export function newestMaps(records: readonly Signed[]): Signed[] {
  const newest = new Map<string, Signed>();
  for (const record of records) {
    if (record.type !== "map") continue;
    const key = `${record.incarnation}/${mapBody.decode(record.body).class}`;
    const known = newest.get(key);
    if (known === undefined || known.epoch < record.epoch) newest.set(key, record);
  }
  return [...newest.values()];
}
