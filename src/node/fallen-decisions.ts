import { equalBytes, toHex } from "../base/bytes.ts";
import { isFault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { HOUR_MS } from "../base/units.ts";
import type { Roster, RosterChange, RosterEntry } from "../membership/index.ts";
import type { Clock } from "../ports/index.ts";
import type { Administrators } from "./administrators.ts";
import type { Proposals } from "./proposals.ts";

export interface FallenDecisionsComponents {
  readonly roster: Roster;
  readonly administrators: Pick<Administrators, "includesThisNode" | "key">;
  readonly proposals: Pick<Proposals, "decide" | "isDecidedHere">;
  readonly isFenced: () => boolean;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

/**
 * A change of the administrators keeps what its author knew of. What another administrator decided at the same time, and by
 * a signature that suffices no more, falls with it, though nobody wished that: the node that signed it proposes it anew.
 * What is older than this was known to everybody, or was meant to fall.
 */
const FRESH_MS = HOUR_MS;

/** Looks after what was decided at this node, for as long as its administrator is one. */
export class FallenDecisions {
  readonly #c: FallenDecisionsComponents;
  #proposing: Promise<void> = Promise.resolve();

  constructor(components: FallenDecisionsComponents) {
    this.#c = components;
  }

  /** Returns how to stop. */
  start(): () => void {
    return this.#c.roster.onChange((change) => this.#look(change));
  }

  #look({ added, dropped }: RosterChange): void {
    if (dropped.length === 0 || !added.some(({ type }) => type === "administrators")) return;
    const { administrators, log } = this.#c;
    if (!administrators.includesThisNode || this.#c.isFenced()) return;
    const own = this.#ownOf(dropped);
    // One after the other: each is a proposal of its own, and what is said of one must not hold up the roster.
    for (const entries of decisionsIn(own)) {
      this.#proposing = this.#proposing.then(async () => {
        const what = { type: entries[0]?.type, ids: entries.map(({ hash }) => toHex(hash)) };
        try {
          const { outcome } = await this.#c.proposals.decide(
            entries,
            administrators.key(),
            limitsOf(entries),
          );
          log.warn("decision-proposed-anew", { ...what, outcome });
        } catch (error) {
          if (!isFault(error)) throw error;
          log.warn("decision-fallen", { ...what, why: messageOf(error) });
        }
      });
    }
  }

  /** Decided here, signed by the key that this node still has, and lately. */
  #ownOf(dropped: readonly RosterEntry[]): RosterEntry[] {
    const { administrators, clock, proposals } = this.#c;
    const { publicKey } = administrators.key();
    return dropped.filter((entry) => {
      const [only, ...others] = entry.signatures;
      const issuedMs = issuedOf(entry);
      if (only === undefined || others.length > 0 || issuedMs === undefined) return false;
      const isFresh = Math.abs(clock.wallMs() - issuedMs) <= FRESH_MS;
      return isFresh && equalBytes(only.signer, publicKey) && proposals.isDecidedHere(entry);
    });
  }
}

/** When it was signed; `undefined` for what is no decision about members. */
function issuedOf(entry: RosterEntry): number | undefined {
  switch (entry.type) {
    case "delegation":
    case "removal":
    case "withdrawal":
      return entry.body.issuedMs;
    case "certificate":
      return entry.body.by === "administrators" ? entry.body.issuedMs : undefined;
    case "genesis":
    case "administrators":
    case "endorsement":
    case "rotation":
      return undefined;
  }
}

/** The uses of one token are one decision, what was taken back together too; everything else stands for itself. */
function decisionsIn(entries: readonly RosterEntry[]): RosterEntry[][] {
  return [
    ...Map.groupBy(entries, (entry) => {
      if (entry.type === "delegation") return `token ${entry.body.site} ${entry.body.issuedMs}`;
      if (entry.type === "withdrawal") return `withdrawal ${entry.body.issuedMs}`;
      return toHex(entry.hash);
    }).values(),
  ];
}

function limitsOf(entries: readonly RosterEntry[]): { expiresMs?: number } {
  const [first] = entries;
  return first?.type === "delegation" ? { expiresMs: first.body.expiresMs } : {};
}
