import { z } from "zod";

const isoTime = z.string();

/** One signed word about a member. */
const said = z.object({
  kind: z.enum(["doubt", "conviction", "clearance"]),
  /** Name of the member, its peer id where it has none, or the beginning of an administrator's key. */
  by: z.string(),
  at: isoTime,
  reason: z.string(),
});

/** How far a member is believed, and who says so. */
export const trustInfo = z.object({
  /** `doubted`: gets no new data, keeps what it has. `suspect`: and what it has counts as absent. */
  state: z.enum(["trusted", "doubted", "suspect"]),
  since: isoTime.optional(),
  reason: z.string().optional(),
  /** Found by this node's own audits, whatever others say. */
  own: z.boolean(),
  /** The oldest first. */
  said: z.array(said),
});
export type TrustInfo = z.infer<typeof trustInfo>;
