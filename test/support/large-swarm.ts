import type { PeerId } from "../../src/base/ids.ts";
import { DAY_MS } from "../../src/base/units.ts";
import { invite } from "../../src/membership/administer.ts";
import { Roster } from "../../src/membership/index.ts";
import type { Clock } from "../../src/ports/index.ts";
import { delegated } from "../unit/membership/entries.ts";
import { type Keys, keysOf, MemoryStore, newSwarm } from "../unit/membership/world.ts";

export type { Keys };

/** Members that one token lets in. */
const USES = 256;
const SITES = 10;

/** The roster of so many nodes at ten sites, and their keys. */
export async function largeSwarm(
  count: number,
  clock: Clock,
): Promise<{ readonly keys: readonly Keys[]; readonly roster: Roster; readonly peers: readonly PeerId[] }> {
  const swarm = await newSwarm();
  const entries: Uint8Array[] = [swarm.certificate.bytes];
  const keys: Keys[] = [swarm.keys];
  while (keys.length < count) {
    const invitation = invite(swarm, {
      administrators: swarm.administrators,
      site: `site-${Math.floor(keys.length / Math.ceil(count / SITES))}`,
      expiresInMs: DAY_MS,
      uses: Math.min(USES, Math.ceil(count / SITES)),
      addresses: [],
    });
    for (let use = 0; use < Math.ceil(count / SITES) && use < USES && keys.length < count; use++) {
      const own = keysOf(`node ${keys.length}`);
      keys.push(own);
      entries.push(...delegated(swarm, invitation, use, own).map((entry) => entry.bytes));
    }
  }
  const roster = await Roster.create(
    { store: new MemoryStore(), clock },
    { genesis: swarm.genesis.bytes, entries },
  );
  return { keys, roster, peers: keys.map(({ peer }) => peer) };
}
