import { must } from "../base/assert.ts";
import { mapLimit } from "../base/concurrency.ts";
import { isFault, type SegmentShortage } from "../base/fault.ts";
import type { Incarnation, PeerId } from "../base/ids.ts";
import { type Catalog, refKey, type SegmentRef } from "../catalog/index.ts";
import { askAll, type OwnerMaps, type PeerClient, type Strays } from "../exchange/index.ts";
import type { Clock } from "../ports/index.ts";
import { HAVE_SHARDS_MAX } from "../wire/data.ts";

export interface ReachabilityComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly client: Pick<PeerClient, "have" | "silent">;
  /** Asked before a segment is said to be out of reach. @default whom receipts and map name are all there are */
  readonly strays?: Pick<Strays, "of" | "find">;
}

/** What holders say that they have, right now, of each segment asked about. */
export interface Reachability {
  /** Shard indexes claimed, by `refKey`. */
  readonly claimed: ReadonlyMap<string, ReadonlySet<number>>;
  /** Asked, and did not answer in time. */
  readonly silent: ReadonlySet<PeerId>;
  /** Asked, and not waited for: the others have enough. */
  readonly late: ReadonlySet<PeerId>;
  /** Segments of which fewer than k shards were claimed. */
  readonly shortages: readonly SegmentShortage[];
}

interface Question {
  readonly ref: SegmentRef;
  readonly index: number;
}

/** Holders asked at the same time: a whole pool, so that those who hang do not keep the others from being asked. */
const ASK_LIMIT = 64;
/** Once enough is known, the other holders have so long to answer before they count as silent for the reads that follow. */
const GRACE_MS = 500;

/** Asks every holder of these segments once what it has: cheap enough to do before a restore writes anything. */
export async function askHolders(
  components: ReachabilityComponents,
  segments: Iterable<SegmentRef>,
  signal?: AbortSignal,
): Promise<Reachability> {
  const survey = new Survey(components, [...segments]);
  await survey.askAll(signal);
  return survey.result();
}

/**
 * The same, but it ends soon after k shards of every segment are claimed. Only where that never comes about all are waited for, as
 * long as it takes: what is said to be missing is missing. A question under way goes on beside what follows, until its
 * answer or its time-out; no further one is asked.
 */
export async function askUntilEnough(
  components: ReachabilityComponents & { readonly clock: Clock },
  segments: Iterable<SegmentRef>,
  signal: AbortSignal,
): Promise<Reachability> {
  const survey = new Survey(components, [...segments]);
  if (survey.isEnough) return survey.result();
  const all = survey.askAll(signal);
  await Promise.race([all, survey.enough]);
  // All whom receipts and map name have said what they have.
  if (!survey.isEnough) await survey.askElsewhere(signal);
  const timer = new AbortController();
  const grace = components.clock.sleep(GRACE_MS, AbortSignal.any([signal, timer.signal])).catch(() => {});
  await Promise.race([all, grace]);
  timer.abort();
  signal.throwIfAborted();
  survey.stop();
  // What goes wrong in the background after this is the next one's to find; a bug is still thrown.
  all.catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  return survey.result();
}

/**
 * The same, but whoever has not answered some time after more than half have counts as silent: for what is asked again
 * later anyhow.
 */
export async function askPrompt(
  components: ReachabilityComponents & { readonly clock: Pick<Clock, "monotonicMs" | "sleep"> },
  segments: Iterable<SegmentRef>,
  signal: AbortSignal,
): Promise<Reachability> {
  const survey = new Survey(components, [...segments]);
  await survey.askPrompt(components.clock, signal);
  survey.stop();
  return survey.result();
}

/** One round of questions to the holders of some segments. */
class Survey {
  readonly #c: ReachabilityComponents;
  readonly #refs: readonly SegmentRef[];
  readonly #claimed: ReadonlyMap<string, Set<number>>;
  /** How many more shards of a segment it takes; without those that need none. */
  readonly #lacking = new Map<string, number>();
  readonly #silent = new Set<PeerId>();
  readonly #waiting = new Set<PeerId>();
  readonly #enough = Promise.withResolvers<void>();
  #isStopped = false;

  constructor(components: ReachabilityComponents, refs: readonly SegmentRef[]) {
    this.#c = components;
    this.#refs = refs;
    this.#claimed = new Map(refs.map((ref) => [refKey(ref), new Set()]));
    for (const ref of refs) {
      const { spooled, k } = components.catalog.segments.orUnknown(ref);
      if (!spooled) this.#lacking.set(refKey(ref), k);
    }
  }

  get isEnough(): boolean {
    return this.#lacking.size === 0;
  }

  get enough(): Promise<void> {
    return this.#enough.promise;
  }

  async askAll(signal: AbortSignal | undefined): Promise<void> {
    const { silent } = this.#c.client;
    const holders = [...questionsByPeer(this.#c, this.#refs)];
    holders.sort(([a], [b]) => Number(silent.has(a)) - Number(silent.has(b)));
    await mapLimit(holders, ASK_LIMIT, ([peer, asked]) => this.#ask(peer, asked, signal));
  }

  /** All at once, and not for longer than those who answer take, within reason. */
  async askPrompt(clock: Pick<Clock, "monotonicMs" | "sleep">, signal: AbortSignal): Promise<void> {
    const holders = questionsByPeer(this.#c, this.#refs);
    const ask = async (peer: PeerId): Promise<boolean> => {
      await this.#ask(peer, holders.get(peer) ?? [], signal);
      return !this.#silent.has(peer);
    };
    await askAll([...holders.keys()], ask, { clock, signal });
  }

  /** Of what is still lacking, whoever else may have some. */
  async askElsewhere(signal: AbortSignal | undefined): Promise<void> {
    const { strays } = this.#c;
    const lacking = this.#refs.filter((ref) => this.#lacking.has(refKey(ref)));
    if (strays === undefined || lacking.length === 0) return;
    await strays.find(lacking, signal);
    for (const ref of lacking) for (const { index } of strays.of(ref)) this.#claim({ ref, index });
  }

  stop(): void {
    this.#isStopped = true;
    for (const peer of this.#waiting) this.#c.client.silent.note(peer);
  }

  result(): Reachability {
    return {
      claimed: this.#claimed,
      silent: new Set(this.#silent),
      late: new Set(this.#waiting),
      shortages: this.#refs.flatMap((ref) => shortageOf(this.#c, ref, this.#claimed)),
    };
  }

  async #ask(peer: PeerId, asked: readonly Question[], signal: AbortSignal | undefined): Promise<void> {
    const { catalog, client } = this.#c;
    try {
      for (const { incarnation, questions, shards } of parts(catalog, asked)) {
        if (this.#isStopped) return;
        this.#waiting.add(peer);
        const held = await client.have(peer, catalog.owner, incarnation, shards, signal);
        this.#waiting.delete(peer);
        held.forEach((has, i) => {
          if (has) this.#claim(must(questions[i], "question"));
        });
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!isFault(error)) throw error;
      this.#silent.add(peer);
    } finally {
      this.#waiting.delete(peer);
    }
  }

  #claim({ ref, index }: Question): void {
    const key = refKey(ref);
    const claimed = must(this.#claimed.get(key), "segment asked about");
    if (claimed.has(index)) return;
    claimed.add(index);
    const lacking = this.#lacking.get(key);
    if (lacking === undefined) return;
    if (lacking > 1) this.#lacking.set(key, lacking - 1);
    else this.#lacking.delete(key);
    if (this.isEnough) this.#enough.resolve();
  }
}

function questionsByPeer(
  { catalog, maps }: ReachabilityComponents,
  refs: readonly SegmentRef[],
): Map<PeerId, Question[]> {
  const questions = new Map<PeerId, Question[]>();
  for (const ref of refs) {
    const record = catalog.segments.orUnknown(ref);
    const byMap = maps.slots(ref, record.class);
    record.slots.forEach((slot, index) => {
      const peer = slot?.peer ?? byMap[index];
      if (peer === undefined) return;
      const list = questions.get(peer) ?? [];
      list.push({ ref, index });
      questions.set(peer, list);
    });
  }
  return questions;
}

interface Part {
  readonly incarnation: Incarnation;
  readonly questions: readonly Question[];
  readonly shards: readonly (readonly [number, number])[];
}

/** Questions of one incarnation, as many as one message takes. */
function* parts(catalog: Catalog, asked: readonly Question[]): Generator<Part> {
  const byIncarnation = Map.groupBy(asked, (question) => question.ref.incarnation);
  for (const questions of byIncarnation.values()) {
    for (let at = 0; at < questions.length; at += HAVE_SHARDS_MAX) {
      const part = questions.slice(at, at + HAVE_SHARDS_MAX);
      const { incarnation } = catalog.segmentId(must(part[0], "question").ref);
      yield {
        incarnation,
        questions: part,
        shards: part.map(({ ref, index }) => [ref.number, index] as const),
      };
    }
  }
}

function shortageOf(
  { catalog, maps }: ReachabilityComponents,
  ref: SegmentRef,
  claimed: ReadonlyMap<string, ReadonlySet<number>>,
): SegmentShortage[] {
  const record = catalog.segments.orUnknown(ref);
  const have = claimed.get(refKey(ref)) ?? new Set();
  if (record.spooled || have.size >= record.k) return [];
  const byMap = maps.slots(ref, record.class);
  const holders = record.slots.flatMap((slot, index) => {
    const peer = slot?.peer ?? byMap[index];
    return peer === undefined || have.has(index) ? [] : [peer];
  });
  return [{ segment: catalog.segmentId(ref), have: have.size, need: record.k, holders }];
}
