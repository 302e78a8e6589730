import type { SnapshotEntry } from "../catalog/index.ts";

/**
 * Why somebody should look at a snapshot: in the list of snapshots, beside the tags that people gave, so that it comes back with a
 * recovery.
 *
 * - `anomaly`: it looks as if its files had been encrypted or taken away: nothing before it is forgotten.
 * - `clock`: made by a clock that was wrong.
 */
export const MARK_KINDS = ["anomaly", "clock"] as const;
export type MarkKind = (typeof MARK_KINDS)[number];

export interface Mark {
  readonly kind: MarkKind;
  readonly text: string;
}

const PREFIX = "cairn:mark=";
/** Of a tag. */
const TEXT_MAX = 200;

export function marksOf({ tags }: Pick<SnapshotEntry, "tags">): Mark[] {
  return tags.flatMap((tag): Mark[] => {
    if (!tag.startsWith(PREFIX)) return [];
    const [name = "", ...text] = tag.slice(PREFIX.length).split(":");
    const kind = MARK_KINDS.find((known) => known === name);
    return kind === undefined ? [] : [{ kind, text: text.join(":") }];
  });
}

/** The entry as it is listed from then on; the snapshot itself stays as it was made. */
export function withMarks(entry: SnapshotEntry, marks: readonly Mark[]): SnapshotEntry {
  const tags = entry.tags.filter((tag) => !tag.startsWith(PREFIX));
  return {
    ...entry,
    tags: [...tags, ...marks.map(({ kind, text }) => `${PREFIX}${kind}:${text.slice(0, TEXT_MAX)}`)],
  };
}
