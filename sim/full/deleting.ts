import { toHex } from "../../src/base/bytes.ts";
import { forget, planAsked, planRetention, type RetentionPlan } from "../../src/node/index.ts";
import { snapshotNeeds } from "../../src/node/snapshot-needs.ts";
import { type EffectiveSet, effectiveSets, parsePolicy } from "../../src/policy/index.ts";
import type { SimMachine } from "./machine.ts";
import type { Step } from "./plan.ts";
import type { World } from "./world.ts";

export type DeletingStep = Extract<Step, { do: "forget" | "keep" | "prune" | "pin" | "release" }>;

/** The set that everything is of in plans in which something is deleted: rules are about sets. */
export const SET_TAG = "set:sim";
const NEVER = new AbortController().signal;

/** What people do who want room, at their own machine. */
export async function doDeleting(world: World, machine: SimMachine, step: DeletingStep): Promise<void> {
  const { node } = machine;
  const { repository } = node;
  switch (step.do) {
    case "forget": {
      const oldest = world.truth.kept(repository.catalog.owner).slice(0, step.count);
      const listed = new Set((await repository.snapshots()).map(({ id }) => toHex(id)));
      const names = oldest.flatMap(({ id }) => (listed.has(id) ? [id] : []));
      return forgetWith(world, machine, () => planAsked(node, setsKeeping(1), names), "name");
    }
    case "keep":
      return forgetWith(
        world,
        machine,
        () => planRetention(node, setsKeeping(step.last), undefined),
        "rules",
      );
    case "prune":
      return pruneAt(world, machine);
    case "pin": {
      const entry = (await repository.snapshots()).at(-1 - step.back);
      if (entry !== undefined) await repository.pin({ snapshot: toHex(entry.id) }, step.pinned);
      return;
    }
    case "release": {
      const administrator = world.machine(0).running;
      if (administrator === undefined) return;
      const { owner } = repository.catalog;
      world.released.add(owner);
      await administrator.collection.release(owner, administrator.administrators.key());
    }
  }
}

export async function pruneAt(world: World, { node }: SimMachine): Promise<void> {
  const { segments } = await node.repository.prune({ dryRun: false, signal: NEVER });
  world.label(segments > 0 ? "prune: gave something up" : "prune: nothing to give up");
}

/**
 * A prune has given up what manifests name and nothing is read from any more: from now on the repository's own word counts for what
 * a snapshot needs. Whether that is enough, restores after the storm tell.
 */
export async function noteNeeds(world: World, { running }: SimMachine): Promise<void> {
  if (running === undefined) return;
  const { repository } = running;
  for (const entry of await repository.snapshots()) {
    const id = toHex(entry.id);
    const snapshot = world.truth.snapshots.find((one) => one.id === id);
    if (snapshot !== undefined)
      world.truth.needs(snapshot, repository.catalog.state, await snapshotNeeds(repository, entry));
  }
}

/** From the decision on nothing that is decided to go has to be kept. */
async function forgetWith(
  world: World,
  machine: SimMachine,
  plan: () => Promise<RetentionPlan>,
  by: "name" | "rules",
): Promise<void> {
  const { truth } = world;
  const goingOf = (planned: RetentionPlan): Set<string> =>
    new Set(
      planned.sets.flatMap(({ snapshots }) =>
        snapshots.flatMap(({ entry, verdict }) => (verdict.keep ? [] : [toHex(entry.id)])),
      ),
    );
  const decided = async (): Promise<RetentionPlan> => {
    const planned = await plan();
    const going = goingOf(planned);
    for (const snapshot of truth.snapshots)
      if (going.has(snapshot.id) && snapshot.fate === "kept") {
        if ((world.lockedUntilMs.get(snapshot.id) ?? 0) > world.scheduler.nowMs)
          world.violate(
            "lock-holds",
            `${snapshot.id.slice(0, 12)} is locked, and is to be forgotten`,
            machine,
          );
        snapshot.fate = "maybe";
      }
    return planned;
  };
  const gone = goingOf(await forget(machine.node, decided, NEVER, by));
  for (const snapshot of truth.snapshots) if (gone.has(snapshot.id)) snapshot.fate = "forgotten";
  world.label(gone.size > 0 ? "forget: some" : "forget: none");
}

function setsKeeping(last: number): EffectiveSet[] {
  const text = `version: 1\nsets:\n  sim: { paths: [/data], keep: { last: ${last} } }\n`;
  const parsed = parsePolicy(text);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  return effectiveSets(parsed.policy, parsed.lineOf, { site: "s0", node: "n0" });
}
