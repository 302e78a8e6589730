import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import { parseDuration, parseSize } from "../../src/base/units.ts";
import { autoProfile, classFor, type PlacementClass, parseProfile } from "../../src/placement/index.ts";
import { parseUpkeep, parseUplink, type UpkeepSettings } from "../../src/upkeep/index.ts";

const size = z.string().refine((text) => parseSize(text) !== undefined, "must be a size such as 2TB");
const duration = z.string().refine((text) => parseDuration(text) !== undefined, "must be a time such as 12h");
const positive = z.number().min(0);

const siteFile = z
  .object({
    name: z.string().min(1),
    nodes: z.int().min(1).max(10_000),
    /** That each node offers to others. */
    capacity: size,
    /** Of each node's own, as it is saved. */
    data: size,
    uplink: z.string().optional(),
  })
  .strict();

const fleetFile = z
  .object({
    sites: z.array(siteFile).min(1).max(10_000),
    /** `auto`, or k+m. */
    profile: z.string().default("auto"),
    /** As in a node's settings. */
    upkeep: z.unknown().optional(),
    years: z.number().min(0.01).max(100).default(5),
    churn: z
      .object({
        /** Times that a node is away in a year, and for how long in the mean. */
        outagesPerYear: positive.default(26),
        outage: duration.default("6h"),
        /** Share of nodes that are lost for good in a year, with everything on them. */
        nodeLossPerYear: z.number().min(0).max(0.99).default(0.05),
        siteLossPerYear: z.number().min(0).max(0.99).default(0.001),
        /** Until a lost node is replaced, and its owner recovered. */
        replacedAfter: duration.default("7d"),
        /** Shards that go bad unseen, for each terabyte kept and year. */
        rotPerTerabyteYear: positive.default(0.1),
        /** Until every byte was read again. */
        scrub: duration.default("30d"),
      })
      .strict()
      .prefault({}),
    /** Groups of segments that share their holders, of each owner; more are nearer to the truth, and slower. */
    rowsPerOwner: z.int().min(1).max(256).optional(),
  })
  .strict();

export interface FleetSite {
  readonly name: string;
  readonly nodes: number;
  readonly capacityBytes: number;
  readonly dataBytes: number;
  readonly uplinkBitsPerSecond: number;
}

export interface Churn {
  readonly outagesPerYear: number;
  readonly outageMs: number;
  readonly nodeLossPerYear: number;
  readonly siteLossPerYear: number;
  readonly replacedAfterMs: number;
  readonly rotPerTerabyteYear: number;
  readonly scrubMs: number;
}

/** An operator's swarm, its data and its luck. */
export interface Fleet {
  readonly sites: readonly FleetSite[];
  readonly profile: string;
  readonly class: PlacementClass;
  readonly notes: readonly string[];
  readonly upkeep: UpkeepSettings;
  readonly years: number;
  readonly churn: Churn;
  readonly rowsPerOwner: number;
}

/** All rows of a fleet, unless it says how many: a few thousand show every pattern of losses there is. */
const ROWS_WANTED = 2000;
const ROWS_PER_OWNER_MAX = 16;

/** From JSON; throws with what is wrong with it. */
export function readFleet(text: string): Fleet {
  const read = fleetFile.safeParse(JSON.parse(text));
  if (!read.success) throw new Error(`this is no fleet: ${z.prettifyError(read.error)}`);
  const { profile, years, churn, rowsPerOwner } = read.data;
  const upkeep = parseUpkeep(read.data.upkeep ?? {});
  const sites = read.data.sites.map(({ name, nodes, capacity, data, uplink }) => ({
    name,
    nodes,
    capacityBytes: must(parseSize(capacity), "size"),
    dataBytes: must(parseSize(data), "size"),
    uplinkBitsPerSecond: uplink === undefined ? upkeep.schedule.uplinkBitsPerSecond : parseUplink(uplink),
  }));
  const nodes = sites.reduce((sum, site) => sum + site.nodes, 0);
  if (nodes < 2) throw new Error("a fleet has two nodes at least");
  // As the owner with the most company at its own site sees it.
  const shape = { sites: sites.map((site, at) => site.nodes - (at === 0 ? 1 : 0)) };
  const choice = profile === "auto" ? autoProfile(shape) : classFor(parseProfile(profile), shape);
  return {
    sites,
    profile,
    class: choice.class,
    notes: choice.notes,
    upkeep,
    years,
    churn: {
      outagesPerYear: churn.outagesPerYear,
      outageMs: must(parseDuration(churn.outage), "time"),
      nodeLossPerYear: churn.nodeLossPerYear,
      siteLossPerYear: churn.siteLossPerYear,
      replacedAfterMs: must(parseDuration(churn.replacedAfter), "time"),
      rotPerTerabyteYear: churn.rotPerTerabyteYear,
      scrubMs: must(parseDuration(churn.scrub), "time"),
    },
    rowsPerOwner: rowsPerOwner ?? Math.max(1, Math.min(ROWS_PER_OWNER_MAX, Math.floor(ROWS_WANTED / nodes))),
  };
}
