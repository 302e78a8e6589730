import type { SwarmId } from "../base/ids.ts";
import type { Catalog } from "../catalog/index.ts";
import type { Signer } from "../crypto/sign.ts";
import { KeptMaps, type KeptRecords, type OwnerMaps, type PeerClient } from "../exchange/index.ts";
import { type KnownLost, LossDesk, LossTeller } from "../losses/index.ts";
import type { Roster } from "../membership/index.ts";
import type { NodePorts } from "./ports.ts";

interface LossesComponents extends NodePorts {
  readonly lost: KnownLost;
  readonly kept: KeptRecords;
  readonly maps: OwnerMaps;
  readonly catalog: Catalog;
  readonly client: PeerClient;
  readonly roster: Roster;
  readonly signer: Signer;
}

/** Which copies are known to be gone, and what this node says of its own. */
export class Losses {
  readonly lost: KnownLost;
  readonly kept: KeptMaps;
  readonly desk: LossDesk;
  readonly teller: LossTeller;

  constructor(components: LossesComponents, { swarm }: { swarm: SwarmId }) {
    const { network, lost } = components;
    this.lost = lost;
    this.kept = new KeptMaps(components.kept);
    this.desk = new LossDesk({ ...components, known: lost, kept: this.kept }, { swarm, self: network.self });
    this.teller = new LossTeller({ ...components, kept: this.kept }, { swarm });
  }
}
