import { isFault } from "../base/fault.ts";
import type { SnapshotEntry } from "../catalog/index.ts";
import { setTag } from "../policy/index.ts";
import { type HookRunner, type PolicyFile, prefixed, type TreeWatcher } from "../ports/index.ts";
import { RunRecords, Scheduler } from "../schedule/index.ts";
import { leavesOut, type SnapshotProgress } from "../snapshot/index.ts";
import { SetWatches } from "../watch/index.ts";
import type { Node } from "./node.ts";
import { NAMESPACE } from "./ports.ts";
import type { Repository, SnapshotResult } from "./repository.ts";

export type NodeScheduler = Scheduler<SnapshotProgress, SnapshotResult>;

/** The scheduler of a node's policy; to be started after the node, and stopped before it. */
export async function schedulerOf(
  node: Node,
  ports: { readonly file: PolicyFile; readonly hooks: HookRunner; readonly watcher: TreeWatcher },
): Promise<NodeScheduler> {
  const { repository, roster } = node;
  const { clock, log, meta, network, tree } = node.ports;
  const { watcher, ...rest } = ports;
  const scheduler: NodeScheduler = new Scheduler<SnapshotProgress, SnapshotResult>({
    ...{ clock, log, ...rest },
    watches: new SetWatches({ clock, log, tree, watcher, leavesOut }),
    records: await RunRecords.open(prefixed(meta, NAMESPACE.schedule)),
    here() {
      const self = roster.member(network.self);
      return { site: self?.site ?? "-", node: self?.name ?? "-" };
    },
    seed: network.self,
    snapshot({ paths, excludes, oneFileSystem, profile, ...rest }) {
      const source = { kind: "paths", paths, excludes, oneFileSystem } as const;
      return repository.snapshot({
        source,
        wait: "safe",
        ...rest,
        ...(profile === undefined ? {} : { profile }),
      });
    },
    taken: ({ entry, protection, report }) => ({
      id: entry.id,
      state: protection.state,
      unreadable: report.unreadable.count,
    }),
    mayRun: () => !node.isGuest && !node.isFenced && !repository.catalog.state.readOnly,
  });
  repository.uplink.follow(() => {
    const bits = scheduler.uplink?.value.bitsPerSecond;
    return bits === undefined ? undefined : bits / 8;
  });
  return scheduler;
}

export interface RecoveryPoint {
  /** The newest whole snapshot of the set. */
  readonly newest: SnapshotEntry;
  /** The newest of them that is as safe as this swarm can make it; looked for among the newest few. */
  readonly safe: SnapshotEntry | undefined;
}

/** So far back a safe one is looked for: with more that are not, the alert is what counts. */
const LOOKED_AT_MAX = 4;

/** What each set could be brought back to now; one pass over the list of snapshots, however many sets there are. */
export async function recoveryPointsOf(
  repository: Repository,
  sets: readonly string[],
): Promise<ReadonlyMap<string, RecoveryPoint>> {
  const newest = new Map<string, SnapshotEntry[]>(sets.map((set) => [setTag(set), []]));
  for (const entry of (await repository.snapshots()).reverse()) {
    if (entry.partial) continue;
    for (const tag of entry.tags) {
      const known = newest.get(tag);
      if (known !== undefined && known.length < LOOKED_AT_MAX) known.push(entry);
    }
  }
  const census = repository.census();
  const points = new Map<string, RecoveryPoint>();
  for (const set of sets) {
    const entries = newest.get(setTag(set)) ?? [];
    const [first] = entries;
    if (first === undefined) continue;
    points.set(set, { newest: first, safe: await firstSafe(repository, entries, census) });
  }
  return points;
}

async function firstSafe(
  repository: Repository,
  entries: readonly SnapshotEntry[],
  census: ReturnType<Repository["census"]>,
): Promise<SnapshotEntry | undefined> {
  for (const entry of entries) {
    try {
      if ((await repository.protectionOf(entry, census)).state !== "pending") return entry;
    } catch (error) {
      // A recovered one whose manifest is out of reach is none that could be brought back now.
      if (!isFault(error)) throw error;
    }
  }
  return undefined;
}
