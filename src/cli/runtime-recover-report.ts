import { toHex } from "../base/bytes.ts";
import { displayPath } from "../base/paths.ts";
import {
  type FoundHead,
  type FoundSnapshot,
  forksOf,
  type Imported,
  type PoolFindings,
  pathsOf,
} from "../node/index.ts";
import type { RecoverHead, RecoverReport, RecoverSnapshot } from "./local-operations.ts";
import { isoOf } from "./text.ts";

type Findings = Pick<
  RecoverReport,
  "members" | "pool" | "silent" | "head" | "heads" | "snapshots" | "snapshotList" | "missing" | "warnings"
>;

/** What was asked and found where nobody keeps anything of this owner. */
export function nothingFound(pool: PoolFindings): Findings {
  return {
    ...answersOf(pool),
    heads: [],
    snapshots: 0,
    snapshotList: [],
    missing: { indexRuns: 0, indexPages: 0, snapshotPages: 0, olderHeads: 0, segments: 0 },
    warnings: [
      ...pool.lies,
      ...silenceOf(pool),
      "No member that answered keeps anything that was saved with this key: the repository begins empty.",
    ],
  };
}

function answersOf(pool: PoolFindings): Pick<Findings, "members" | "pool" | "silent"> {
  return {
    members: { asked: pool.asked, answered: pool.answered },
    pool: pool.pool,
    silent: pool.silent.map(({ peer, name, site, why }) => ({ peerId: peer, name, site, reason: why })),
  };
}

function silenceOf({ answered, asked }: PoolFindings): string[] {
  return answered < asked ? [`${asked - answered} of ${asked} members did not answer.`] : [];
}

/** What a recovery has found, as everybody is told it. */
export function findingsOf(
  pool: PoolFindings,
  chosen: FoundHead,
  imported: Imported,
  snapshots: readonly FoundSnapshot[],
  nowMs: number,
): Findings {
  const describe = (head: FoundHead): RecoverHead => describeHead(head, pool, chosen, nowMs);
  const { unread, short } = imported;
  return {
    ...answersOf(pool),
    head: describe(chosen),
    heads: [...pool.heads, ...pool.leaps].map(describe),
    snapshots: snapshots.length,
    snapshotList: snapshots.map(describeSnapshot),
    missing: {
      indexRuns: unread.runs.length,
      indexPages: unread.pages.length,
      snapshotPages: unread.lists.length,
      olderHeads: unread.heads.length,
      segments: short.length,
    },
    warnings: warningsOf(pool, chosen, imported, snapshots),
  };
}

function describeHead(head: FoundHead, pool: PoolFindings, chosen: FoundHead, nowMs: number): RecoverHead {
  const { incarnation, epoch } = head.signed;
  return {
    id: head.id,
    time: isoOf(head.body.timeMs),
    ageMs: Math.max(0, nowMs - head.body.timeMs),
    incarnation,
    certified: head.isCertified,
    epoch,
    shownBy: head.keepers.length,
    chosen: head.id === chosen.id,
    fork: forksOf(pool.heads, head).length > 0,
    tooFarAhead: pool.leaps.includes(head),
  };
}

function describeSnapshot(found: FoundSnapshot): RecoverSnapshot {
  const { entry, state, segmentsMissing, segmentsAtRemoved = 0, fromHead } = found;
  return {
    snapshotId: toHex(entry.id),
    time: isoOf(entry.timeMs),
    host: entry.host,
    paths: pathsOf(entry).map(displayPath),
    tags: entry.tags,
    files: entry.files,
    bytes: entry.bytes,
    ...(state === undefined ? {} : { state }),
    ...(segmentsMissing === undefined ? {} : { segmentsMissing }),
    ...(segmentsAtRemoved === 0 ? {} : { segmentsAtRemoved }),
    ...(fromHead === undefined ? {} : { fromHead }),
  };
}

function warningsOf(
  pool: PoolFindings,
  chosen: FoundHead,
  imported: Imported,
  snapshots: readonly FoundSnapshot[],
): string[] {
  const warnings = [...pool.lies, ...silenceOf(pool)];
  const above = pool.heads.slice(
    0,
    Math.max(
      0,
      pool.heads.findIndex(({ id }) => id === chosen.id),
    ),
  );
  if (above.length > 0) {
    warnings.push(
      `${above.length} head(s) found are newer than the one chosen: snapshots that only they list are left out.`,
    );
  }
  const rescued = snapshots.filter(({ fromHead }) => fromHead !== undefined);
  if (rescued.length > 0) {
    warnings.push(
      `The head chosen leaves out ${rescued.length} snapshot(s) that older heads list. They stay listed and can be restored. ` +
        '"cairn forget" does that. If nobody of yours did, somebody has the key of this repository: ' +
        `"--head ${shortHead(rescued[0]?.fromHead)}" goes back to before it.`,
    );
  }
  for (const head of pool.leaps) {
    warnings.push(
      `Head ${shortHead(head.id)} was left out: its epoch ${head.signed.epoch} is further ahead of all others than it can be.`,
    );
  }
  if (forksOf(pool.heads, chosen).length > 0) {
    warnings.push(
      "There are two different states of the same moment: the repository was forked. Both are in the list of heads.",
    );
  }
  if (imported.apart.length > 0) {
    const [first] = imported.apart;
    warnings.push(
      `${imported.apart.length} head(s) of another line of this repository's lives were not looked at; ` +
        `"--read-only --head ${shortHead(first?.id)}" shows and restores what they list.`,
    );
  }
  const { runs, pages, lists, heads } = imported.unread;
  if (runs.length + pages.length + lists.length + heads.length > 0) {
    warnings.push(
      `Not all of the repository could be read: ${runs.length + pages.length} part(s) of the index, ${lists.length} of the ` +
        `list of snapshots, ${heads.length} older head(s). The daemon goes on asking as members come back.`,
    );
  }
  const cannot = snapshots.filter(({ segmentsMissing }) => (segmentsMissing ?? 0) > 0);
  if (cannot.length > 0) {
    warnings.push(
      `${cannot.length} snapshot(s) cannot be restored whole right now: segments of them have too few shards at the ` +
        'members that answered. "cairn restore --partial" restores what can be had.',
    );
  }
  const atRemoved = snapshots.filter(({ segmentsAtRemoved }) => (segmentsAtRemoved ?? 0) > 0);
  if (atRemoved.length > 0) {
    warnings.push(
      `${atRemoved.length} snapshot(s) need shards of nodes that were removed from the swarm. A member's node cannot fetch ` +
        "those; a home made with --read-only can, while the removed nodes run: restore from one before they are switched off.",
    );
  }
  return warnings;
}

const shortHead = (id: string | undefined): string => (id ?? "").slice(0, 12);
