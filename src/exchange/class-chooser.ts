import { DAY_MS } from "../base/units.ts";
import type { Catalog } from "../catalog/index.ts";
import {
  autoProfile,
  type ClassChoice,
  classFor,
  describeClass,
  formatProfile,
  holdersOfShape,
  leastCap,
  type Profile,
  type SwarmShape,
  worthChanging,
} from "../placement/index.ts";
import type { Clock } from "../ports/index.ts";
import { type SwarmView, shapeOfView } from "./field.ts";
import type { OwnerMaps } from "./owner-maps.ts";

/** Where new segments of a snapshot go, by class ids of the current map. */
export interface ChosenClasses {
  readonly whole: number;
  readonly tail: number;
  /** The version in which they are described: all members read it. */
  readonly formatVersion: number;
  /** `3+3`. */
  readonly profile: string;
  readonly coversSiteLoss: boolean;
  /** Plain sentences: what is not covered. */
  readonly notes: readonly string[];
}

/** A better profile has to stay better for so long before new segments use it. */
const STABLE_MS = 7 * DAY_MS;

/** The classes for new segments: of the profile asked for, or by the rule for the swarm as it is. */
export async function chooseClasses(
  components: { catalog: Catalog; maps: OwnerMaps; view: SwarmView; clock: Clock },
  asked: Profile | undefined,
): Promise<ChosenClasses> {
  const { maps, view } = components;
  const shape = shapeOfView(view);
  const choice = asked === undefined ? await chooseAuto(components, shape) : classFor(asked, shape);
  const holders = holdersOfShape(shape);
  const { k, m, cap } = choice.class;
  // As many copies as lose any one site and f further nodes: what the whole segments survive, tails survive too.
  const copies = k === 1 ? 1 + m : Math.min(holders, 1 + cap + choice.f);
  const tail = { k: 1, m: copies - 1, cap: leastCap(shape.sites, copies) };
  return {
    whole: await maps.classId(choice.class, holders),
    tail: await maps.classId(tail, holders),
    formatVersion: view.formatVersion(),
    profile: formatProfile({ k, m }),
    coversSiteLoss: choice.coversSiteLoss,
    notes: choice.notes,
  };
}

/** Sticky: a profile in use is left for a better one only when it must be, or after a week of the same answer. */
async function chooseAuto(
  components: { catalog: Catalog; maps: OwnerMaps; clock: Clock },
  shape: SwarmShape,
): Promise<ClassChoice> {
  const { catalog, maps, clock } = components;
  const proposal = autoProfile(shape);
  const used = catalog.state.autoClass;
  const now = clock.wallMs();
  if (used !== undefined) {
    const current = maps.class(catalog.currentIncarnation, used.id);
    const verdict = worthChanging(current, shape, proposal);
    const betterSinceMs = used.betterSinceMs ?? now;
    const stay = verdict === "no" || (verdict === "when-stable" && now - betterSinceMs < STABLE_MS);
    if (stay) {
      const { id, sinceMs } = used;
      if (verdict === "no" && used.betterSinceMs !== undefined)
        await catalog.update({ autoClass: { id, sinceMs } });
      if (verdict === "when-stable" && used.betterSinceMs === undefined) {
        await catalog.update({ autoClass: { id, sinceMs, betterSinceMs } });
      }
      return describeClass(current, shape);
    }
  }
  const id = await maps.classId(proposal.class, holdersOfShape(shape));
  await catalog.update({ autoClass: { id, sinceMs: now } });
  return proposal;
}
