import { toHex } from "../base/bytes.ts";
import { mapLimit } from "../base/concurrency.ts";
import { Fault, isFault, type ReadableHead } from "../base/fault.ts";
import { MINUTE_MS } from "../base/units.ts";
import { catalogRootCodec, type SnapshotEntry } from "../catalog/index.ts";
import { type Signed, signedHash } from "../crypto/signed.ts";
import type { Clock } from "../ports/index.ts";
import { headBody, type Locator } from "../wire/head.ts";
import type { Importer } from "./index-import.ts";
import type { OlderHead } from "./older-heads.ts";

/** More to choose from helps nobody: they follow each other by a snapshot. */
const PROPOSED_MAX = 8;
const LOOKED_AT_MAX = 64;
const READ_LIMIT = 4;
/** Of each head: what follows from there on can be had or not, too. */
const MANIFESTS_TRIED = 4;
/** Somebody waits for this; what was found by then is proposed. */
const LOOK_MS = 2 * MINUTE_MS;

export interface UnreadHead {
  readonly signed: Signed;
  readonly root: Locator;
  readonly why: Fault;
}

/**
 * What to say where the root of the head to begin from cannot be read: the older heads of its line that can, down to the
 * manifest of a snapshot, newest first. Which of them to go back to is a person's decision.
 */
export async function headUnreadable(
  components: { readonly importer: Pick<Importer, "read" | "readSnapshots">; readonly clock: Clock },
  unread: UnreadHead,
  older: { readonly inLine: readonly OlderHead[]; readonly apart: readonly OlderHead[] },
): Promise<Fault> {
  const { signed, root, why } = unread;
  const readable = await readableHeads(components, root, older.inLine);
  return new Fault(
    {
      code: "HEAD_UNREADABLE",
      head: toHex(signedHash(signed)),
      timeMs: headBody.decode(signed.body).timeMs,
      reason: why.message,
      shortages: why.detail.code === "TOO_FEW_SHARDS" ? why.detail.shortages : [],
      readable,
      apart: older.apart.slice(0, PROPOSED_MAX).map(({ id }) => id),
    },
    { cause: why },
  );
}

async function readableHeads(
  { importer, clock }: { readonly importer: Pick<Importer, "read" | "readSnapshots">; readonly clock: Clock },
  unreadRoot: Locator,
  older: readonly OlderHead[],
): Promise<ReadableHead[]> {
  const roots = new Set([toHex(unreadRoot.id)]);
  const distinct = older.filter(({ payload }) => {
    const id = toHex(payload.root.id);
    return !roots.has(id) && roots.add(id);
  });
  const untilMs = clock.monotonicMs() + LOOK_MS;
  const found: ReadableHead[] = [];
  for (let at = 0; at < Math.min(distinct.length, LOOKED_AT_MAX); at += READ_LIMIT) {
    if (found.length >= PROPOSED_MAX || clock.monotonicMs() > untilMs) break;
    const outcomes = new Map<OlderHead, ReadableHead>();
    const group = distinct.slice(at, at + READ_LIMIT);
    await mapLimit(group, READ_LIMIT, async (head) => {
      const readable = await orUndefined(() => look(importer, head));
      if (readable !== undefined) outcomes.set(head, readable);
    });
    found.push(...group.flatMap((head) => outcomes.get(head) ?? []));
  }
  return found.slice(0, PROPOSED_MAX);
}

async function look(
  importer: Pick<Importer, "read" | "readSnapshots">,
  { id, signed, payload }: OlderHead,
): Promise<ReadableHead | undefined> {
  const root = catalogRootCodec.decode(await importer.read(payload.root));
  const entries: SnapshotEntry[] = [];
  for (const locator of root.snapshots)
    entries.push(...((await orUndefined(() => importer.readSnapshots(locator))) ?? []));
  entries.sort((a, b) => b.sequence - a.sequence);
  for (const entry of entries.slice(0, MANIFESTS_TRIED)) {
    if ((await orUndefined(() => importer.read(entry.manifest))) === undefined) continue;
    const newest = { snapshot: toHex(entry.id), timeMs: entry.timeMs };
    const { timeMs } = headBody.decode(signed.body);
    return { head: id, timeMs, snapshots: entries.length, newest };
  }
  return undefined;
}

/** What one head says, be it nonsense, does not keep the others from being looked at. */
async function orUndefined<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!isFault(error) || error.code === "INTERRUPTED") throw error;
    return undefined;
  }
}
