import { must } from "../base/assert.ts";
import type { PeerId } from "../base/ids.ts";
import { type Catalog, refKey, type SegmentRecord, type SegmentRef } from "../catalog/index.ts";
import type { OwnerMaps } from "../exchange/index.ts";
import type { Clock } from "../ports/index.ts";
import { askPrompt, type ReachabilityComponents } from "../restore/index.ts";

export interface NoteHoldersComponents extends ReachabilityComponents {
  readonly clock: Pick<Clock, "wallMs" | "monotonicMs" | "sleep">;
  /** Whose word counts. @default everybody's */
  readonly isBelieved?: (peer: PeerId) => boolean;
}

/** Whether enough shards of each of these are said to be held. Of a segment that nothing is known of here they are not. */
export async function areHeld(
  components: Omit<NoteHoldersComponents, "isBelieved">,
  refs: readonly SegmentRef[],
  signal: AbortSignal,
): Promise<boolean> {
  const { catalog } = components;
  const known = refs.filter((ref) => catalog.segments.get(ref) !== undefined);
  const { claimed } = await askPrompt(components, known, signal);
  return refs.every((ref) => {
    const record = catalog.segments.get(ref);
    return record !== undefined && (claimed.get(refKey(ref))?.size ?? 0) >= record.k;
  });
}

/**
 * What holders say that they have stands in for the receipts that burnt with the old home: it fills slots that are
 * empty and changes no other.
 */
export async function noteHolders(
  components: NoteHoldersComponents,
  refs: readonly SegmentRef[],
  signal: AbortSignal,
  onSegment: (done: number) => void = () => {},
): Promise<{ filled: number; silent: ReadonlySet<PeerId> }> {
  const { catalog, maps, clock } = components;
  const { claimed, silent, late } = await askPrompt(components, refs, signal);
  const isBelieved = components.isBelieved ?? (() => true);
  let filled = 0;
  for (const [done, ref] of refs.entries()) {
    onSegment(done);
    const record = must(catalog.segments.get(ref), "segment record");
    const byMap = maps.slots(ref, record.class);
    const have = claimed.get(refKey(ref)) ?? new Set();
    const slots = record.slots.map((slot, index) => {
      const peer = byMap[index];
      if (slot !== null || peer === undefined || !have.has(index) || !isBelieved(peer)) return slot;
      filled++;
      return { peer, timeMs: clock.wallMs() };
    });
    await catalog.segments.put(ref, { ...record, slots }, { sync: false });
  }
  return { filled, silent: new Set([...silent, ...late]) };
}

/**
 * Holders that were away when a repository was recovered are asked as they come back: until then its old segments count
 * for less than they are worth, and the next snapshot would store all of them again.
 */
export class LateHolders {
  readonly #c: NoteHoldersComponents;
  #asked: string | undefined;
  #isDone = false;

  constructor(components: NoteHoldersComponents) {
    this.#c = components;
  }

  /** Does something only when other peers are connected than the last time. */
  async ask(connected: readonly PeerId[], signal: AbortSignal): Promise<number> {
    const asked = [...connected].sort().join();
    if (this.#isDone || asked === this.#asked) return 0;
    const refs = await incompleteRefs(this.#c.catalog, this.#c.maps, new Set(connected));
    this.#isDone = refs.missing === 0;
    const { filled, silent } = await noteHolders(this.#c, refs.toAsk, signal);
    // A peer that is connected and does not answer has perhaps not heard of us yet: it is asked again.
    if (!connected.some((peer) => silent.has(peer))) this.#asked = asked;
    return filled;
  }
}

async function incompleteRefs(
  catalog: Catalog,
  maps: OwnerMaps,
  connected: ReadonlySet<PeerId>,
): Promise<{ missing: number; toAsk: SegmentRef[] }> {
  const toAsk: SegmentRef[] = [];
  let missing = 0;
  for await (const [ref, record] of catalog.segments.all()) {
    if (!isRecovered(record) || record.slots.every((slot) => slot !== null)) continue;
    missing++;
    const byMap = maps.slots(ref, record.class);
    const isAnyBack = record.slots.some((slot, index) => {
      const peer = byMap[index];
      return slot === null && peer !== undefined && connected.has(peer);
    });
    if (isAnyBack) toAsk.push(ref);
  }
  return { missing, toAsk };
}

/** Of an older life: nobody else writes its record, as nobody places its shards. */
function isRecovered(record: SegmentRecord): boolean {
  return record.createdMs === 0;
}
