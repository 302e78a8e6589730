import { formatBytes, formatDuration } from "../base/units.ts";
import { findMember, type Node } from "../node/index.ts";
import type { CommandContext } from "./api.ts";
import { iso } from "./node-json.ts";
import type * as api from "./prune-api.ts";
import type { Alert } from "./results.ts";

const FORKS_MAX = 20;

export async function pruneHandler(
  node: Node,
  { dryRun }: api.PruneRequest,
  { signal }: CommandContext,
): Promise<api.PruneResult> {
  const outcome = await node.repository.prune({ dryRun, signal });
  const standing = node.repository.live.standing();
  return {
    dryRun,
    segments: outcome.segments,
    freedBytes: outcome.freedBytes,
    copied: { segments: outcome.copied.segments, aliveBytes: outcome.copied.aliveBytes },
    kept: { segments: outcome.keptSegments, storedBytes: outcome.keptBytes },
    ...(standing === undefined
      ? {}
      : {
          liveSet: {
            epoch: standing.epoch,
            time: iso(standing.timeMs),
            holders: standing.kept,
            missing: standing.missing,
          },
        }),
  };
}

/** This node's administrator lets what live sets of an owner remove go beyond the brake for a while. */
export async function releaseHandler(node: Node, { peer }: api.ReleaseRequest): Promise<api.ReleaseResult> {
  const member = findMember(node.roster, peer);
  const untilMs = await node.collection.release(member.owner, node.administrators.key());
  const inForce = node.collection.isReleased(member.owner);
  const { name, owner } = member;
  return { peerId: member.peer, name, owner, until: iso(untilMs), inForce };
}

/** What keeps holders from deleting, and somebody should look at. */
export async function collectionAlerts(node: Node): Promise<Alert[]> {
  if (node.isGuest) return [];
  const nameOf = (owner: string): string =>
    node.roster.members().find((member) => member.owner === owner)?.name ?? owner;
  const braked = node.collection.collector.status().braked.map(
    ({ owner, waitingBytes, roomInMs }): Alert => ({
      code: "deletion-braked",
      text: `${nameOf(owner)} wants to delete more than a fifth of what it stored 30 days ago: this node keeps ${formatBytes(waitingBytes)} of it ${roomInMs === undefined ? "until somebody says that it is meant" : `for about ${formatDuration(roomInMs)} more, and lets it go then by itself`}. If it is meant, and sooner, an administrator says so with "cairn admin release ${nameOf(owner)}"; if it is not, its key may be stolen: recover its machine.`,
    }),
  );
  const forks = (await node.collection.liveSets.forks(FORKS_MAX)).map(
    ({ owner }): Alert => ({
      code: "live-set-fork",
      text: `The key of ${nameOf(owner)} said two different things about what it still wants: its home runs twice, or the key was stolen. Nothing of it is deleted any more until its machine is recovered.`,
    }),
  );
  return [...braked, ...forks];
}
