import { isFault, messageOf } from "../base/fault.ts";
import { type PeerId, segmentKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Catalog, SegmentRangeSet, SegmentRef } from "../catalog/index.ts";
import type { PeerClient } from "../exchange/index.ts";
import { HAVE_SHARDS_MAX } from "../wire/data.ts";

interface Question {
  readonly ref: SegmentRef;
  readonly index: number;
  readonly peer: PeerId;
  /** Of the receipt that is asked about. */
  readonly timeMs: number;
}

export interface ClaimsComponents {
  readonly catalog: Catalog;
  readonly client: Pick<PeerClient, "have">;
  /** A holder says that it has not got a shard that it gave a receipt for: from now on it does not count. */
  readonly onLost: (peer: PeerId, ref: SegmentRef, index: number) => void;
  readonly log: Log;
}

export interface Claims {
  /** Shards whose holders said whether they have them. */
  readonly asked: number;
  /** Of these, those that are not there any more. */
  readonly lost: number;
  /** Holders that gave no answer: nothing follows from that. */
  readonly silent: ReadonlySet<PeerId>;
}

/**
 * Asks holders which of the shards that they gave receipts for they still have. Saying yes proves nothing; saying no is
 * believed, since it costs the holder nothing but our trust. One that set shards aside after a scrub says so in this way.
 *
 * Questions are sent as the table is read, so that no more than a message for each holder waits in memory.
 */
export async function askWhatIsHeld(
  components: ClaimsComponents,
  holders: ReadonlySet<PeerId>,
  needed: SegmentRangeSet | undefined,
  signal: AbortSignal,
): Promise<Claims> {
  const { catalog } = components;
  const asking = new Asking(components, signal);
  for await (const [ref, record] of catalog.segments.all()) {
    signal.throwIfAborted();
    if (needed !== undefined && !needed.has(ref)) continue;
    for (const [index, slot] of record.slots.entries()) {
      if (slot === null || !holders.has(slot.peer)) continue;
      await asking.add({ ref, index, peer: slot.peer, timeMs: slot.timeMs });
    }
  }
  return asking.finish();
}

class Asking {
  readonly #c: ClaimsComponents;
  readonly #signal: AbortSignal;
  /** By peer and life. */
  readonly #waiting = new Map<string, Question[]>();
  readonly #silent = new Set<PeerId>();
  #asked = 0;
  #lost = 0;

  constructor(components: ClaimsComponents, signal: AbortSignal) {
    this.#c = components;
    this.#signal = signal;
  }

  async add(question: Question): Promise<void> {
    if (this.#silent.has(question.peer)) return;
    const key = `${question.peer}/${question.ref.incarnation}`;
    const list = this.#waiting.get(key) ?? [];
    list.push(question);
    this.#waiting.set(key, list);
    if (list.length < HAVE_SHARDS_MAX) return;
    this.#waiting.delete(key);
    await this.#ask(list);
  }

  async finish(): Promise<Claims> {
    for (const list of this.#waiting.values()) await this.#ask(list);
    this.#waiting.clear();
    return { asked: this.#asked, lost: this.#lost, silent: this.#silent };
  }

  async #ask(questions: readonly Question[]): Promise<void> {
    const [first] = questions;
    if (first === undefined || this.#silent.has(first.peer)) return;
    const { catalog, client, log } = this.#c;
    const { incarnation } = catalog.segmentId(first.ref);
    const shards = questions.map(({ ref, index }) => [ref.number, index] as const);
    let held: boolean[];
    try {
      held = await client.have(first.peer, catalog.owner, incarnation, shards, this.#signal);
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!isFault(error) || isFault(error, "FENCED", "REMOVED")) throw error;
      log.info("holder-not-asked", { peer: first.peer, why: messageOf(error) });
      this.#silent.add(first.peer);
      return;
    }
    this.#asked += questions.length;
    for (const [position, question] of questions.entries())
      if (held[position] === false) await this.#lose(question);
  }

  async #lose({ ref, index, peer, timeMs }: Question): Promise<void> {
    const { catalog, log, onLost } = this.#c;
    // Acknowledged anew since it was asked for: the answer was about an older time.
    if (catalog.segments.get(ref)?.slots[index]?.timeMs !== timeMs) return;
    if (!(await catalog.segments.forget(ref, index, peer))) return;
    this.#lost++;
    onLost(peer, ref, index);
    log.error("shard-lost", {
      peer,
      segment: segmentKey(catalog.segmentId(ref)),
      index,
      why: "its holder has not got it",
    });
  }
}
