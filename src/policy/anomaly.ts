/** What one snapshot captured, as far as it tells a usual one from an unusual one. */
export interface Capture {
  readonly files: number;
  readonly bytes: number;
  /** Of chunks that the repository did not have, before they were compressed. */
  readonly bytesNew: number;
  /** The same, compressed. */
  readonly bytesPacked: number;
}

export interface AnomalyRules {
  /** So many captures have to be known before one can be called unusual. */
  readonly capturesMin: number;
  /** New of all, and by how much more than ever before. */
  readonly changedShare: number;
  readonly changedFactor: number;
  /** What compression leaves of what is new, and what it left at most before, each as a share. */
  readonly packedShare: number;
  readonly packedBeforeShare: number;
  /** Files gone of all, and how many at least. */
  readonly goneShare: number;
  readonly goneMin: number;
}

export const ANOMALY_RULES: AnomalyRules = {
  capturesMin: 3,
  changedShare: 0.5,
  changedFactor: 4,
  packedShare: 0.95,
  packedBeforeShare: 0.8,
  goneShare: 0.5,
  goneMin: 100,
};

/** Remembered of one set: a month of daily ones. */
export const CAPTURES_MAX = 30;

/**
 * Why a snapshot looks as if its files had been encrypted or taken away, in words; empty where it looks like those before it. It is
 * compared with what was usual for the same files: a database dump that is another one every day is never called unusual for that.
 *
 * @param before captures of the same paths that were usual, oldest first
 * @param bytesNewMin less that is new is no reason to wake anybody
 */
export function anomaliesOf(
  now: Capture,
  before: readonly Capture[],
  bytesNewMin: number,
  rules: AnomalyRules = ANOMALY_RULES,
): string[] {
  const last = before.at(-1);
  if (last === undefined || before.length < rules.capturesMin) return [];
  const found: string[] = [];
  const isMuch = now.bytesNew >= bytesNewMin;
  const changed = shareOf(now.bytesNew, now.bytes);
  // The first one of a set is all new: it says nothing of what is usual.
  const usual = Math.max(...before.slice(1).map((one) => shareOf(one.bytesNew, one.bytes)));
  if (isMuch && changed >= rules.changedShare && changed >= usual * rules.changedFactor)
    found.push(`${percent(changed)} of its bytes are new, before it was ${percent(usual)} at most`);
  const packed = shareOf(now.bytesPacked, now.bytesNew);
  const packedBefore = packedOf(before);
  if (isMuch && packed >= rules.packedShare && packedBefore <= rules.packedBeforeShare)
    found.push(
      `what is new hardly compresses (to ${percent(packed)}), before it came to ${percent(packedBefore)}`,
    );
  const gone = last.files - now.files;
  if (gone >= rules.goneMin && gone >= last.files * rules.goneShare)
    found.push(`${gone} of ${last.files} files are gone`);
  return found;
}

/** Of all that was new so far; 1, as of what does not compress, where too little was. */
function packedOf(before: readonly Capture[]): number {
  const sum = (pick: (one: Capture) => number): number => before.reduce((all, one) => all + pick(one), 0);
  const fresh = sum(({ bytesNew }) => bytesNew);
  return fresh === 0 ? 1 : sum(({ bytesPacked }) => bytesPacked) / fresh;
}

const shareOf = (part: number, whole: number): number => (whole === 0 ? 0 : Math.min(1, part / whole));

const percent = (share: number): string => `${Math.round(share * 100)} %`;
