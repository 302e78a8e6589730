import type { OwnerId, PeerId } from "../base/ids.ts";
import type { Catalog, SegmentRangeSet } from "../catalog/index.ts";
import { fieldFor, type OwnerMaps, type SwarmView } from "../exchange/index.ts";
import type { ExcludeReason, Slot } from "../placement/index.ts";
import { type Holder, isPresent, type PlannedRow, planRemoval, type RemovalPlan } from "../upkeep/index.ts";
import { NO_EVIDENCE, ownSegment } from "./own-facts.ts";

export interface OwnRemovalComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly view: SwarmView;
  readonly holders: ReadonlyMap<PeerId, Holder>;
  readonly needed: SegmentRangeSet | undefined;
  /** Room for shards, as holders say. */
  readonly freeBytes: ReadonlyMap<PeerId, number>;
}

export interface OwnRemovalPlan extends RemovalPlan {
  readonly segments: number;
  /** By this owner when they are gone: read once for each segment, sent for each shard. */
  readonly byOwner: { readonly read: number; readonly sent: number };
  /** Bytes of shards that can go nowhere. */
  readonly stuckBytes: number;
}

interface MutableRow extends PlannedRow {
  slotBytes: number;
  /** Of those whose bytes are on the own disk still, nothing has to be read. */
  readBytes: number;
}

/** What it would take, for this owner's repository, if these nodes were removed. */
export async function planOwnRemoval(
  components: OwnRemovalComponents,
  remove: ReadonlySet<PeerId>,
): Promise<OwnRemovalPlan> {
  const { rows, segments } = await rowsOf(components);
  const { view, holders, freeBytes } = components;
  const nodes = view.nodes().map((node) => ({
    ...node,
    suspected: node.suspected || holders.get(node.peer)?.trust.kind !== "trusted",
  }));
  const plan = planRemoval({ rows, nodes, remove, freeBytes, mayCrowd: true });
  const touched = new Set(plan.moves.map(({ row }) => row));
  const bytesOf = (row: number): number => rows[row]?.slotBytes ?? 0;
  return {
    ...plan,
    segments,
    byOwner: {
      read: [...touched].reduce((sum, row) => sum + (rows[row]?.readBytes ?? 0), 0),
      sent: plan.moves.reduce((sum, { bytes }) => sum + bytes, 0),
    },
    stuckBytes: plan.stuck.reduce((sum, { row }) => sum + bytesOf(row), 0),
  };
}

/** One for each generation that lies alike. */
async function rowsOf({
  catalog,
  maps,
  view,
  holders,
  needed,
}: OwnRemovalComponents): Promise<{ rows: MutableRow[]; segments: number }> {
  const rows = new Map<string, MutableRow>();
  const exclude = excluded(view, holders);
  let segments = 0;
  for await (const [ref, record] of catalog.segments.all()) {
    if (needed !== undefined && !needed.has(ref)) continue;
    segments++;
    const { facts, generation } = ownSegment(ref, record, maps, NO_EVIDENCE);
    // By who has acknowledged: a slot that nobody has yet is no removal's doing.
    const slots = record.slots.map((slot): Slot => slot?.peer);
    const key = `${generation}|${slots.join()}`;
    const row = rows.get(key) ?? {
      field: rowField({ catalog, maps, view }, ref, record.class, facts.cap, exclude),
      k: record.k,
      slots,
      slotBytes: 0,
      readBytes: 0,
    };
    row.slotBytes += record.shardBytes;
    row.readBytes += record.spooled ? 0 : record.k * record.shardBytes;
    rows.set(key, row);
  }
  return { rows: [...rows.values()], segments };
}

function rowField(
  { catalog, maps, view }: Pick<OwnRemovalComponents, "catalog" | "maps" | "view">,
  ref: { readonly incarnation: number; readonly number: number },
  classId: number,
  cap: number,
  exclude: ReadonlyMap<PeerId, ExcludeReason>,
): PlannedRow["field"] {
  const owner: OwnerId = catalog.owner;
  const of = maps.class(ref.incarnation, classId);
  const partition = maps.partitionIn(ref.incarnation, classId, ref.number);
  return { ...fieldFor(view, owner, of, partition, exclude), cap };
}

/** Who is away already takes nothing. */
function excluded(view: SwarmView, holders: ReadonlyMap<PeerId, Holder>): Map<PeerId, ExcludeReason> {
  return new Map(
    view.nodes().flatMap(({ peer }) => (isPresent(holders.get(peer)) ? [] : [[peer, "lost" as const]])),
  );
}
