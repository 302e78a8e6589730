import { messageOf } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Network } from "../ports/index.ts";
import {
  SYNC_FETCH_ITEMS_MAX,
  SYNC_MESSAGE_BYTES_MAX,
  type SyncSetName,
  syncRequestCodec,
} from "../wire/sync.ts";
import { SYNC_IDLE_TIMEOUT_MS } from "./sync-session.ts";

/** What waits for one peer; beyond it, news is left to the next comparison. */
const WAITING_BYTES_MAX = SYNC_MESSAGE_BYTES_MAX;

interface Waiting {
  readonly roster: Uint8Array[];
  readonly records: Uint8Array[];
  bytes: number;
}

/**
 * News on the way to peers: one message at a time to each, and what comes up meanwhile goes together in the next.
 * Losing news is allowed: comparing evens it out.
 */
export class Outbox {
  readonly #network: Pick<Network, "request">;
  readonly #log: Log;
  readonly #waiting = new Map<PeerId, Waiting>();
  readonly #sending = new Map<PeerId, Promise<void>>();
  readonly #signal: AbortSignal;

  constructor(components: { network: Pick<Network, "request">; log: Log }, signal: AbortSignal) {
    this.#network = components.network;
    this.#log = components.log;
    this.#signal = signal;
  }

  push(peer: PeerId, set: SyncSetName, entry: Uint8Array): void {
    const waiting = this.#waiting.get(peer) ?? { roster: [], records: [], bytes: 0 };
    if (waiting[set].length >= SYNC_FETCH_ITEMS_MAX || waiting.bytes + entry.length > WAITING_BYTES_MAX)
      return;
    waiting[set].push(entry);
    waiting.bytes += entry.length;
    this.#waiting.set(peer, waiting);
    if (!this.#sending.has(peer)) this.#sending.set(peer, this.#drain(peer));
  }

  /** Resolves once nothing is under way. */
  async idle(): Promise<void> {
    while (this.#sending.size > 0) await Promise.all(this.#sending.values());
  }

  async #drain(peer: PeerId): Promise<void> {
    // One turn later, so that an entry and those it builds on leave in one message.
    await Promise.resolve();
    try {
      for (let next = this.#take(peer); next !== undefined; next = this.#take(peer)) {
        const { roster, records } = next;
        const head = syncRequestCodec.encode({ v: 1, kind: "push", news: true, roster, records });
        await this.#network.request(
          peer,
          "sync",
          { head, body: new Uint8Array(0) },
          { idleTimeoutMs: SYNC_IDLE_TIMEOUT_MS, signal: this.#signal },
        );
      }
    } catch (error) {
      this.#waiting.delete(peer);
      if (!this.#signal.aborted) this.#log.debug("sync-push-failed", { peer, reason: messageOf(error) });
    } finally {
      this.#sending.delete(peer);
    }
  }

  #take(peer: PeerId): Waiting | undefined {
    const waiting = this.#waiting.get(peer);
    this.#waiting.delete(peer);
    return waiting;
  }
}
