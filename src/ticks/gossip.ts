import { concatBytes } from "../base/bytes.ts";
import { calmLog } from "../base/calm-log.ts";
import { isFault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { SECOND_MS } from "../base/units.ts";
import { type Clock, type Network, type Rng, sampleOf } from "../ports/index.ts";
import { syncAnswerCodec, syncRequestCodec } from "../wire/sync.ts";
import { TICKS_SENT_MAX } from "../wire/ticks.ts";
import type { TickBook } from "./book.ts";

export interface TickGossipComponents {
  readonly network: Pick<Network, "request" | "connected" | "onConnection">;
  readonly book: TickBook;
  readonly clock: Clock;
  readonly rng: Pick<Rng, "float">;
  readonly log: Log;
}

/** Members with whom this node begins exchanges; about as many begin them with it, which makes 5 to 8 links. */
const LINKS = 3;
/** One of the links is given up for another one after so many exchanges, an hour: nobody is kept among liars for long. */
const ROTATE_EVERY = 120;
/** An exchange takes this part of the time between two beats. */
const EXCHANGES_PER_BEAT = 10;
const EXCHANGE_MAX_MS = 30 * SECOND_MS;
const IDLE_TIMEOUT_MS = 30 * SECOND_MS;
/** Members that began exchanges of whom is remembered what they have; a further one's place is the longest unused. */
const SERVED_MAX = 32;

/** What the other end of a link has for certain. */
interface Marks {
  /** Newest beat of each node. */
  readonly beats: Map<PeerId, number>;
  /** Of the book's changes: all before it were looked at. */
  seenTo: number;
}

function noMarks(): Marks {
  return { beats: new Map(), seenTo: 0 };
}

/**
 * Passes ticks on: every half minute over each link in both directions, each tick once. What was lost with an exchange
 * comes over another link, or with the next tick.
 */
export class TickGossip {
  readonly #c: TickGossipComponents;
  readonly #log: Log;
  readonly #everyMs: number;
  readonly #stopping = new AbortController();
  /** Begun here, the oldest first. */
  readonly #links = new Map<PeerId, Marks>();
  /** Begun there, the longest unused first. */
  readonly #served = new Map<PeerId, Marks>();
  readonly #exchanging = new Map<PeerId, Promise<void>>();
  #unsubscribe: (() => void) | undefined;
  #loop: Promise<void> | undefined;

  constructor(
    components: TickGossipComponents,
    init: {
      readonly beatEveryMs: number;
      /** An exchange is due after so long at the latest, however rare the beats. @default 30 s */
      readonly exchangeMaxMs?: number;
    },
  ) {
    this.#c = components;
    this.#log = calmLog(components.log, () => components.clock.monotonicMs());
    this.#everyMs = Math.min(init.exchangeMaxMs ?? EXCHANGE_MAX_MS, init.beatEveryMs / EXCHANGES_PER_BEAT);
  }

  start(): void {
    this.#unsubscribe = this.#c.network.onConnection((peer, connected) => {
      if (connected) return;
      this.#links.delete(peer);
      this.#served.delete(peer);
    });
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#unsubscribe?.();
    await this.#loop;
    await Promise.all(this.#exchanging.values());
  }

  /** What a member offers is taken, and what it has not got is given back. */
  answer(from: PeerId, fresh: boolean, packed: Uint8Array): Uint8Array {
    const known = fresh ? undefined : this.#served.get(from);
    const marks = known ?? noMarks();
    this.#served.delete(from);
    this.#served.set(from, marks);
    const [unused] = this.#served.keys();
    if (this.#served.size > SERVED_MAX && unused !== undefined) this.#served.delete(unused);
    this.#take(from, marks, packed);
    return this.#newsFor(marks);
  }

  async #run(): Promise<void> {
    const { clock, rng } = this.#c;
    const { signal } = this.#stopping;
    for (let round = 1; !signal.aborted; round++) {
      try {
        await clock.sleep(this.#everyMs * (0.75 + rng.float() / 2), signal);
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      this.#chooseLinks(round % ROTATE_EVERY === 0);
      for (const peer of this.#links.keys()) {
        if (this.#exchanging.has(peer)) continue;
        const exchange = this.#exchange(peer).finally(() => this.#exchanging.delete(peer));
        this.#exchanging.set(peer, exchange);
      }
    }
  }

  #chooseLinks(isTimeForAnother: boolean): void {
    const { network, rng } = this.#c;
    const others = network.connected().filter((peer) => !this.#links.has(peer));
    const [oldest] = this.#links.keys();
    if (isTimeForAnother && oldest !== undefined && others.length > 0) this.#links.delete(oldest);
    for (const peer of sampleOf(rng, others, LINKS - this.#links.size)) this.#links.set(peer, noMarks());
  }

  async #exchange(peer: PeerId): Promise<void> {
    const marks = this.#links.get(peer);
    if (marks === undefined) return;
    const fresh = marks.beats.size === 0;
    const request = { v: 1, kind: "ticks", fresh, ticks: this.#newsFor(marks) } as const;
    try {
      const answer = await this.#c.network.request(
        peer,
        "sync",
        { head: syncRequestCodec.encode(request), body: new Uint8Array(0) },
        { idleTimeoutMs: IDLE_TIMEOUT_MS, signal: this.#stopping.signal },
      );
      const decoded = syncAnswerCodec.decode(answer.head);
      if (decoded.kind === "ticked") this.#take(peer, marks, decoded.ticks);
      else this.#links.delete(peer);
    } catch (error) {
      // What it has is not known any more; another one, or the same anew, takes its place.
      this.#links.delete(peer);
      if (!this.#stopping.signal.aborted && !isFault(error)) throw error;
    }
  }

  #take(from: PeerId, marks: Marks, packed: Uint8Array): void {
    const { held, forged } = this.#c.book.offer(packed);
    if (forged > 0) this.#log.warn("ticks-forged", { from, count: forged });
    const { beats } = marks;
    for (const [peer, beat] of held) if ((beats.get(peer) ?? -1) < beat) beats.set(peer, beat);
  }

  /** What the other end has not got, as far as is known; it has it afterwards. */
  #newsFor(marks: Marks): Uint8Array {
    const { book } = this.#c;
    const news: Uint8Array[] = [];
    for (const [peer, beat, next] of book.changedSince(marks.seenTo)) {
      if (news.length >= TICKS_SENT_MAX) break;
      marks.seenTo = next;
      if ((marks.beats.get(peer) ?? -1) >= beat) continue;
      const packed = book.packed(peer);
      if (packed === undefined) continue;
      marks.beats.set(peer, beat);
      news.push(packed);
    }
    return concatBytes(...news);
  }
}
