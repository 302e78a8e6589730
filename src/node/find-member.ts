import { Fault } from "../base/fault.ts";
import type { Member, Roster } from "../membership/index.ts";

/** By name, peer id or a unique beginning of one. `PEER_UNKNOWN`, or `USAGE` where several fit. */
export function findMember(roster: Pick<Roster, "members">, asked: string): Member {
  const members = roster.members();
  const exact = members.filter(({ peer, name }) => peer === asked || name === asked);
  const found = exact.length > 0 ? exact : members.filter(({ peer }) => peer.startsWith(asked));
  const [member, ...others] = found;
  if (member === undefined || asked === "") throw new Fault({ code: "PEER_UNKNOWN", asked });
  if (others.length === 0) return member;
  const ids = found.map(({ peer }) => peer).join(", ");
  throw new Fault({ code: "USAGE", reason: `"${asked}" is more than one node: ${ids}. Give the peer id.` });
}
