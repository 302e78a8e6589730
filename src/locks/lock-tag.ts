/**
 * What a set's `lock` was when a snapshot was made goes with it in the list of snapshots, beside the tags that people gave: so
 * it comes back with a recovery, and a policy that says less later takes nothing back.
 */
const LOCK_TAG_PREFIX = "cairn:lock=";

export const lockTag = (forMs: number): string => `${LOCK_TAG_PREFIX}${forMs}`;

/** How long its holders are to keep what the snapshot needs; 0 where nothing is to be locked. */
export function lockMsOf({ tags }: { readonly tags: readonly string[] }): number {
  const text = tags.find((tag) => tag.startsWith(LOCK_TAG_PREFIX))?.slice(LOCK_TAG_PREFIX.length) ?? "";
  const forMs = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  return Number.isSafeInteger(forMs) ? forMs : 0;
}
