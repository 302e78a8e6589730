import { equalBytes, toHex } from "../base/bytes.ts";
import { mapLimit } from "../base/concurrency.ts";
import { isFault, messageOf } from "../base/fault.ts";
import type { Incarnation } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { MINUTE_MS } from "../base/units.ts";
import {
  type Catalog,
  catalogRootCodec,
  Moves,
  manifestCodec,
  type RepositoryState,
  type SegmentRef,
  SegmentSet,
  type SnapshotEntry,
} from "../catalog/index.ts";
import type { Signed } from "../crypto/signed.ts";
import type { Clock } from "../ports/index.ts";
import type { HeadPayload, Locator } from "../wire/head.ts";
import { type Importer, isForNow } from "./index-import.ts";
import type { PastLive } from "./past-live.ts";

export interface OlderHead {
  readonly id: string;
  readonly signed: Signed;
  readonly payload: HeadPayload;
}

/** A snapshot that the chosen head does not list and an older one does. */
export interface RescuedSnapshot {
  readonly entry: SnapshotEntry;
  readonly headId: string;
}

export interface OlderOutcome {
  readonly rescued: readonly RescuedSnapshot[];
  /** Heads whose lists could not be had for now, or were not looked at in time. */
  readonly unread: readonly OlderHead[];
  readonly pages: readonly { readonly run: Uint8Array; readonly page: Locator }[];
}

const READ_LIMIT = 4;
/** Looking through older heads: what is left by then is looked at by the daemon. */
const LOOK_MS = 3 * MINUTE_MS;
/** 32 newest and the first and last of 90 days of a life, of a few lives. */
export const OLDER_HEADS_MAX = 256;

/** Whether positions mean the same lives in both: one list goes on from the other. */
export function isSameLine(a: readonly Incarnation[], b: readonly Incarnation[]): boolean {
  const [short, long] = a.length <= b.length ? [a, b] : [b, a];
  return short.every((life, position) => long[position] === life);
}

/**
 * Puts back on the list what older heads list and the chosen one does not: nothing is ever taken off a list but a
 * checkpoint that a later snapshot of the same paths replaced, so a head that lists less is a mistake or a theft.
 */
export async function rescueSnapshots(
  components: RescueComponents,
  chosen: { readonly root: Locator; readonly lists: readonly Locator[] },
  older: readonly OlderHead[],
): Promise<OlderOutcome> {
  const run = new OlderLists(components);
  return run.rescue(chosen, older);
}

export interface RescueComponents {
  readonly catalog: Catalog;
  readonly importer: Importer;
  readonly clock: Clock;
  readonly log: Log;
  /** What the owner itself had given up is no loss, and mostly gone by now. */
  readonly past: Pick<PastLive, "omits">;
  /** Whether all of these can be read now. */
  readonly canBeHad: (refs: readonly SegmentRef[]) => Promise<boolean>;
}

interface ImportedRuns {
  readonly added: RepositoryState["runs"];
  readonly pages: { run: Uint8Array; page: Locator }[];
}

interface Looked {
  readonly head: OlderHead;
  readonly runs: readonly Locator[];
  readonly entries: readonly SnapshotEntry[];
  /** What had become by then of segments that these snapshots name. */
  readonly moves: Moves | undefined;
}

class OlderLists {
  readonly #c: RescueComponents;
  readonly #unread: OlderHead[] = [];
  readonly #pages: { run: Uint8Array; page: Locator }[] = [];
  readonly #rescued: RescuedSnapshot[] = [];

  constructor(components: RescueComponents) {
    this.#c = components;
  }

  async rescue(
    chosen: { readonly root: Locator; readonly lists: readonly Locator[] },
    older: readonly OlderHead[],
  ): Promise<OlderOutcome> {
    const looked = await this.#look(chosen, older);
    const known = await this.#c.catalog.snapshots();
    const ids = new Set(known.map((entry) => toHex(entry.id)));
    const all = [...known, ...looked.flatMap(({ entries }) => entries)];
    for (const { head, runs, entries, moves } of looked) {
      const missing = entries.filter((entry) => !ids.has(toHex(entry.id)) && !isReplaced(entry, all));
      if (missing.length === 0) continue;
      const imported = await this.#importRuns(head, runs);
      if (imported === undefined) continue;
      const dropped: SnapshotEntry[] = [];
      for (const entry of missing) if (!(await this.#isPruned(entry, moves))) dropped.push(entry);
      if (dropped.length === 0) continue;
      const { catalog } = this.#c;
      await catalog.update({ runs: [...imported.added, ...catalog.state.runs] });
      if (moves !== undefined)
        await catalog.store.write([Moves.load(catalog.store).withOp(moves)], { sync: false });
      this.#pages.push(...imported.pages);
      for (const entry of dropped) {
        ids.add(toHex(entry.id));
        await this.#list(entry, head);
      }
    }
    return { rescued: this.#rescued, unread: this.#unread, pages: this.#pages };
  }

  /** Lists are shared by most heads: each is read once. */
  async #look(
    chosen: { readonly root: Locator; readonly lists: readonly Locator[] },
    older: readonly OlderHead[],
  ): Promise<Looked[]> {
    const { importer, clock, log } = this.#c;
    const untilMs = clock.monotonicMs() + LOOK_MS;
    const roots = new Set([toHex(chosen.root.id)]);
    const lists = new Set(chosen.lists.map((locator) => toHex(locator.id)));
    const distinct = older.filter(({ payload }) => {
      const id = toHex(payload.root.id);
      return !roots.has(id) && roots.add(id);
    });
    const looked = new Map<OlderHead, Looked>();
    await mapLimit(distinct, READ_LIMIT, async (head) => {
      if (clock.monotonicMs() > untilMs) return void this.#unread.push(head);
      try {
        const root = catalogRootCodec.decode(await importer.read(head.payload.root));
        const entries: SnapshotEntry[] = [];
        for (const locator of root.snapshots) {
          const id = toHex(locator.id);
          if (lists.has(id)) continue;
          entries.push(...(await importer.readSnapshots(locator)));
          lists.add(id);
        }
        const moves = root.v === 2 ? Moves.open(await importer.read(root.moves)) : undefined;
        looked.set(head, { head, runs: root.runs, entries, moves });
      } catch (error) {
        if (!isFault(error)) throw error;
        const level = this.#wasGivenUp(head, error) ? "info" : "warn";
        log[level]("older-head-unread", { head: head.id, why: messageOf(error) });
        if (isForNow(error) && !this.#wasGivenUp(head, error)) this.#unread.push(head);
      }
    });
    return distinct.flatMap((head) => looked.get(head) ?? []);
  }

  /** The owner had forgotten it, and what it alone needed is gone, in part at least. While all of it is there it comes back. */
  async #isPruned(entry: SnapshotEntry, moves: Moves | undefined): Promise<boolean> {
    const { importer, past, log, canBeHad } = this.#c;
    const { incarnation, segment: number } = entry.manifest;
    try {
      const manifest = manifestCodec.decode(await importer.read(entry.manifest));
      const needed = moves?.needsOf(entry, manifest) ?? SegmentSet.fromRanges(manifest.needs);
      const omitted = [...needed].filter((ref) => past.omits(ref));
      if (omitted.length === 0 || (await canBeHad(omitted))) return false;
    } catch (error) {
      if (!isFault(error)) throw error;
      if (!past.omits({ incarnation, number })) return false;
    }
    log.info("snapshot-pruned", { snapshot: toHex(entry.id), timeMs: entry.timeMs });
    return true;
  }

  /** Its root, or its list, is what the owner gave up with what it listed. */
  #wasGivenUp({ payload: { root } }: OlderHead, error: unknown): boolean {
    const { past, catalog } = this.#c;
    if (past.omits({ incarnation: root.incarnation, number: root.segment })) return true;
    if (!isFault(error, "TOO_FEW_SHARDS")) return false;
    return error.detail.shortages.every(({ segment }) => {
      const incarnation = catalog.state.incarnations.indexOf(segment.incarnation);
      return incarnation >= 0 && past.omits({ incarnation, number: segment.number });
    });
  }

  /** What they describe becomes known; the repository's state is as it was. */
  async #importRuns(head: OlderHead, runs: readonly Locator[]): Promise<ImportedRuns | undefined> {
    const { catalog, importer } = this.#c;
    const have = new Set(catalog.state.runs.map(({ locator }) => toHex(locator.id)));
    const imported: ImportedRuns = { added: [], pages: [] };
    // The newest first: where several have an id the last one counts, and none of these replaces another.
    for (const locator of runs.toReversed()) {
      if (have.has(toHex(locator.id))) continue;
      const isRead = await importer.orUnread(async () => {
        const { state, unread } = await importer.importRun(locator, false);
        imported.added.unshift(state);
        imported.pages.push(...unread.map((page) => ({ run: locator.id, page })));
      });
      if (isRead) continue;
      const isGivenUp = this.#c.past.omits({ incarnation: locator.incarnation, number: locator.segment });
      if (!isGivenUp) this.#unread.push(head);
      return undefined;
    }
    return imported;
  }

  async #list(entry: SnapshotEntry, head: OlderHead): Promise<void> {
    const { catalog } = this.#c;
    const taken = (await catalog.snapshots()).find(({ sequence }) => sequence === entry.sequence);
    const last = Math.max(catalog.state.snapshotSequence, (await catalog.snapshots()).at(-1)?.sequence ?? 0);
    const sequence = taken === undefined ? entry.sequence : last + 1;
    const listed = { ...entry, sequence };
    const snapshotSequence = Math.max(catalog.state.snapshotSequence, sequence);
    await catalog.update({ snapshotSequence }, [catalog.snapshotOp(listed)]);
    this.#rescued.push({ entry: listed, headId: head.id });
  }
}

/** A checkpoint gives way to what the same run, or a later one of the same paths, made of it. */
function isReplaced(entry: SnapshotEntry, all: readonly SnapshotEntry[]): boolean {
  if (!entry.partial) return false;
  return all.some(
    (other) =>
      other.sequence > entry.sequence &&
      other.paths.length === entry.paths.length &&
      other.paths.every((path, i) => equalBytes(path, entry.paths[i] ?? path)),
  );
}
