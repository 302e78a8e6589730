import fc from "fast-check";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { DAY_MS, HOUR_MS } from "../../src/base/units.ts";
import { certifyAnew, endorse, invite, removeMember } from "../../src/membership/administer.ts";
import { type RosterEntry, signCertificate, signRemoval } from "../../src/membership/entry.ts";
import { Roster } from "../../src/membership/roster.ts";
import { delegated } from "../unit/membership/entries.ts";
import { keysOf, newSwarm, signer } from "../unit/membership/world.ts";

const [p, q] = [signer("p"), signer("q")];

/** What somebody with administrators' keys may try in an hour. */
const attempt = fc.record({
  hours: fc.integer({ min: 0, max: 9 }),
  what: fc.constantFrom("remove", "move", "endorse"),
  whom: fc.nat({ max: 20 }),
  signers: fc.constantFrom("p", "q", "pq"),
  /** The date that it bears: so long ago. */
  agoHours: fc.constantFrom(0, 0, 3, 30, 1000, 2000),
});

it("whatever is signed and dated, no more than a tenth goes a day, and nobody comes back by what is heard later", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 3, max: 21 }),
      fc.array(attempt, { minLength: 4, maxLength: 40 }),
      async (total, attempts) => {
        const swarm = await newSwarm({ administrators: [p, q] });
        const init = { site: "beta", expiresInMs: HOUR_MS, uses: total - 1, addresses: [] };
        const invitation = invite(swarm, { administrators: [p], ...init });
        const members = Array.from({ length: total - 1 }, (_, use) => ({ use, keys: keysOf(`m${use}`) }));
        for (const { use, keys } of members)
          await swarm.roster.applyAll(delegated(swarm, invitation, use, keys));
        const { roster, clock } = swarm;
        const peers = members.map(({ keys }) => must(roster.member(keys.peer), "member"));
        const perDay = Math.max(1, Math.floor(total / 10));
        const gone = new Set<string>();
        const sites = new Map(peers.map(({ peer, site }) => [peer, site]));
        const decidedMs: number[] = [];
        const look = (): void => {
          for (const { peer } of peers) {
            const site = roster.member(peer)?.site;
            if (gone.has(peer)) {
              expect(site).toBeUndefined();
            } else if (site === undefined) {
              gone.add(peer);
              decidedMs.push(clock.wallMs());
            } else if (site !== sites.get(peer)) {
              sites.set(peer, site);
              decidedMs.push(clock.wallMs());
            }
          }
        };
        const pass = async (hours: number): Promise<void> => {
          for (let hour = 0; hour < hours; hour++) {
            await clock.advance(HOUR_MS);
            look();
          }
        };
        const made: RosterEntry[] = [];
        // A certificate above a removal brings the node back, which is another decision.
        const named = new Set<string>();
        for (const [step, { hours, what, whom, signers: by, agoHours }] of attempts.entries()) {
          await pass(hours);
          // Nobody hears of two in one millisecond: those would be in the order of their hashes.
          await clock.advance(1);
          const signers = by === "pq" ? [p, q] : [by === "p" ? p : q];
          const member = must(peers[whom % peers.length], "member");
          const generation = roster.certificatesOf(member.owner)[0]?.body.generation ?? 0;
          const issuedMs = clock.wallMs() - agoHours * HOUR_MS;
          if (what === "remove") {
            const init = { administrators: signers, member, generation, reason: `${step}` };
            const { body } = removeMember(swarm, init);
            named.add(member.peer);
            made.push(signRemoval(swarm.swarm, { ...body, issuedMs, effectiveMs: issuedMs }, signers));
          } else if (what === "move" && !named.has(member.peer)) {
            const changes = { site: `site-${step}` };
            const { body } = certifyAnew(swarm, { administrators: signers, member, generation, changes });
            made.push(signCertificate(swarm.swarm, { ...body, issuedMs }, signers));
          } else if (made.length > 0) {
            const administrator = must(signers[0], "signer");
            made.push(endorse(swarm, { administrator, entries: [must(made.at(-1), "entry")] }));
          }
          const last = made.at(-1);
          if (last !== undefined) await roster.apply(last);
          look();
        }
        await pass(60);
        for (const [index, atMs] of decidedMs.entries()) {
          const next = decidedMs[index + perDay];
          if (next !== undefined) expect(next - atMs).toBeGreaterThanOrEqual(DAY_MS - HOUR_MS);
        }
        const again = must(await Roster.open(swarm), "roster");
        expect(again.members()).toEqual(roster.members());
        expect(again.pending()).toEqual(roster.pending());
      },
    ),
    { numRuns: 40 },
  );
});
