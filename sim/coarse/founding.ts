import { Buffer } from "node:buffer";
import { must } from "../../src/base/assert.ts";
import { ownerIdOf, peerIdOf } from "../../src/base/ids.ts";
import { DAY_MS } from "../../src/base/units.ts";
import { signerFromSeed } from "../../src/crypto/sign.ts";
import { signCertificate } from "../../src/membership/entry.ts";
import {
  type DelegationEntry,
  decodeEntry,
  guestSigner,
  type Invitation,
  invite,
  parseToken,
  Roster,
  type RosterEntry,
} from "../../src/membership/index.ts";
import { newRepository, slotFor } from "../../src/node/founding.ts";
import { NAMESPACE } from "../../src/node/index.ts";
import { type MetaOp, prefixed } from "../../src/ports/index.ts";
import type { SimMachine } from "../full/machine.ts";
import type { World } from "../full/world.ts";
import { NodeClock } from "../node-clock.ts";

/** Newcomers that one token lets in. */
const USES_MAX = 256;

/**
 * Every machine of the plan is a member from the first moment on, with the certificates that joining by tokens would have left:
 * a thousand who join one after the other would verify, each of them, what all the others brought. Their rosters lie on
 * their disks; nothing runs yet.
 */
export async function foundAll(world: World): Promise<void> {
  for (const plan of world.plan.world.nodes) world.machines.push(world.newMachine(plan));
  const [founder, ...others] = world.machines;
  if (founder === undefined) return;
  const clock = new NodeClock(world.scheduler);
  const rng = world.rng.fork("founding");
  const { administratorSeed } = await founder.found();
  const store = prefixed(founder.metaDisk.open(), NAMESPACE.membership);
  const roster = must(await Roster.open({ store, clock }), "roster of the founder");
  const administrators = [signerFromSeed(must(administratorSeed, "seed of the founder"))];
  const entries: RosterEntry[] = [];
  for (const [site, newcomers] of Map.groupBy(others, (machine) => machine.site))
    for (let from = 0; from < newcomers.length; from += USES_MAX) {
      const some = newcomers.slice(from, from + USES_MAX);
      const invitation = invite(
        { roster, rng, clock },
        { administrators, site, expiresInMs: DAY_MS, uses: some.length, addresses: [] },
      );
      for (const [use, machine] of some.entries())
        entries.push(...entriesOf(machine, invitation, use, clock.wallMs()));
    }
  for (const outcome of await roster.applyAll(entries, { replay: true }))
    if (outcome instanceof Error) throw outcome;
  const stored = rosterOnDisk(founder);
  for (const machine of others) {
    machine.metaDisk.apply(stored, true);
    const home = { meta: machine.metaDisk.open(), clock, rng: machine.rng.fork("founding") };
    await newRepository(home, machine.identity);
    machine.adopt(machine.identity, slotFor(home, machine.identity, roster.swarm, undefined));
  }
}

function entriesOf(
  machine: SimMachine,
  { token, delegations }: Invitation,
  use: number,
  issuedMs: number,
): [DelegationEntry, RosterEntry] {
  const delegation = must(delegations[use], "delegation");
  const { site, nodeNumber } = delegation.body;
  const { node, keys, recovery } = machine.identity;
  const content = parseToken(token);
  const certificate = signCertificate(
    content.swarm,
    {
      ...{ v: 1, by: "delegation", delegation: delegation.hash, peer: peerIdOf(node.publicKey) },
      ...{ owner: ownerIdOf(keys.signer.publicKey), recovery: recovery.identity.publicKey },
      ...{ site, name: machine.name, host: machine.host, capacityBytes: machine.init.plan.capacityBytes },
      ...{ nodeNumber, generation: 0, holder: true, issuedMs },
    },
    [guestSigner(content, use), node, keys.signer, recovery.identity],
  );
  return [delegation, certificate];
}

/** As it is written there; the values are shared by all disks, and nobody writes into them. */
function rosterOnDisk(machine: SimMachine): MetaOp[] {
  const first = must(NAMESPACE.membership[0], "namespace");
  const range = { from: Uint8Array.of(first), to: Uint8Array.of(first + 1) };
  return machine.metaDisk
    .page(range, Number.POSITIVE_INFINITY)
    .map(([key, value]): MetaOp => ({ type: "put", key: Buffer.from(key, "latin1"), value }));
}

/** Decodes each entry once: a roster's entries are never written into, and a thousand nodes have the same. */
export function sharedEntries(): (bytes: Uint8Array) => RosterEntry {
  const known = new Map<string, RosterEntry>();
  return (bytes) => {
    const name = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
    const entry = known.get(name) ?? decodeEntry(bytes);
    known.set(name, entry);
    return entry;
  };
}
