import type { PeerId } from "../../../src/base/ids.ts";
import { MINUTE_MS } from "../../../src/base/units.ts";
import {
  type Holder,
  LIVENESS_RULES,
  type Liveness,
  type LivenessState,
  type NodeLiveness,
  type Observation,
  startListening,
  stepLiveness,
  TRUSTED,
  type UpkeepMember,
} from "../../../src/upkeep/index.ts";
import { peerNamed } from "../placement/nodes.ts";

/** `{ a: "x", b: "y" }`: node a at site x, b at y. */
export function membersAt(sites: Readonly<Record<string, string>>): UpkeepMember[] {
  return Object.entries(sites).map(([name, site]) => ({ peer: peerNamed(name), site }));
}

/** `[3, 2]`: nodes 0-0, 0-1, 0-2 at site0, 1-0 and 1-1 at site1. */
export function membersOf(shape: readonly number[]): UpkeepMember[] {
  return shape.flatMap((count, site) =>
    Array.from({ length: count }, (_, i) => ({ peer: peerNamed(`${site}-${i}`), site: `site${site}` })),
  );
}

export function standing(
  state: LivenessState = "alive",
  sinceMs = 0,
  changes: Partial<NodeLiveness> = {},
): NodeLiveness {
  return { state, sinceMs, plannedUntilMs: undefined, isHeard: state === "alive", ...changes };
}

export function holder(name: string, site: string, changes: Partial<Holder> = {}): Holder {
  const peer = peerNamed(name);
  return { peer, site, host: name, liveness: standing(), trust: TRUSTED, isOverfull: false, ...changes };
}

export const BEAT_MS = 5 * MINUTE_MS;

/** What one node comes to know while time goes by and those in `up` are heard; the others may report silences. */
export class Watcher {
  #liveness: Liveness;
  readonly me: PeerId;
  roster: readonly UpkeepMember[];
  nowMs: number;

  constructor(me: PeerId, roster: readonly UpkeepMember[], nowMs = 1_000_000_000) {
    this.me = me;
    this.roster = roster;
    this.nowMs = nowMs;
    this.#liveness = startListening(nowMs);
  }

  get liveness(): Liveness {
    return this.#liveness;
  }

  set liveness(value: Liveness) {
    this.#liveness = value;
  }

  see(...observations: readonly Observation[]): void {
    const { me, roster, nowMs } = this;
    this.#liveness = stepLiveness(this.#liveness, {
      me,
      roster,
      nowMs,
      observations,
      rules: LIVENESS_RULES,
    });
  }

  /** Beats of contact for so long; each of `reporters` says at each that it has not heard `of` since `sinceMs`. */
  pass(
    durationMs: number,
    up: readonly PeerId[],
    reports: { by: readonly PeerId[]; of: PeerId; sinceMs: number }[] = [],
  ): void {
    const endMs = this.nowMs + durationMs;
    while (this.nowMs < endMs) {
      this.nowMs = Math.min(endMs, this.nowMs + BEAT_MS);
      const atMs = this.nowMs;
      this.see(
        ...up.map((peer): Observation => ({ kind: "contact", peer, atMs })),
        ...reports.flatMap(({ by, of, sinceMs }) =>
          by.map(
            (observer): Observation => ({
              kind: "silence",
              target: of,
              observer,
              silentSinceMs: sinceMs,
              atMs,
            }),
          ),
        ),
      );
    }
  }

  state(peer: PeerId): LivenessState | undefined {
    return this.#liveness.nodes.get(peer)?.state;
  }
}
