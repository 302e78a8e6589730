import type { SwarmId } from "../base/ids.ts";
import type { Signer } from "../crypto/sign.ts";
import type { Fence, Holder, KeptMaps, PeerClient } from "../exchange/index.ts";
import type { LockBearer } from "../locks/index.ts";
import type { KnownLost } from "../losses/index.ts";
import { prefixed } from "../ports/index.ts";
import type { Presence } from "../presence/index.ts";
import { Promises, Sweeper, Witnesses } from "../sweep/index.ts";
import type { UpkeepSettings } from "../upkeep/index.ts";
import { NAMESPACE, type NodePorts } from "./ports.ts";

export interface SweepComponents extends NodePorts {
  readonly holder: Holder;
  readonly kept: KeptMaps;
  readonly lost: KnownLost;
  readonly client: PeerClient;
  readonly locks: Pick<LockBearer, "isLockedAt">;
  readonly presence: Presence;
  readonly disk: { requireServing(): void };
  readonly fence: Pick<Fence, "why">;
  readonly signer: Signer;
}

/** Copies too many on this node, and what it has promised to keep for others' sake. */
export class Sweep {
  readonly promises: Promises;
  readonly sweeper: Sweeper;

  constructor(c: SweepComponents, init: { swarm: SwarmId; settings: UpkeepSettings }) {
    const { swarm, settings } = init;
    const self = c.network.self;
    const isLeaving = (): boolean => c.presence.own.draining;
    this.promises = new Promises(
      { ...c, self, store: prefixed(c.meta, NAMESPACE.promises), isLeaving },
      { swarm, aDay: settings.sweep.copiesADay },
    );
    const witnesses = new Witnesses({ ...c, self }, { swarm });
    const mayAct = (): boolean => c.fence.why === undefined && !isLeaving();
    this.sweeper = new Sweeper(
      { ...c, self, promises: this.promises, witnesses, mayAct },
      { swarm, ...settings.sweep },
    );
  }
}
