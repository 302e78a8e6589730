import type { SnapshotEntry } from "../catalog/index.ts";

/** In the list of snapshots, beside the tags that people gave: what is pinned is never forgotten by a rule. */
export const PIN_TAG = "cairn:pinned";
/** What such tags say is shown in words of its own. */
export const HIDDEN_TAG_PREFIX = "cairn:";
/** Tags that begin so are cairn's own. */
export const OWN_TAG_PREFIXES: readonly string[] = [HIDDEN_TAG_PREFIX, "set:"];

export const isPinned = ({ tags }: Pick<SnapshotEntry, "tags">): boolean => tags.includes(PIN_TAG);

/** The entry as it is listed from then on; the snapshot itself stays as it was made. */
export function withPin(entry: SnapshotEntry, pinned: boolean): SnapshotEntry {
  const tags = entry.tags.filter((tag) => tag !== PIN_TAG);
  return { ...entry, tags: pinned ? [...tags, PIN_TAG] : tags };
}
