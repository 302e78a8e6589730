import { z } from "zod";

/**
 * A plan is everything that a run of the full tier does besides what follows from it: plain data, so that a seed's plan, a
 * shrunk one and one written by hand are the same thing.
 */

/** Of the full tier there are a few dozen at most, of the coarse one thousands. */
const NODES_MAX = 5000;
const node = z
  .int()
  .min(0)
  .max(NODES_MAX - 1);
const nodes = z.array(node).min(1);
const ms = z.number().min(0);
const share = z.number().min(0).max(1);

const nodePlan = z
  .object({
    site: z.string().min(1),
    host: z.string().min(1).optional(),
    capacityBytes: z.number().min(1),
    /** Of its uplink. */
    bytesPerSecond: z.number().min(1),
    /** Time of a synced write. */
    syncMs: ms,
    skewMs: z.number(),
    rate: z.number().min(0.5).max(2),
  })
  .strict();
export type NodePlan = z.output<typeof nodePlan>;

const worldPlan = z
  .object({
    nodes: z.array(nodePlan).min(1).max(NODES_MAX),
    /** Of one way between two sites, at least. */
    latencyMs: ms,
    /** The faults and the workload take so long; the calm that everything must come right in follows. */
    stormMs: ms,
    /** Of the calm, before anything is asked of the swarm again. */
    settleMs: ms,
    scrubPeriodMs: z.number().min(1),
    /** Mean time between two comparisons of rosters and records. */
    syncEveryMs: z.number().min(1000),
    /** How often holders are audited, and asked what they have. @default as in the field */
    auditEveryMs: z.number().min(1000).optional(),
    quotaBytes: z.number().min(1).optional(),
    spoolMaxBytes: z.number().min(1).optional(),
    /** Clocks and bounds of deletion, so short that whole lives of segments fit into a run. @default as in the field */
    collection: z
      .object({
        everyMs: z.number().min(1000),
        delayMs: ms,
        trashMs: ms,
        brakeWindowMs: z.number().min(1000),
        brakeShare: share,
      })
      .strict()
      .optional(),
    /** Within what the profile promises to survive, or past it: then data may be lost, and nothing may be said wrongly. */
    beyond: z.boolean(),
  })
  .strict();
export type WorldPlan = z.output<typeof worldPlan>;

const when = { atMs: ms };

const step = z.discriminatedUnion("do", [
  /** Changes the node's files by a seed of their own, then takes a snapshot. */
  z
    .object({
      ...when,
      do: z.literal("snapshot"),
      node,
      changes: z.int(),
      wait: z.enum(["safe", "queued"]),
      /** Its holders are to keep what it needs for so long. @default 0 */
      lockMs: z.int().min(1).optional(),
    })
    .strict(),
  /** The how manieth last acknowledged snapshot; 0 is the newest. */
  z.object({ ...when, do: z.literal("restore"), node, back: z.int().min(0) }).strict(),
  z.object({ ...when, do: z.literal("verify"), node, readData: z.boolean() }).strict(),
  /** The owner of a machine that is gone for good comes back on a new one. */
  z.object({ ...when, do: z.literal("recover"), node, via: node }).strict(),
  /** By name: so many acknowledged snapshots, the oldest first. */
  z.object({ ...when, do: z.literal("forget"), node, count: z.int().min(1) }).strict(),
  /** By rules: but for the last ones. */
  z.object({ ...when, do: z.literal("keep"), node, last: z.int().min(1) }).strict(),
  z.object({ ...when, do: z.literal("prune"), node }).strict(),
  z.object({ ...when, do: z.literal("pin"), node, back: z.int().min(0), pinned: z.boolean() }).strict(),
  /** The founder, an administrator, lets the owner's live sets go beyond the brake. */
  z.object({ ...when, do: z.literal("release"), node }).strict(),
]);
export type Step = z.output<typeof step>;

const lasting = { ...when, forMs: ms };

const fault = z.discriminatedUnion("kind", [
  /** Connections between the two groups break, and none is made. */
  z.object({ ...lasting, kind: z.literal("cut"), a: nodes, b: nodes }).strict(),
  /** The same, again and again for half of the time. */
  z.object({ ...lasting, kind: z.literal("flap"), a: nodes, b: nodes, everyMs: z.number().min(1) }).strict(),
  /** Nothing that one group sends to the other arrives, though connections seem to stand. */
  z.object({ ...lasting, kind: z.literal("silence"), from: nodes, to: nodes }).strict(),
  z.object({ ...lasting, kind: z.literal("lose-requests"), node, share }).strict(),
  /** Requests are carried out, and the answer does not arrive. */
  z.object({ ...lasting, kind: z.literal("lose-answers"), node, share }).strict(),
  z.object({ ...lasting, kind: z.literal("slow-links"), node, factor: z.number().min(1) }).strict(),
  z.object({ ...lasting, kind: z.literal("slow-disk"), node, factor: z.number().min(1) }).strict(),
  /** Takes requests and answers nothing. */
  z.object({ ...lasting, kind: z.literal("hang"), node }).strict(),
  /** The whole program stands still. */
  z.object({ ...lasting, kind: z.literal("pause"), node }).strict(),
  /** The power goes; what was not synced may be gone or half there. */
  z.object({ ...lasting, kind: z.literal("crash"), node }).strict(),
  z.object({ ...lasting, kind: z.literal("restart"), node }).strict(),
  z.object({ ...when, kind: z.literal("clock-step"), node, byMs: z.number() }).strict(),
  z.object({ ...when, kind: z.literal("rot"), node, shards: z.int().min(1) }).strict(),
  z.object({ ...when, kind: z.literal("lose-files"), node, shards: z.int().min(1) }).strict(),
  z.object({ ...when, kind: z.literal("truncate"), node, shards: z.int().min(1) }).strict(),
  /** Two shards in each other's place. */
  z.object({ ...when, kind: z.literal("misdirect"), node }).strict(),
  z.object({ ...lasting, kind: z.literal("full-disk"), node }).strict(),
  z.object({ ...lasting, kind: z.literal("read-only-disk"), node }).strict(),
  z.object({ ...lasting, kind: z.literal("unreadable-disk"), node }).strict(),
  /** The disk with others' shards is pulled out for a while. */
  z.object({ ...lasting, kind: z.literal("pulled-disk"), node }).strict(),
  /** The shards of others are gone, the rest of the machine is as it was. */
  z.object({ ...when, kind: z.literal("lose-shards"), node }).strict(),
  /** The machine is gone for good with everything on it. */
  z.object({ ...when, kind: z.literal("die"), node }).strict(),
  z.object({ ...when, kind: z.literal("site-dies"), site: z.string() }).strict(),
  /** The whole disk is put back to how it was so long before. */
  z.object({ ...when, kind: z.literal("roll-back"), node, byMs: ms }).strict(),
  /** From now on the node cheats those whose data it keeps. */
  z
    .object({
      ...when,
      kind: z.literal("cheat"),
      node,
      how: z.enum(["drop", "garbage", "withhold", "forget"]),
    })
    .strict(),
  /** It shows recoveries none of the heads that it keeps, or nothing at all. */
  z
    .object({ ...when, kind: z.literal("lie-to-recoveries"), node, how: z.enum(["no-records", "nothing"]) })
    .strict(),
  /** Somebody is at the machine, with all its keys, and wants its owner's data gone. */
  z
    .object({
      ...when,
      kind: z.literal("thief"),
      node,
      how: z.enum(["wipe", "empty-live-set", "replay", "leap", "fork", "of-another"]),
    })
    .strict(),
]);
export type FaultPlan = z.output<typeof fault>;
export type Cheat = Extract<FaultPlan, { kind: "cheat" }>["how"];
export type RecoveryLie = Extract<FaultPlan, { kind: "lie-to-recoveries" }>["how"];
export type Theft = Extract<FaultPlan, { kind: "thief" }>["how"];
export type FaultKind = FaultPlan["kind"];

export const FAULT_KINDS: readonly FaultKind[] = fault.options.map((option) => option.shape.kind.value);

const plan = z
  .object({
    v: z.literal(1),
    /** Names the run: randomness of everything that the plan does not say follows from it. */
    seed: z.string().min(1),
    /** What this plan once showed, of a regression. */
    story: z.string().optional(),
    world: worldPlan,
    workload: z.array(step),
    faults: z.array(fault),
  })
  .strict();
export type Plan = z.output<typeof plan>;

/** From JSON that somebody wrote; throws with what is wrong with it. */
export function readPlan(text: string): Plan {
  const read = plan.safeParse(JSON.parse(text));
  if (read.success) return read.data;
  throw new Error(`this is no plan: ${z.prettifyError(read.error)}`);
}

export function writePlan(value: Plan): string {
  return `${JSON.stringify(plan.parse(value), undefined, 1)}\n`;
}
