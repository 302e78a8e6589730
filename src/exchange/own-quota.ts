import { Fault } from "../base/fault.ts";
import type { OwnerId } from "../base/ids.ts";
import type { SegmentRecord } from "../catalog/index.ts";

/** What a segment takes of its owner's quota: all of its shards, whether they are placed yet or not. */
export function quotaBytesOf({ shardBytes, slots }: Pick<SegmentRecord, "shardBytes" | "slots">): number {
  return shardBytes * slots.length;
}

/**
 * What an owner has stored against what its certificate lets it store, counted by the owner itself: it alone knows all
 * of its segments. Of a recovered repository, a segment counts from when it was first read: its size is not known before.
 */
export class OwnQuota {
  readonly #owner: OwnerId;
  readonly #quotaBytes: number | undefined;
  #usedBytes: number;

  /** @param quotaBytes of the certificate; without one nothing is counted */
  constructor(owner: OwnerId, quotaBytes: number | undefined, usedBytes: number) {
    this.#owner = owner;
    this.#quotaBytes = quotaBytes;
    this.#usedBytes = usedBytes;
  }

  /** Throws `QUOTA_EXCEEDED`, and takes nothing then. */
  take(bytes: number): void {
    if (this.#quotaBytes === undefined) return;
    if (this.#usedBytes + bytes > this.#quotaBytes) {
      throw new Fault({
        code: "QUOTA_EXCEEDED",
        owner: this.#owner,
        quotaBytes: this.#quotaBytes,
      });
    }
    this.#usedBytes += bytes;
  }
}
