import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import {
  forget,
  HIDDEN_TAG_PREFIX,
  isPinned,
  type Keep,
  type Node,
  type NodeScheduler,
  planAsked,
  planRetention,
  type RetentionPlan,
} from "../node/index.ts";
import { iso } from "./node-json.ts";
import type * as api from "./policy-api.ts";

type Entry = RetentionPlan["others"][number];

export async function forgetHandler(
  node: Node,
  scheduler: NodeScheduler,
  { dryRun, snapshots: asked, set, keep }: api.ForgetRequest,
  signal: AbortSignal,
): Promise<api.ForgetResult> {
  await scheduler.reload();
  const { standing } = scheduler;
  // What is not in force decides nothing about what there is: the rules of a broken file may lack a line.
  if (standing.state === "invalid") throw new Fault({ code: "POLICY_INVALID", issues: standing.issues });
  const all = standing.state === "none" ? [] : standing.sets.map((one) => one.set);
  const sets = set === undefined ? all : all.filter(({ name }) => name === set);
  if (set !== undefined && sets.length === 0) throw new Fault({ code: "SET_UNKNOWN", set });
  const rules = keep === undefined ? undefined : rulesOf(keep);
  const decide = (): Promise<RetentionPlan> =>
    asked === undefined ? planRetention(node, sets, rules) : planAsked(node, all, asked);
  const plan = dryRun
    ? await decide()
    : await forget(node, decide, signal, asked === undefined ? "rules" : "name");
  const { clockAheadMs } = plan;
  const others = set === undefined ? plan.others : [];
  return {
    dryRun,
    ...(clockAheadMs === undefined ? {} : { clockAheadMs: Math.round(clockAheadMs) }),
    sets: plan.sets.flatMap((one) => {
      if (one.set === undefined || asked !== undefined) return [];
      const kept = one.snapshots.filter(({ verdict }) => verdict.keep).length;
      return [{ set: one.set, rules: one.rules, kept, forgotten: one.snapshots.length - kept }];
    }),
    snapshots: [
      ...plan.sets.flatMap((one) =>
        one.snapshots.map(({ entry, verdict: { keep: kept, reasons } }) => ({
          ...entryJson(entry),
          ...(one.set === undefined ? {} : { set: one.set }),
          ...{ keep: kept, reasons: reasons.map((reason) => ({ ...reason })) },
        })),
      ),
      ...others.map((entry) => ({
        ...entryJson(entry),
        keep: true,
        reasons: [{ rule: "no-set", text: "it is of no set of the policy: no rule is about it" }],
      })),
    ],
  };
}

export async function pinHandler(node: Node, request: api.PinRequest): Promise<api.PinResult> {
  const { pinned, ...choice } = request;
  const entry = await node.repository.pin(choice, pinned);
  node.log.info(pinned ? "snapshot-pinned" : "snapshot-unpinned", { snapshot: toHex(entry.id) });
  return { snapshotId: toHex(entry.id), time: iso(entry.timeMs), pinned: isPinned(entry) };
}

/** The same, without what is there and undefined. */
function rulesOf(keep: api.KeepRules): Keep {
  const { last, hourly, daily, weekly, monthly, yearly, tags, timeZone } = keep;
  return {
    ...(last === undefined ? {} : { last }),
    ...(hourly === undefined ? {} : { hourly }),
    ...(daily === undefined ? {} : { daily }),
    ...(weekly === undefined ? {} : { weekly }),
    ...(monthly === undefined ? {} : { monthly }),
    ...(yearly === undefined ? {} : { yearly }),
    ...(tags === undefined ? {} : { tags }),
    ...(timeZone === undefined ? {} : { "time-zone": timeZone }),
  };
}

function entryJson(entry: Entry) {
  return {
    snapshotId: toHex(entry.id),
    time: iso(entry.timeMs),
    tags: entry.tags.filter((tag) => !tag.startsWith(HIDDEN_TAG_PREFIX)),
    pinned: isPinned(entry),
  };
}
