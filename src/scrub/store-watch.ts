import { Fault, isFault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { Clock, ShardStore, StoreSpace } from "../ports/index.ts";

export type WatchState =
  | { readonly state: "serving" }
  | { readonly state: "gone"; readonly reason: string; readonly sinceMs: number };

export interface WatchComponents {
  readonly shards: Pick<ShardStore, "presence" | "acceptDisk" | "space">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

/**
 * Whether the disk with the shards is there. While it is not, the node answers nothing about shards, as if it were
 * away: "not held" would make their owners forget the receipts.
 */
export class StoreWatch {
  readonly #c: WatchComponents;
  #state: WatchState = { state: "serving" };
  /** Set while the disk is there and fails: true when it reads again. */
  #readsAgain: (() => Promise<boolean>) | undefined;

  constructor(components: WatchComponents) {
    this.#c = components;
  }

  get state(): WatchState {
    return this.#state;
  }

  /** Throws `DISK_FAILED`. */
  requireServing(): void {
    if (this.#state.state === "gone")
      throw new Fault({ code: "DISK_FAILED", where: "the shards of this node", errno: "ENODEV" });
  }

  /** Looks, and throws `DISK_FAILED` where it finds the disk gone. */
  async requirePresent(): Promise<void> {
    await this.look();
    this.requireServing();
  }

  async look(): Promise<WatchState> {
    const found = await this.#presence();
    if (!found.present) this.#gone(found.reason);
    else if (this.#readsAgain === undefined || (await this.#readsAgain())) this.#back();
    return this.#state;
  }

  /** It is the right one, and hardly anything on it can be read. */
  fail(reason: string, readsAgain: () => Promise<boolean>): void {
    this.#readsAgain = readsAgain;
    this.#gone(reason);
  }

  /** An operator says that what is missing will not come back. */
  async accept(): Promise<void> {
    await this.#c.shards.acceptDisk();
    this.#readsAgain = undefined;
    this.#c.log.warn("shards-disk-accepted");
    await this.look();
  }

  /** As others are told: a disk that is gone has no room. */
  async space(): Promise<StoreSpace> {
    const space = await this.#c.shards.space();
    return this.#state.state === "serving" ? space : { ...space, freeBytes: 0 };
  }

  async #presence(): ReturnType<ShardStore["presence"]> {
    try {
      return await this.#c.shards.presence();
    } catch (error) {
      if (!isFault(error)) throw error;
      return { present: false, reason: messageOf(error) };
    }
  }

  #gone(reason: string): void {
    if (this.#state.state === "gone") return;
    this.#state = { state: "gone", reason, sinceMs: this.#c.clock.wallMs() };
    this.#c.log.error("shards-disk-gone", { reason });
  }

  #back(): void {
    this.#readsAgain = undefined;
    if (this.#state.state === "serving") return;
    this.#state = { state: "serving" };
    this.#c.log.info("shards-disk-back");
  }
}
