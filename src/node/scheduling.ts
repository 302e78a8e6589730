import type { SnapshotEntry } from "../catalog/index.ts";
import { setTag } from "../policy/index.ts";
import { type HookRunner, type PolicyFile, prefixed } from "../ports/index.ts";
import { RunRecords, Scheduler } from "../schedule/index.ts";
import type { SnapshotProgress } from "../snapshot/index.ts";
import type { Node } from "./node.ts";
import { NAMESPACE } from "./ports.ts";
import type { Repository, SnapshotResult } from "./repository.ts";

export type NodeScheduler = Scheduler<SnapshotProgress, SnapshotResult>;

/** The scheduler of a node's policy; to be started after the node, and stopped before it. */
export async function schedulerOf(
  node: Node,
  ports: { readonly file: PolicyFile; readonly hooks: HookRunner },
): Promise<NodeScheduler> {
  const { repository, roster } = node;
  const { clock, log, meta, network } = node.ports;
  return new Scheduler<SnapshotProgress, SnapshotResult>({
    ...{ clock, log, ...ports },
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
}

export interface RecoveryPoint {
  /** The newest whole snapshot of the set. */
  readonly newest: SnapshotEntry;
  /** The newest of them that is as safe as this swarm can make it; looked for among the newest few. */
  readonly safe: SnapshotEntry | undefined;
}

/** So far back a safe one is looked for: with more that are not, the alert is what counts. */
const LOOKED_AT_MAX = 4;

/** What a set could be brought back to now. */
export async function recoveryPointOf(
  repository: Repository,
  set: string,
  census = repository.census(),
): Promise<RecoveryPoint | undefined> {
  const tag = setTag(set);
  const whole = (await repository.snapshots()).filter(({ tags, partial }) => !partial && tags.includes(tag));
  const newest = whole.at(-1);
  if (newest === undefined) return undefined;
  for (const entry of whole.slice(-LOOKED_AT_MAX).reverse()) {
    const { state } = await repository.protectionOf(entry, census);
    if (state !== "pending") return { newest, safe: entry };
  }
  return { newest, safe: undefined };
}
