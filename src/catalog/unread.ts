import { z } from "zod";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { bytesUpTo, codec } from "../wire/codec.ts";
import { type Locator, locator } from "../wire/head.ts";
import { stateKey } from "./keys.ts";

const parts = z.object({
  v: z.literal(1),
  /** Index runs of which not even the list of pages could be read. */
  runs: z.array(locator).max(4096),
  /** Index pages. `run`: id of the run that lists it. */
  pages: z.array(z.object({ run: bytesUpTo(32), page: locator }).strict()).max(100_000),
  /** Pages of the list of snapshots. */
  lists: z.array(locator).max(100_000),
  /** Older heads, in their envelopes, whose lists of snapshots could not be looked at. */
  heads: z.array(bytesUpTo(128 * 1024)).max(256),
  /** What has become of segments that manifests name. */
  moves: locator.exactOptional(),
});
/**
 * What a recovery could not read because too few shards were in reach, and the daemon goes on asking for. While there is
 * any of it, the catalog is not all there is: nothing that replaces the whole index or list may leave it out.
 */
export type UnreadParts = Omit<z.output<typeof parts>, "v">;

const partsCodec = codec("unread parts", parts.strict());
const KEY = stateKey("unread");

export const NOTHING_UNREAD: UnreadParts = { runs: [], pages: [], lists: [], heads: [] };

export function unreadParts(store: Pick<MetaStore, "get">): UnreadParts {
  const bytes = store.get(KEY);
  if (bytes === undefined) return NOTHING_UNREAD;
  const { v: _, ...value } = partsCodec.decode(bytes);
  return value;
}

export function unreadOp(value: UnreadParts): MetaOp {
  if (countUnread(value) === 0) return { type: "delete", key: KEY };
  return { type: "put", key: KEY, value: partsCodec.encode({ v: 1, ...value }) };
}

export function countUnread({ runs, pages, lists, heads, moves }: UnreadParts): number {
  return runs.length + pages.length + lists.length + heads.length + (moves === undefined ? 0 : 1);
}

/** Ids of the runs that cannot be left out of a head yet: the local index lacks some of what they say. */
export function runsNotWhole({ runs, pages }: UnreadParts): Uint8Array[] {
  return [...runs.map((run: Locator) => run.id), ...pages.map(({ run }) => run)];
}
