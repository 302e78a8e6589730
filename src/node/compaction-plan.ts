import type { SegmentRef } from "../catalog/index.ts";

/** A segment of which something is read, as a run of compaction finds it. */
export interface CompactionCandidate {
  readonly ref: SegmentRef;
  /** Of the sealed segment. */
  readonly segmentBytes: number;
  /** Its shards at holders. */
  readonly storedBytes: number;
  /** Sealed bytes of what some snapshot reads. */
  readonly aliveBytes: number;
  readonly frames: number;
}

export interface CompactionLimits {
  /** Of a segment that is full. */
  readonly fullBytes: number;
  /** Shard bytes for each byte of a segment that is written now. */
  readonly overhead: number;
  /** Fetched and sent. */
  readonly movedBytesMax: number;
  /** Shard bytes of what is given up. */
  readonly freedBytesMax: number;
  /** Chunks whose ids are held in memory. */
  readonly framesMax: number;
  /** What the run costs besides copying: a new index. Not worth it for less. */
  readonly freedBytesMin: number;
}

export interface CompactionPlan {
  readonly victims: readonly CompactionCandidate[];
  readonly aliveBytes: number;
  /** Shard bytes that holders delete in the end, without those that are written instead. */
  readonly freedBytes: number;
}

/** Half a segment alive or less is copied: two bytes come back for each that is written. */
const SPARSE_SHARE = 1 / 2;
/** Smaller than this share of a full one is folded into full ones when as much as a full one of them has gathered. */
const SMALL_SHARE = 1 / 4;

const NOTHING: CompactionPlan = { victims: [], aliveBytes: 0, freedBytes: 0 };

/** Which segments are copied into new ones: those with little left alive, those with least first, and small ones, the oldest first. */
export function planCompaction(
  candidates: readonly CompactionCandidate[],
  limits: CompactionLimits,
): CompactionPlan {
  const smallMax = limits.fullBytes * SMALL_SHARE;
  const shareOf = ({ aliveBytes, segmentBytes }: CompactionCandidate): number => aliveBytes / segmentBytes;
  const sparse = candidates
    .filter((one) => one.segmentBytes > smallMax && shareOf(one) <= SPARSE_SHARE)
    .sort((a, b) => shareOf(a) - shareOf(b));
  const small = candidates
    .filter((one) => one.segmentBytes <= smallMax)
    .sort((a, b) => a.ref.incarnation - b.ref.incarnation || a.ref.number - b.ref.number);
  const gathered = small.reduce((sum, { segmentBytes }) => sum + segmentBytes, 0);
  const victims: CompactionCandidate[] = [];
  let [frames, storedBytes, aliveBytes] = [0, 0, 0];
  for (const one of [...sparse, ...(gathered >= limits.fullBytes ? small : [])]) {
    const moved = (aliveBytes + one.aliveBytes) * (1 + limits.overhead);
    if (moved > limits.movedBytesMax) continue;
    if (frames + one.frames > limits.framesMax) continue;
    if (storedBytes + one.storedBytes > limits.freedBytesMax) continue;
    victims.push(one);
    frames += one.frames;
    storedBytes += one.storedBytes;
    aliveBytes += one.aliveBytes;
  }
  const freedBytes = storedBytes - aliveBytes * limits.overhead;
  return freedBytes < Math.max(1, limits.freedBytesMin) ? NOTHING : { victims, aliveBytes, freedBytes };
}

/** Copied in one turn each, about a segment at a time: whoever waits for the list waits for no more. */
export function turnsOf(victims: readonly CompactionCandidate[], fullBytes: number): CompactionCandidate[][] {
  const turns: CompactionCandidate[][] = [];
  let aliveBytes = 0;
  for (const victim of victims) {
    const turn = turns.at(-1);
    if (turn === undefined || aliveBytes + victim.aliveBytes > fullBytes) {
      turns.push([victim]);
      aliveBytes = victim.aliveBytes;
    } else {
      turn.push(victim);
      aliveBytes += victim.aliveBytes;
    }
  }
  return turns;
}
