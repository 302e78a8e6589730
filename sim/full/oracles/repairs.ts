import { type SegmentId, segmentKey } from "../../../src/base/ids.ts";
import type { LogFields, SimMachine } from "../machine.ts";
import type { World } from "../world.ts";

/** In a calm: what was lost is made anew, and goes back when its site is there again; once more for one that turns out bad. */
const REPAIRS_MAX = 3;

/**
 * What repairs said that they did. Of a slot that an owner mended: segment and index; of one that heirs moved: owner, row
 * and slot.
 */
export class RepairNotes {
  /** Put past the cap of a site, now or when those are back who were away, with the holder. */
  readonly overCap = new Set<string>();
  /** How often a slot was given to an honest holder since the calm began. */
  readonly #inCalm = new Map<string, number>();
  /** How often a shard was given to somebody else. */
  readonly #moves = new Map<string, number>();

  note(event: string, fields: LogFields, isHonest: (peer: string) => boolean): void {
    // A part that was cut off copied shards of a row; which ones is not said.
    if (event === "heir-copied") add(this.#moves, anyOf(String(fields["owner"])));
    const slot = slotOf(event, fields);
    if (slot === undefined) return;
    const to = String(fields["to"]);
    if (fields["overCap"] === true || fields["overCapOnceBack"] === true)
      for (const name of slot.names) this.overCap.add(`${name} ${to}`);
    add(this.#moves, slot.moved);
    if (isHonest(to)) add(this.#inCalm, slot.names[0]);
  }

  /** From now on nothing breaks any more. */
  calm(): void {
    this.#inCalm.clear();
  }

  /** Slots that were repaired again and again though nothing happened. */
  restless(): [slot: string, times: number][] {
    return [...this.#inCalm].filter(([, times]) => times > REPAIRS_MAX);
  }

  movesOf(id: SegmentId, index: number): number {
    const own = this.#moves.get(`${segmentKey(id)}#${index}`) ?? 0;
    const byHeirs = this.#moves.get(`${id.owner}#${index}`) ?? 0;
    return own + byHeirs + (this.#moves.get(anyOf(id.owner)) ?? 0);
  }
}

function anyOf(owner: string): string {
  return `${owner}#any`;
}

interface NotedSlot {
  /** Of the segment, and of its row where all of that moves. */
  readonly names: readonly [string, ...string[]];
  readonly moved: string;
}

function slotOf(event: string, fields: LogFields): NotedSlot | undefined {
  if (event === "shard-repaired") {
    const [segment, row] = [String(fields["segment"]), fields["row"]];
    const name = `${segment}#${String(fields["index"])}`;
    const owner = segment.slice(0, segment.indexOf("/"));
    const ofRow = row === undefined ? [] : [`${owner} ${String(row)}#${String(fields["index"])}`];
    return { names: [name, ...ofRow], moved: name };
  }
  if (event !== "heir-repaired") return undefined;
  const [owner, slot] = [String(fields["owner"]), String(fields["slot"])];
  return { names: [`${owner} ${String(fields["row"])}#${slot}`], moved: `${owner}#${slot}` };
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** At the end of the calm: repair has come to rest, and left nothing lying twice that it was not made to. */
export function checkRepairs(world: World): void {
  for (const [slot, times] of world.repairs.restless())
    world.violate("repair-storm", `${slot} was repaired ${times} times though nothing happened to it`);
  if (isEveryPutAnswered(world))
    for (const machine of world.living()) if (machine.isOn && machine.isHonest) checkSurplus(world, machine);
}

/** What somebody took and could not say, or said to a program that was gone, lies there and nobody knows. */
function isEveryPutAnswered(world: World): boolean {
  const doubtful = [
    ...["log put-failed", "log repair-put-failed", "log drain-row-moved", "recover: done"],
    ...["fault crash", "fault restart", "fault pause", "fault roll-back", "fault die", "fault site-dies"],
  ];
  return doubtful.every((label) => !world.labels.has(label));
}

/** Each shard lies with one holder, and with those whose place was taken since. */
function checkSurplus(world: World, machine: SimMachine): void {
  world.label("surplus counted");
  const { owner } = machine.node.repository.catalog;
  for (const segment of world.truth.segments.values()) {
    if (segment.id.owner !== owner) continue;
    for (const index of segment.shards.keys()) {
      const shard = { ...segment.id, index };
      const holders = world.living().filter((holder) => holder.shardDisk.get(shard) !== undefined);
      const allowed = 1 + world.repairs.movesOf(segment.id, index);
      if (holders.length > allowed)
        world.violate(
          "surplus",
          `${segmentKey(segment.id)}#${index} lies at ${holders.map(({ name }) => name).join(", ")}, and was moved ${allowed - 1} times`,
          machine,
        );
    }
  }
}
