import type { Founded, Identity } from "../node/index.ts";
import type { InitReport } from "./local-operations.ts";
import type { HomeSettings } from "./runtime-home.ts";

/** What is told of a node that was made, or made anew, with its recovery key. */
export function reportOf(identity: Identity, founded: Founded, settings: HomeSettings): InitReport {
  return {
    words: identity.words,
    peerId: identity.peer,
    swarmId: founded.swarm,
    ownerId: identity.keys.owner,
    site: founded.site,
    name: settings.name,
    listen: settings.listen,
    capacityBytes: settings.capacityBytes,
  };
}
