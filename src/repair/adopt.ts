import { isFault, messageOf } from "../base/fault.ts";
import type { Incarnation, PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Catalog, SegmentRef } from "../catalog/index.ts";
import type { OwnerMaps, PeerClient, Placer } from "../exchange/index.ts";
import { generationOf, type PlacementMap, partitionOf, type SlotChange } from "../placement/index.ts";
import type { Clock } from "../ports/index.ts";
import { HAVE_SHARDS_MAX } from "../wire/data.ts";

export interface AdoptComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly placer: Pick<Placer, "alone">;
  readonly client: Pick<PeerClient, "have">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

/** What repair records say beyond the owner's map of one of its lives. */
export type ChangesOf = (life: Incarnation, signed: PlacementMap) => Promise<readonly SlotChange[]>;

export interface Adopted {
  readonly slots: number;
  /** Slots whose new holder did not answer: for another time. */
  readonly waiting: number;
}

/**
 * The owner is back, or was there while a holder left: what others repaired becomes its own word. Each new holder is asked
 * which shards it has; of those it counts from then on as having acknowledged them. Then the slot in the map is its, under
 * the owner's next version, which ends the records. Maps of earlier lives stay as they were signed.
 */
export async function adoptRepairs(
  c: AdoptComponents,
  changesOf: ChangesOf,
  signal: AbortSignal,
): Promise<Adopted> {
  let [slots, waiting] = [0, 0];
  for (const [position, life] of c.catalog.state.incarnations.entries()) {
    const map = c.maps.map(position);
    const changes = await changesOf(life, map);
    if (changes.length === 0) continue;
    const silent = await noteHeld(c, position, map, changes, signal);
    waiting += changes.filter(({ peer }) => silent.has(peer)).length;
    if (position !== c.catalog.currentIncarnation) continue;
    for (const change of changes)
      if (!silent.has(change.peer) && (await adoptSlot(c, position, change))) slots++;
  }
  return { slots, waiting };
}

/** Notes what new holders say that they have; who gave no answer. */
async function noteHeld(
  c: AdoptComponents,
  position: number,
  map: PlacementMap,
  changes: readonly SlotChange[],
  signal: AbortSignal,
): Promise<ReadonlySet<PeerId>> {
  const byRow = Map.groupBy(changes, rowKeyOf);
  const asking = new Map<PeerId, { ref: SegmentRef; index: number }[]>();
  const silent = new Set<PeerId>();
  for await (const [ref, record] of c.catalog.segments.all()) {
    if (ref.incarnation !== position) continue;
    const rows = map.classes.get(record.class);
    const generation = generationOf(map, record.class, ref.number);
    if (rows === undefined || generation === undefined) continue;
    const partition = partitionOf(ref.number, rows.partitions);
    const at = { classId: record.class, partition, fromSegment: generation.fromSegment };
    for (const { slot: index, peer } of byRow.get(rowKeyOf(at)) ?? []) {
      if (record.slots[index]?.peer === peer || silent.has(peer)) continue;
      const list = asking.get(peer) ?? [];
      list.push({ ref, index });
      asking.set(peer, list);
      if (list.length < HAVE_SHARDS_MAX) continue;
      asking.delete(peer);
      if (!(await ask(c, position, peer, list, signal))) silent.add(peer);
    }
  }
  for (const [peer, list] of asking)
    if (!silent.has(peer) && !(await ask(c, position, peer, list, signal))) silent.add(peer);
  return silent;
}

async function ask(
  c: AdoptComponents,
  position: number,
  peer: PeerId,
  shards: readonly { readonly ref: SegmentRef; readonly index: number }[],
  signal: AbortSignal,
): Promise<boolean> {
  const { catalog, client, clock, log } = c;
  const incarnation = catalog.state.incarnations[position];
  if (incarnation === undefined) return false;
  const asked = shards.map(({ ref, index }) => [ref.number, index] as const);
  let held: boolean[];
  try {
    held = await client.have(peer, catalog.owner, incarnation, asked, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!isFault(error)) throw error;
    log.info("holder-not-asked", { peer, why: messageOf(error) });
    return false;
  }
  const slot = { peer, timeMs: clock.wallMs() };
  for (const [at, { ref, index }] of shards.entries()) {
    if (held[at] !== true) continue;
    await catalog.segments.update(
      ref,
      (known) => ({ ...known, slots: known.slots.map((one, i) => (i === index ? slot : one)) }),
      { sync: false },
    );
  }
  return true;
}

/** Whether the slot still was as the records found it. */
async function adoptSlot(c: AdoptComponents, position: number, change: SlotChange): Promise<boolean> {
  const { classId, fromSegment, slot, peer, ownerVersion } = change;
  const ref = { incarnation: position, number: fromSegment };
  return c.placer.alone(ref, classId, async () => {
    const generation = generationOf(c.maps.map(position), classId, fromSegment);
    const now = generation?.slots[slot];
    const isAsFound = generation?.fromSegment === fromSegment && now?.ownerVersion === ownerVersion;
    if (!isAsFound || now === undefined) return false;
    await c.maps.move(classId, fromSegment, new Map([[slot, peer]]), "generation", (op) =>
      c.catalog.store.write([op], { sync: true }),
    );
    const { partition } = change;
    c.log.info("repair-adopted", {
      row: `${classId}/${partition}/${fromSegment}`,
      slot,
      was: now.peer,
      to: peer,
    });
    return true;
  });
}

function rowKeyOf({
  classId,
  partition,
  fromSegment,
}: Pick<SlotChange, "classId" | "partition" | "fromSegment">): string {
  return `${classId}/${partition}/${fromSegment}`;
}
