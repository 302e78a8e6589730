import type { PeerRole } from "../../ports/network.ts";
import type { Libp2pLimits } from "./limits.ts";

/** Whose requests are counted together: none of these takes the places of another. */
export type Crowd = "members" | "joiners" | "recoverers" | "formers";

export function crowdOf(role: PeerRole): Crowd {
  switch (role) {
    case "member":
      return "members";
    case "join-guest":
      return "joiners";
    case "recovery-guest":
      return "recoverers";
    // Nobody else gets here.
    case "former":
    case "stranger":
      return "formers";
  }
}

export function placesOf(crowd: Crowd, limits: Libp2pLimits): number {
  switch (crowd) {
    case "members":
      return limits.inboundTotal;
    case "joiners":
      return limits.inboundJoinersTotal;
    case "recoverers":
      return limits.inboundRecoverersTotal;
    case "formers":
      return limits.inboundFormersTotal;
  }
}
