import type { PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { LivenessState, NodeLiveness, Weather } from "../upkeep/index.ts";

/** Since the start. */
export interface PresenceCounts {
  readonly unreachable: number;
  readonly absent: number;
  readonly lost: number;
  /** Back from any of these. */
  readonly returned: number;
  readonly freezes: number;
  readonly cutOffs: number;
}

type Nodes = ReadonlyMap<PeerId, NodeLiveness>;

/** Tells in the log, once each, what has changed about who is up, and counts it. */
export class Journal {
  readonly #log: Log;
  readonly #nameOf: (peer: PeerId) => string | undefined;
  readonly #counts = { unreachable: 0, absent: 0, lost: 0, returned: 0, freezes: 0, cutOffs: 0 };
  #weather: Weather["kind"] = "calm";

  constructor(log: Log, nameOf: (peer: PeerId) => string | undefined) {
    this.#log = log;
    this.#nameOf = nameOf;
  }

  counts(): PresenceCounts {
    return { ...this.#counts };
  }

  /** Whether anybody's state or announced outage is another one. */
  nodes(before: Nodes, after: Nodes): boolean {
    let hasChanged = before.size !== after.size;
    for (const [peer, node] of after) {
      const was = before.get(peer);
      if (was?.state !== node.state) this.#changed(peer, was, node);
      if (was?.plannedUntilMs !== node.plannedUntilMs) this.#outage(peer, node.plannedUntilMs);
      hasChanged ||= was?.state !== node.state || was.plannedUntilMs !== node.plannedUntilMs;
    }
    return hasChanged;
  }

  #changed(peer: PeerId, was: NodeLiveness | undefined, { state, sinceMs }: NodeLiveness): void {
    if (was === undefined && state === "alive") return;
    const fields = {
      ...this.#nameFields(peer),
      since: new Date(sinceMs).toISOString(),
      ...(was === undefined ? {} : { was: was.state }),
    };
    if (isUp(state)) {
      if (was !== undefined && !isUp(was.state)) this.#counts.returned++;
      this.#log.info(`node-${state}`, fields);
      return;
    }
    this.#counts[state]++;
    this.#log.warn(`node-${state}`, fields);
  }

  #outage(peer: PeerId, untilMs: number | undefined): void {
    const fields = this.#nameFields(peer);
    if (untilMs === undefined) this.#log.info("outage-over", fields);
    else this.#log.info("outage-announced", { ...fields, until: new Date(untilMs).toISOString() });
  }

  /** Whether it is of another kind than before. */
  weather(weather: Weather): boolean {
    if (weather.kind === this.#weather) return false;
    this.#weather = weather.kind;
    switch (weather.kind) {
      case "calm":
        this.#log.info("upkeep-calm");
        break;
      case "frozen": {
        this.#counts.freezes++;
        const gone = weather.gone.slice(0, SHOWN_MAX);
        const until = new Date(weather.untilMs).toISOString();
        this.#log.warn("upkeep-frozen", { until, count: weather.gone.length, gone });
        break;
      }
      case "cut-off":
        this.#counts.cutOffs++;
        this.#log.warn("upkeep-cut-off", { seen: weather.seen, of: weather.of });
        break;
    }
    return true;
  }

  #nameFields(peer: PeerId): { peer: PeerId; name?: string } {
    const name = this.#nameOf(peer);
    return name === undefined ? { peer } : { peer, name };
  }
}

/** Of those who vanished at once, in one line of the log. */
const SHOWN_MAX = 32;

function isUp(state: LivenessState): state is "alive" | "draining" {
  return state === "alive" || state === "draining";
}
