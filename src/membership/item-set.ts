import { assert } from "../base/assert.ts";
import { compareBytes, concatBytes, toHex } from "../base/bytes.ts";
import { sha256 } from "../crypto/hash.ts";
import { SYNC_BUCKET_HASH_BYTES, SYNC_BUCKETS } from "../wire/sync.ts";

/** One thing of a set that two nodes compare. */
export interface SetItem {
  /** 16 bytes: the same for all versions of one thing; its first byte is the bucket. */
  readonly key: Uint8Array;
  /** Newer versions have larger ones. */
  readonly epoch: number;
  /** Items of a higher rank, and of a rank those of a larger epoch, build on the others and are applied after them. */
  readonly rank: number;
  /** 32 bytes. */
  readonly hash: Uint8Array;
}

export const ITEM_KEY_BYTES = 16;
const BUCKETS = SYNC_BUCKETS;
/** Half of a SHA-256: nobody finds two sets with the same one. */
const BUCKET_HASH_BYTES = SYNC_BUCKET_HASH_BYTES;

const EMPTY_BUCKET = new Uint8Array(BUCKET_HASH_BYTES);

/**
 * A set with a fingerprint of itself and of each of its 256 buckets: two nodes find out with 32 bytes whether they
 * hold the same, with 4 KiB where they differ, and then list only those buckets.
 */
export class ItemSet {
  readonly #buckets: Map<string, SetItem>[] = Array.from({ length: BUCKETS }, () => new Map());
  readonly #hashes: (Uint8Array | undefined)[] = new Array(BUCKETS).fill(EMPTY_BUCKET);
  #digest: Uint8Array | undefined;

  put(item: SetItem): void {
    assert(item.key.length === ITEM_KEY_BYTES, "an item's key has 16 bytes");
    this.#bucket(item).set(toHex(item.hash), item);
    this.#touch(item);
  }

  remove(item: Pick<SetItem, "key" | "hash">): void {
    if (this.#bucket(item).delete(toHex(item.hash))) this.#touch(item);
  }

  has(item: Pick<SetItem, "key" | "hash">): boolean {
    return this.#bucket(item).has(toHex(item.hash));
  }

  /** 32 bytes, equal for equal sets. */
  digest(): Uint8Array {
    return (this.#digest ??= sha256(this.bucketHashes()));
  }

  /** The hashes of all buckets, one after the other. */
  bucketHashes(): Uint8Array {
    return concatBytes(...this.#buckets.map((_, index) => this.#bucketHash(index)));
  }

  /**
   * Items of the buckets whose bit is set (bit 7 of byte 0 is bucket 0), in the order of (key, hash), behind
   * `after`, at most `limit`.
   */
  list(buckets: Uint8Array, after: Pick<SetItem, "key" | "hash"> | undefined, limit: number): SetItem[] {
    const found: SetItem[] = [];
    for (let index = after?.key[0] ?? 0; index < BUCKETS && found.length < limit; index++) {
      if (!hasBit(buckets, index)) continue;
      for (const item of this.#sorted(index)) {
        if (after !== undefined && compareItems(item, after) <= 0) continue;
        found.push(item);
        if (found.length === limit) break;
      }
    }
    return found;
  }

  #bucket(item: Pick<SetItem, "key">): Map<string, SetItem> {
    const bucket = this.#buckets[item.key[0] ?? 0];
    assert(bucket !== undefined, "every first byte has a bucket");
    return bucket;
  }

  #touch(item: Pick<SetItem, "key">): void {
    this.#hashes[item.key[0] ?? 0] = undefined;
    this.#digest = undefined;
  }

  #sorted(index: number): SetItem[] {
    return [...(this.#buckets[index]?.values() ?? [])].sort(compareItems);
  }

  #bucketHash(index: number): Uint8Array {
    const known = this.#hashes[index];
    if (known !== undefined) return known;
    const items = this.#sorted(index);
    const hash =
      items.length === 0
        ? EMPTY_BUCKET
        : sha256(...items.map((item) => item.hash)).subarray(0, BUCKET_HASH_BYTES);
    this.#hashes[index] = hash;
    return hash;
  }
}

export function compareItems(a: Pick<SetItem, "key" | "hash">, b: Pick<SetItem, "key" | "hash">): number {
  return compareBytes(a.key, b.key) || compareBytes(a.hash, b.hash);
}

function hasBit(bitmap: Uint8Array, index: number): boolean {
  return ((bitmap[index >> 3] ?? 0) & (0x80 >> (index & 7))) !== 0;
}

/** The buckets in which two lists of bucket hashes differ, as a bitmap of 32 bytes. */
export function differingBuckets(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bitmap = new Uint8Array(BUCKETS / 8);
  for (let index = 0; index < BUCKETS; index++) {
    const from = index * BUCKET_HASH_BYTES;
    const to = from + BUCKET_HASH_BYTES;
    if (compareBytes(a.subarray(from, to), b.subarray(from, to)) !== 0) {
      bitmap[index >> 3] = (bitmap[index >> 3] ?? 0) | (0x80 >> (index & 7));
    }
  }
  return bitmap;
}
