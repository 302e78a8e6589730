import { isFault, messageOf } from "../base/fault.ts";
import { peerIdOf, type SwarmId } from "../base/ids.ts";
import {
  type Catalog,
  checkTrail,
  isPageOf,
  readTrailEntry,
  type Trail,
  type TrailEntry,
  type TrailProblem,
} from "../catalog/index.ts";
import type { Roster } from "../membership/index.ts";
import type { ChunkReader } from "../restore/index.ts";
import { trailPageCodec } from "../wire/trail.ts";

export interface TrailLogComponents {
  readonly catalog: Catalog;
  readonly trail: Trail;
  readonly chunks: Pick<ChunkReader, "readAt">;
  readonly roster: Pick<Roster, "swarm" | "certificatesOf">;
}

/** A page that lies with others and cannot be had now. */
export interface TrailGap {
  readonly from: number;
  readonly entries: number;
  readonly why: string;
}

export interface TrailLog {
  /** Those that can be read, oldest first. */
  readonly entries: readonly TrailEntry[];
  readonly problems: readonly TrailProblem[];
  readonly gaps: readonly TrailGap[];
  /** Number of the last entry that the newest head holds; what is later is on this machine alone. */
  readonly spreadTo: number;
}

/** The whole trail, with what a recovered home has to fetch first; that is kept. */
export async function readTrail(components: TrailLogComponents, signal: AbortSignal): Promise<TrailLog> {
  const { catalog, trail, roster } = components;
  const end = catalog.state.trail;
  const gaps = await fetchMissing(components, signal);
  const nodes = new Set(roster.certificatesOf(catalog.owner).map(({ body }) => body.peer));
  const missing = new Set(
    gaps.flatMap(({ from, entries }) => Array.from({ length: entries }, (_, i) => from + i)),
  );
  const checked = checkTrail(await trail.entries(), {
    swarm: roster.swarm,
    isNode: (key) => nodes.has(peerIdOf(key)),
    ...(end === undefined ? {} : { end }),
  });
  // What is known to lie where nobody answers is no gap that somebody made.
  const problems = checked.problems.filter(({ sequence }) => !missing.has(sequence + 1));
  return { entries: checked.entries, problems, gaps, spreadTo: end?.sequence ?? 0 };
}

async function fetchMissing(
  { catalog, trail, chunks, roster }: TrailLogComponents,
  signal: AbortSignal,
): Promise<TrailGap[]> {
  const here = new Set((await trail.entries()).map(({ sequence }) => sequence));
  const gaps: TrailGap[] = [];
  for (const { from, entries, at } of catalog.state.trail?.pages ?? []) {
    const isHere = Array.from({ length: entries }, (_, i) => here.has(from + i)).every((has) => has);
    if (isHere) continue;
    try {
      const { id, incarnation, segment: number, frame, offset, sealedBytes, rawBytes, compressed } = at;
      const place = { incarnation, number, frame, offset, sealedBytes, rawBytes, compressed };
      const [bytes] = await chunks.readAt([{ id, place }], signal);
      const read = bytes === undefined ? [] : entriesOf(bytes, roster.swarm);
      if (!isPageOf({ from, entries }, read))
        gaps.push({ from, entries, why: "the page holds other entries" });
      else await trail.keep(read);
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      gaps.push({ from, entries, why: messageOf(error) });
    }
  }
  return gaps;
}

function entriesOf(page: Uint8Array, swarm: SwarmId): { sequence: number; bytes: Uint8Array }[] {
  return trailPageCodec
    .decode(page)
    .entries.map((bytes) => ({ sequence: readTrailEntry(bytes, swarm).sequence, bytes }));
}
