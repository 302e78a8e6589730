import { INCARNATION_BYTES, incarnationOf, type PeerId, type SwarmId } from "../base/ids.ts";
import { Catalog } from "../catalog/index.ts";
import { SEED_BYTES, signerFromSeed } from "../crypto/sign.ts";
import {
  createSwarm,
  joinSwarm,
  type NodeDescription,
  Roster,
  type TokenContent,
} from "../membership/index.ts";
import { type Clock, type MetaStore, type Network, prefixed, type Rng } from "../ports/index.ts";
import { encodeSigned } from "../wire/signed.ts";
import type { Identity } from "./identity.ts";
import { NAMESPACE } from "./ports.ts";
import { makeSlot } from "./slot.ts";

export interface FoundingComponents {
  readonly meta: MetaStore;
  readonly clock: Clock;
  readonly rng: Rng;
}

/** What a new home keeps besides its database. */
export interface Founded {
  readonly swarm: SwarmId;
  /** The slot record, in its envelope. */
  readonly slot: Uint8Array;
  readonly site: string;
  readonly members: number;
  readonly administratorSeed?: Uint8Array;
}

/** A new swarm with this node as its first member and administrator, and an empty repository. */
export async function foundSwarm(
  components: FoundingComponents,
  identity: Identity,
  description: NodeDescription,
): Promise<Founded> {
  const { meta, rng, clock } = components;
  const administratorSeed = rng.bytes(SEED_BYTES);
  const { swarm, genesis, certificate } = createSwarm(
    { rng, clock },
    {
      administrators: [signerFromSeed(administratorSeed)],
      node: identity.node.publicKey,
      owner: identity.keys.signer.publicKey,
      recovery: identity.recovery.identity.publicKey,
      description,
    },
  );
  const store = prefixed(meta, NAMESPACE.membership);
  await Roster.create({ store, clock }, { genesis: genesis.bytes, entries: [certificate.bytes] });
  await newRepository(components, identity);
  const slot = slotFor(components, identity, swarm, administratorSeed);
  return { swarm, slot, site: description.site, members: 1, administratorSeed };
}

/** A member of the swarm that a token leads to, with a repository of its own. */
export async function joinExisting(
  components: FoundingComponents & { network: Pick<Network, "request">; via: PeerId },
  identity: Identity,
  init: { token: TokenContent; name: string; host: string; capacityBytes: number; signal: AbortSignal },
): Promise<Founded> {
  const { meta, clock } = components;
  const admission = await joinSwarm({
    ...components,
    ...init,
    node: identity.node,
    owner: identity.keys.signer,
    recovery: identity.recovery.identity,
  });
  const store = prefixed(meta, NAMESPACE.membership);
  const roster = await Roster.create({ store, clock }, admission);
  await newRepository(components, identity);
  const slot = slotFor(components, identity, roster.swarm, undefined);
  return {
    swarm: roster.swarm,
    slot,
    site: admission.certificate.body.site,
    members: roster.members().length,
  };
}

export async function newRepository({ meta, rng }: FoundingComponents, identity: Identity): Promise<void> {
  const store = prefixed(meta, NAMESPACE.catalog);
  if (Catalog.open(store) !== undefined) return;
  const incarnation = incarnationOf(rng.bytes(INCARNATION_BYTES));
  await Catalog.create(store, { owner: identity.keys.owner, incarnation });
}

export function slotFor(
  { rng, clock }: FoundingComponents,
  identity: Identity,
  swarm: SwarmId,
  administratorSeed: Uint8Array | undefined,
): Uint8Array {
  const content = {
    swarm,
    owner: identity.keys.owner,
    root: identity.root,
    ...(administratorSeed === undefined ? {} : { administratorSeed }),
  };
  return encodeSigned(makeSlot(rng, identity.recovery, content, Math.floor(clock.wallMs() / 1000)));
}
