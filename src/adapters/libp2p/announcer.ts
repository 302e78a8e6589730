import type { KadDHT } from "@libp2p/kad-dht";
import type { CID } from "multiformats/cid";
import { assert } from "../../base/assert.ts";
import { mapLimit } from "../../base/concurrency.ts";
import { messageOf } from "../../base/fault.ts";
import type { OwnerId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import { ANNOUNCE_EVERY_MS, ANNOUNCE_RETRY_MS, ANNOUNCE_TIMEOUT_MS, ANNOUNCED_OWNERS_MAX } from "./limits.ts";

interface Announcement {
  readonly key: CID;
  dueMs: number;
}

const PARALLEL_MAX = 2;
const SOON_MS = 500;

/**
 * Keeps provider records alive: sent at once, again soon while nobody took one, and every twelve hours after
 * that, a quarter of their life. kad-dht renews its own once a day, but does not repeat one that failed.
 */
export class Announcer {
  readonly #dht: KadDHT;
  readonly #log: Log;
  readonly #announced = new Map<OwnerId, Announcement>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped: AbortController | undefined;

  constructor(dht: KadDHT, log: Log) {
    this.#dht = dht;
    this.#log = log;
  }

  start(): void {
    this.#stopped = new AbortController();
    this.#wake(0);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#stopped?.abort();
    this.#stopped = undefined;
    await this.#running;
  }

  announce(owner: OwnerId, key: CID): void {
    if (this.#announced.has(owner)) return;
    assert(this.#announced.size < ANNOUNCED_OWNERS_MAX, "more owners than a swarm has members");
    this.#announced.set(owner, { key, dueMs: 0 });
    this.#wake(0);
  }

  async withdraw(owner: OwnerId, key: CID): Promise<void> {
    this.#announced.delete(owner);
    await this.#dht.cancelReprovide(key);
  }

  /** Those that nobody took yet are tried now rather than at their time. */
  retrySoon(): void {
    const soonMs = performance.now() + SOON_MS;
    for (const item of this.#announced.values()) {
      if (item.dueMs > soonMs && item.dueMs < performance.now() + 2 * ANNOUNCE_RETRY_MS) item.dueMs = soonMs;
    }
    this.#wake(SOON_MS);
  }

  #wake(afterMs: number): void {
    if (this.#stopped === undefined || this.#running !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#round().finally(() => {
        this.#running = undefined;
        this.#wakeForNext();
      });
    }, afterMs);
    this.#timer.unref();
  }

  #wakeForNext(): void {
    const next = Math.min(...[...this.#announced.values()].map((item) => item.dueMs));
    if (Number.isFinite(next)) this.#wake(Math.max(0, next - performance.now()));
  }

  async #round(): Promise<void> {
    const signal = this.#stopped?.signal;
    const due = [...this.#announced].filter(([, item]) => item.dueMs <= performance.now());
    await mapLimit(due, PARALLEL_MAX, async ([owner, item]) => {
      if (signal === undefined || signal.aborted || this.#announced.get(owner) !== item) return;
      const taken = await this.#provide(owner, item.key, signal);
      const waitMs = taken > 0 ? ANNOUNCE_EVERY_MS : ANNOUNCE_RETRY_MS;
      item.dueMs = performance.now() + waitMs * (0.8 + 0.4 * Math.random());
    });
  }

  /** How many nodes took the record: a refusal is an event, not an error. */
  async #provide(owner: OwnerId, key: CID, stopped: AbortSignal): Promise<number> {
    let taken = 0;
    const signal = AbortSignal.any([stopped, AbortSignal.timeout(ANNOUNCE_TIMEOUT_MS)]);
    try {
      for await (const event of this.#dht.provide(key, { signal })) {
        if (event.name === "PEER_RESPONSE" && event.messageName === "ADD_PROVIDER") taken++;
      }
    } catch (error) {
      this.#log.debug("announce-ended", { owner, taken, reason: messageOf(error) });
    }
    return taken;
  }
}
