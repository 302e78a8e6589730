import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { Incarnation, OwnerId, PeerId } from "../base/ids.ts";
import type { RemovalEntry, Roster } from "../membership/index.ts";

/**
 * What this node is in its swarm. `fenced`: its owner was recovered on another machine. `removed`: administrators took
 * it out. `unlisted`: its certificate is gone, because another use of the same token counts. None of these three
 * writes anything.
 */
export type NodeStanding =
  | { readonly state: "member" | "guest" | "unlisted" }
  /** `by`: the node for which the same use of its token counts. */
  | { readonly state: "unlisted"; readonly sinceMs: number; readonly by: PeerId }
  | {
      readonly state: "fenced" | "removed";
      /** The date of what ended it. */
      readonly sinceMs: number;
      /** The peer id of the node that took its place, or the public key of the administrator who signed. */
      readonly by: string | undefined;
    };

export interface StandingInit {
  readonly peer: PeerId;
  readonly owner: OwnerId;
  readonly incarnation: Incarnation;
}

export interface StandingEvidence {
  readonly roster: Pick<
    Roster,
    "member" | "memberOfOwner" | "former" | "sortedEntries" | "isWithdrawn" | "displacedBy"
  >;
  /** What the owner's recovery identity certified last. */
  readonly certified: { readonly incarnation: Incarnation; readonly timeMs: number } | undefined;
  /** As what connected members answer this node. */
  readonly answeredAs: { readonly members: number; readonly formers: number };
  /** Before a restart most answered that it is none: so it is until somebody says otherwise. */
  readonly wasRemoved: boolean;
}

/** A pure function of what this node knows, so that a restart, or an entry that comes late, changes nothing about it. */
export function standingOf(
  { roster, certified, answeredAs, wasRemoved }: StandingEvidence,
  self: StandingInit,
): NodeStanding {
  const { peer, owner, incarnation } = self;
  const member = roster.member(peer);
  if (member?.owner === owner) {
    if (certified !== undefined && certified.incarnation !== incarnation)
      return { state: "fenced", sinceMs: certified.timeMs, by: undefined };
    const removal = removalOf(roster, owner, member.generation);
    // A removal counts from when it is first heard, and we may be the last to hear of it: those who acted on it say so.
    const { formers, members } = answeredAs;
    const isOut = formers > members || (wasRemoved && formers === members);
    return removal !== undefined && isOut ? removedBy(removal) : { state: "member" };
  }
  const own = roster.former().find((one) => one.peer === peer && one.owner === owner);
  const winner = roster.displacedBy(peer);
  if (winner !== undefined) return { state: "unlisted", sinceMs: winner.body.issuedMs, by: winner.body.peer };
  if (own === undefined) return { state: "unlisted" };
  if (own.state === "removed") {
    const removal = removalOf(roster, owner, own.generation);
    return removal === undefined ? { state: "unlisted" } : removedBy(removal);
  }
  const successor = roster.memberOfOwner(owner);
  return { state: "fenced", sinceMs: successor?.since ?? own.since, by: successor?.peer };
}

/** What a node of such a standing answers to whoever wants it to write; `undefined` where it may. */
export function faultOfStanding(standing: NodeStanding, owner: OwnerId): Fault | undefined {
  switch (standing.state) {
    case "member":
    case "guest":
      return undefined;
    case "fenced":
      return new Fault({ code: "FENCED", owner });
    case "removed":
      return new Fault({ code: "REMOVED", owner });
    case "unlisted":
      return new Fault({
        code: "NOT_A_MEMBER",
        ...("by" in standing ? { displacedBy: standing.by } : {}),
      });
  }
}

/** The first that stands of those that name this owner up to its generation. */
function removalOf(
  roster: Pick<Roster, "sortedEntries" | "isWithdrawn">,
  owner: OwnerId,
  generation: number,
): RemovalEntry | undefined {
  return roster
    .sortedEntries()
    .filter((entry) => entry.type === "removal")
    .filter(({ body }) => body.owner === owner && body.generation >= generation)
    .filter(({ hash }) => !roster.isWithdrawn(toHex(hash)))
    .sort((a, b) => a.body.issuedMs - b.body.issuedMs)[0];
}

function removedBy({ body, signatures }: RemovalEntry): NodeStanding {
  const [first] = signatures;
  return {
    state: "removed",
    sinceMs: Math.max(body.issuedMs, body.effectiveMs),
    by: first === undefined ? undefined : toHex(first.signer),
  };
}
