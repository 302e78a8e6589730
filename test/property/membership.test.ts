import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { Fault } from "../../src/base/fault.ts";
import { incarnationOf, peerIdOf } from "../../src/base/ids.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import { HOUR_MS } from "../../src/base/units.ts";
import type { Signer } from "../../src/crypto/sign.ts";
import { type Signed, signStatement } from "../../src/crypto/signed.ts";
import { certifyAnew, endorse, invite, removeMember, withdraw } from "../../src/membership/administer.ts";
import { type CertificateEntry, type RosterEntry, signCertificate } from "../../src/membership/entry.ts";
import { RecordStore } from "../../src/membership/records.ts";
import { recoverCertificate } from "../../src/membership/recovery-door.ts";
import { Roster } from "../../src/membership/roster.ts";
import { Rotations } from "../../src/membership/rotations.ts";
import { changeAdministrators } from "../../src/membership/succession.ts";
import { encodeToken, parseToken } from "../../src/membership/token.ts";
import { rosterEntryCodec } from "../../src/wire/membership.ts";
import { delegated, newcomer, rotated } from "../unit/membership/entries.ts";
import { keysOf, MemoryStore, newSwarm, signer } from "../unit/membership/world.ts";

/** Entries with every kind of quarrel: uses taken twice, recoveries of both, removals, changes by administrators. */
async function quarrels() {
  const swarm = await newSwarm({ administrators: [signer("p"), signer("q")] });
  const invitation = invite(swarm, {
    administrators: swarm.administrators,
    site: "beta",
    expiresInMs: HOUR_MS,
    uses: 3,
    addresses: [],
  });
  const entries: RosterEntry[] = [swarm.certificate];
  for (const [use, names] of [
    ["a", "b"],
    ["c", "d"],
    ["a", "e"],
  ].entries()) {
    for (const name of names) {
      const keys = keysOf(name);
      const pair = delegated(swarm, invitation, use, keys);
      entries.push(...pair);
      const book = { swarm: swarm.swarm, certificatesOf: () => [pair[1]], rotations: new Rotations() };
      for (let generation = 1; generation <= 6; generation += use === 0 ? 1 : 3) {
        const init = {
          recovery: keys.recovery,
          node: signer(`${name} node ${generation}`),
          owner: keys.owner.publicKey,
          nowMs: swarm.clock.wallMs(),
          description: { name, host: name, capacityBytes: 1 },
        };
        const { body } = recoverCertificate({ book, rng: swarm.rng }, init);
        entries.push(signCertificate(swarm.swarm, { ...body, generation }, [keys.recovery, init.node]));
      }
      entries.push(...replacedKeys(swarm, pair[1], keys, name));
    }
  }
  entries.push(newcomer(swarm, invitation, 1, keysOf("a"), { name: "again" }));
  const member = must(swarm.roster.member(swarm.keys.peer), "first");
  const { administrators } = swarm;
  entries.push(certifyAnew(swarm, { administrators, member, changes: { name: "renamed" } }));
  entries.push(certifyAnew(swarm, { administrators, member, changes: { site: "gamma" } }));
  const removal = removeMember(swarm, { administrators: administrators.slice(0, 1), member, reason: "gone" });
  entries.push(removal, endorse(swarm, { administrator: must(administrators[1], "q"), entries: [removal] }));
  entries.push(...(await successions(swarm, entries)));
  return { ...swarm, entries: [...new Map(entries.map((entry) => [toHex(entry.hash), entry])).values()] };
}

/** Recovery keys in a row, two rivals for one of them, and a recovery by the last. */
function replacedKeys(
  swarm: Awaited<ReturnType<typeof newSwarm>>,
  certificate: CertificateEntry,
  keys: ReturnType<typeof keysOf>,
  name: string,
): RosterEntry[] {
  const [second, third, rival] = ["second", "third", "rival"].map((key) => signer(`${name} ${key} key`));
  const by = { node: keys.node, owner: keys.owner };
  const make = (from: Signer, to: Signer | undefined, number: number) =>
    rotated(swarm, certificate, { ...by, from, to: must(to, "key"), number });
  const one = make(keys.recovery, second, 1);
  const two = make(must(second, "key"), third, 2);
  const other = make(keys.recovery, rival, 1);
  const node = signer(`${name} node by a later key`);
  const { body } = certificate;
  if (body.by !== "delegation") return [one, two, other];
  const { delegation: _, ...fields } = body;
  const recovered = signCertificate(
    swarm.swarm,
    {
      ...fields,
      ...{ by: "recovery", rotation: two.hash, recovery: two.body.recovery, generation: 9, holder: false },
      peer: peerIdOf(node.publicKey),
    },
    [must(third, "key"), node],
  );
  return [one, two, other, recovered];
}

/** Two changes of the administrators in a row, a rival of each, and what those signed who came and went. */
async function successions(
  swarm: Awaited<ReturnType<typeof newSwarm>>,
  entries: readonly RosterEntry[],
): Promise<RosterEntry[]> {
  const [p, q, r] = [signer("p"), signer("q"), signer("r")];
  const roster = await Roster.create(
    { store: new MemoryStore(), clock: swarm.clock },
    { genesis: swarm.genesis.bytes },
  );
  for (let round = 0; round < 4; round++) await roster.applyAll(entries);
  const made: RosterEntry[] = [];
  const succeed = async (by: Signer, next: readonly Signer[]): Promise<void> => {
    const keys = next.map(({ publicKey }) => publicKey);
    const components = { roster, clock: swarm.clock };
    const rival = changeAdministrators(components, {
      administrators: [q],
      keys: [q.publicKey],
      threshold: 1,
    });
    const { lists, change } = changeAdministrators(components, { administrators: [by], keys, threshold: 1 });
    await roster.applyAll([...lists, change]);
    made.push(...rival.lists, rival.change, ...lists, change);
    const init = { site: "gamma", expiresInMs: HOUR_MS, uses: 1, addresses: [] };
    for (const administrator of [p, q, r]) {
      made.push(...invite({ ...swarm, roster }, { administrators: [administrator], ...init }).delegations);
    }
  };
  await succeed(p, [p, q, r]);
  const spared = roster.members().find(({ peer }) => peer !== swarm.keys.peer);
  const second = removeMember(swarm, { administrators: [r], member: must(spared, "member"), reason: "" });
  made.push(second, withdraw(swarm, { administrators: [r], entry: second.hash }));
  await roster.applyAll(made);
  await succeed(p, [r, q]);
  await succeed(r, [r]);
  return made;
}

describe("rosters", () => {
  // Goal: which entries a roster holds does not depend on the order in which it heard them.
  // Method: offer the same entries in two drawn orders, again and again until nothing changes any more.
  it("converge to the same, whatever the order", async () => {
    const { entries, genesis, clock } = await quarrels();
    const hear = async (order: readonly RosterEntry[]): Promise<Roster> => {
      const roster = await Roster.create({ store: new MemoryStore(), clock }, { genesis: genesis.bytes });
      for (let digest = ""; digest !== toHex(roster.digest()); ) {
        digest = toHex(roster.digest());
        await roster.applyAll(order);
      }
      return roster;
    };
    const reference = await hear(entries);
    expect(reference.entries().length).toBeGreaterThan(15);
    expect(reference.administrators().number).toBe(3);
    expect(reference.rotations.inForce().length).toBeGreaterThan(0);
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(entries, { minLength: entries.length }), async (order) => {
        const roster = await hear(order);
        expect(roster.digest()).toEqual(reference.digest());
        expect(roster.members()).toEqual(reference.members());
        expect(roster.administrators()).toEqual(reference.administrators());
      }),
      { numRuns: 25 },
    );
  });

  // Goal: two that heard different parts agree once each has heard the other's, however it was cut short.
  it("agree after telling each other what they hold", async () => {
    const { entries, genesis, clock } = await quarrels();
    await fc.assert(
      fc.asyncProperty(fc.subarray(entries), fc.subarray(entries), async (left, right) => {
        const make = () => Roster.create({ store: new MemoryStore(), clock }, { genesis: genesis.bytes });
        const [a, b] = [await make(), await make()];
        await a.applyAll(left);
        await b.applyAll(right);
        for (let round = 0; round < 3; round++) {
          await a.applyAll(b.entries());
          await b.applyAll(a.entries());
        }
        expect(a.digest()).toEqual(b.digest());
        const copy = await make();
        await copy.applyAll(a.entries());
        expect(copy.digest()).toEqual(a.digest());
      }),
      { numRuns: 25 },
    );
  });

  it("refuse every change of a byte with a fault, and take nothing", async () => {
    const { entries, genesis, clock } = await quarrels();
    const roster = await Roster.create({ store: new MemoryStore(), clock }, { genesis: genesis.bytes });
    await roster.applyAll(entries.filter((entry) => entry.type === "delegation"));
    const digest = roster.digest();
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...entries),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (entry, at, flip) => {
          fc.pre(entry.type !== "delegation");
          const bytes = entry.bytes.slice();
          const position = at % bytes.length;
          bytes[position] = must(bytes[position], "byte") ^ flip;
          const [outcome] = await roster.applyAll([bytes]);
          expect(outcome).toBeInstanceOf(Fault);
          expect(roster.digest()).toEqual(digest);
        },
      ),
      { numRuns: 400 },
    );
  });

  it("answer any bytes with a fault", async () => {
    const { roster } = await newSwarm();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        expect((await roster.applyAll([bytes]))[0]).toBeInstanceOf(Fault);
      }),
    );
    const envelope = rosterEntryCodec.decode(roster.genesisBytes);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(
          "delegation" as const,
          "certificate" as const,
          "removal" as const,
          "genesis" as const,
        ),
        fc.uint8Array({ maxLength: 100 }),
        async (type, body) => {
          const bytes = rosterEntryCodec.encode({ ...envelope, type, body });
          expect((await roster.applyAll([bytes]))[0]).toBeInstanceOf(Fault);
        },
      ),
    );
  });
});

describe("tokens", () => {
  it("come back as they were, or are refused as invalid", () => {
    const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
    const valid = fc.record({ seed: bytes32, uses: fc.integer({ min: 1, max: 256 }), expiresMs: fc.nat() });
    fc.assert(
      fc.property(valid, fc.nat(), fc.string({ maxLength: 3 }), fc.nat({ max: 5 }), (drawn, at, put, cut) => {
        const token = { swarm: swarmOfTokens, site: "s", addresses: [], ...drawn };
        const text = encodeToken(token);
        expect(parseToken(text)).toEqual(token);
        const place = at % text.length;
        const changed = text.slice(0, place) + put + text.slice(place + cut);
        try {
          expect(parseToken(changed)).toEqual(token);
          expect(changed.replaceAll(/\s/g, "")).toBe(text);
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          expect(error.code).toBe("TOKEN_INVALID");
        }
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (text) => {
        expect(() => parseToken(`cairn1-${text}`)).toThrow(Fault);
      }),
    );
  });
});

describe("records", () => {
  // Goal: the newest epoch stays, nothing goes back, and two stores that heard the same hold the same.
  it("never go back and converge, whatever the order", async () => {
    const swarm = await newSwarm();
    const made = new Map<string, Signed>();
    const say = (epoch: number, text: string, life: number): Signed => {
      const name = `${epoch}/${text}/${life}`;
      const incarnation = incarnationOf(new Uint8Array(16).fill(life));
      const statement = { type: "head" as const, swarm: swarm.swarm, incarnation, epoch, body: utf8(text) };
      const signed = made.get(name) ?? signStatement(statement, swarm.keys.owner);
      made.set(name, signed);
      return signed;
    };
    const drawn = fc.record({
      epoch: fc.integer({ min: 0, max: 5 }),
      text: fc.constantFrom("a", "b", "c"),
      life: fc.integer({ min: 1, max: 2 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(drawn, { maxLength: 20 }),
        fc.infiniteStream(fc.nat()),
        async (list, draws) => {
          const all = list.map(({ epoch, text, life }) => say(epoch, text, life));
          const shuffled = all
            .map((record) => ({ record, at: must(draws.next().value, "draw") }))
            .sort((x, y) => x.at - y.at)
            .map(({ record }) => record);
          const open = () =>
            RecordStore.open({ store: new MemoryStore(), roster: swarm.roster, log: SILENT_LOG });
          const [one, many] = [await open(), await open()];
          const newest = new Map<string, number>();
          for (const record of shuffled) {
            await one.put(record).catch((error: unknown) => expect(error).toBeInstanceOf(Fault));
            const key = { type: "head" as const, signer: record.signer, incarnation: record.incarnation };
            const epoch = must(one.epochOf(key), "epoch");
            expect(epoch).toBeGreaterThanOrEqual(newest.get(record.incarnation) ?? 0);
            newest.set(record.incarnation, epoch);
          }
          await many.putAll(all);
          const digest = (store: RecordStore) => store.view(() => true).items.digest();
          expect(digest(one)).toEqual(digest(many));
        },
      ),
      { numRuns: 60 },
    );
  });
});

const swarmOfTokens = (await newSwarm()).swarm;
