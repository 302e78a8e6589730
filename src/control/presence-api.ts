import { z } from "zod";

const count = z.int().nonnegative();
const isoTime = z.string();
/** At most so many nodes are listed; the counts beside are exact. */
export const AWAY_LISTED_MAX = 1000;

/**
 * `alive`, `draining`: heard lately. `unreachable`: not heard by this node for a while. `absent`: enough nodes say so, and
 * what it holds is replaced once its grace is over. `lost`: away for so long that it is not counted any more.
 */
export const livenessState = z.enum(["alive", "draining", "unreachable", "absent", "lost"]);

export const liveness = z.object({
  state: livenessState,
  /** When this state began; of `unreachable` and `absent`: when the node fell silent. */
  since: isoTime,
  /** End of an outage that it announced. */
  plannedUntil: isoTime.optional(),
  /** `lost` because administrators say so: a removal was announced. */
  declaredLost: z.literal(true).optional(),
});
export type LivenessInfo = z.infer<typeof liveness>;

export const weather = z.object({
  /**
   * `cut-off`: this node hears half of the swarm or less, so it is the one that is away. `frozen`: so many fell silent at
   * once that a network failed. In neither is anything repaired that can wait, and nothing dropped.
   */
  kind: z.enum(["calm", "frozen", "cut-off"]),
  /** Of `frozen`, unless they come back before. */
  until: isoTime.optional(),
  /** Of `frozen`: how many fell silent. */
  gone: count.optional(),
  /** Of `cut-off`. */
  seen: count.optional(),
  of: count.optional(),
  /** Of `cut-off`: it has not listened for long enough to say so; nothing is repaired yet, all the same. */
  isListening: z.literal(true).optional(),
});
export type WeatherInfo = z.infer<typeof weather>;

/** Part of `status`: how many nodes are in which state, who is not up, and what happened since the start. */
export const presence = z.object({
  states: z.record(livenessState, count),
  away: z
    .array(z.object({ peerId: z.string(), name: z.string().optional(), ...liveness.shape }))
    .max(AWAY_LISTED_MAX),
  weather,
  /** Outage that this node has announced of itself. */
  maintenanceUntil: isoTime.optional(),
  /** Since the start of the daemon: how often a node changed to each, came back, and this node froze or was cut off. */
  events: z.object({
    unreachable: count,
    absent: count,
    lost: count,
    returned: count,
    freezes: count,
    cutOffs: count,
  }),
});
export type PresenceInfo = z.infer<typeof presence>;

export const maintenanceRequest = z.discriminatedUnion("action", [
  z.object({ action: z.literal("status") }).strict(),
  z.object({ action: z.literal("begin"), forMs: z.int().positive() }).strict(),
  z.object({ action: z.literal("end") }).strict(),
]);
export type MaintenanceRequest = z.infer<typeof maintenanceRequest>;

export const maintenanceResult = z.object({
  /** Absent: no outage is announced. */
  until: isoTime.optional(),
  /** Members with a connection to this node; the others hear of it from them. */
  connected: count,
});
export type MaintenanceResult = z.infer<typeof maintenanceResult>;
