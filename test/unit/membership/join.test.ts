import { describe, expect, it } from "vitest";
import { type PeerId, peerIdOf } from "../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { HOUR_MS } from "../../../src/base/units.ts";
import { invite } from "../../../src/membership/administer.ts";
import { joinSwarm } from "../../../src/membership/join.ts";
import { admitNewcomer } from "../../../src/membership/join-door.ts";
import { Roster } from "../../../src/membership/roster.ts";
import { guestSigner, parseToken } from "../../../src/membership/token.ts";
import { faultFrom, keysOf, MemoryNet, MemoryStore, newSwarm, signer } from "./world.ts";

async function door(uses = 1) {
  const swarm = await newSwarm();
  const net = new MemoryNet();
  const member = net.end(swarm.keys.peer, (peer) => swarm.roster.roleOf(peer));
  member.handle("join", admitNewcomer({ roster: swarm.roster, clock: swarm.clock, log: SILENT_LOG }));
  const invitation = invite(swarm, {
    administrators: swarm.administrators,
    site: "beta",
    expiresInMs: HOUR_MS,
    uses,
    addresses: [{ peer: swarm.keys.peer, address: "/ip4/10.0.0.1/tcp/4001" }],
  });
  await swarm.roster.applyAll(invitation.delegations);
  const token = parseToken(invitation.token);
  const guestEnd = (useIndex = 0) => net.end(peerIdOf(guestSigner(token, useIndex).publicKey));
  const join = (name: string, network = guestEnd(), changes: Partial<Parameters<typeof joinSwarm>[0]> = {}) =>
    joinSwarm({
      network,
      clock: swarm.clock,
      via: swarm.keys.peer,
      token,
      ...keysOf(name),
      name,
      host: `${name}.example`,
      capacityBytes: 5e9,
      ...changes,
    });
  return { ...swarm, net, token, join, guestEnd };
}

describe("joining", () => {
  it("makes a newcomer a member at both ends, on disk before the answer", async () => {
    const { roster, join, store, clock, keys } = await door();
    const syncedBefore = store.syncedWrites;
    const { genesis, entries, certificate } = await join("second");
    expect(store.syncedWrites).toBe(syncedBefore + 1);
    const second = keysOf("second");
    expect(roster.member(second.peer)).toMatchObject({ name: "second", site: "beta", holder: true });
    const own = await Roster.create({ store: new MemoryStore(), clock }, { genesis, entries });
    expect(
      own
        .members()
        .map((member) => member.peer)
        .sort(),
    ).toEqual([keys.peer, second.peer].sort());
    expect(own.digest()).toEqual(roster.digest());
    expect(certificate.body.issuedMs).toBe(clock.wallMs());
    const reopened = await Roster.open({ store, clock });
    expect(reopened?.roleOf(second.peer)).toBe("member");
  });

  it("gives the same admission again when the answer was lost", async () => {
    const { roster, join, guestEnd } = await door();
    const network = guestEnd();
    let answers = 0;
    network.intercept = (answer) => (++answers === 2 ? undefined : answer);
    expect((await faultFrom(() => join("second", network))).code).toBe("PEER_UNREACHABLE");
    const digest = roster.digest();
    network.intercept = undefined;
    const again = await join("second", network);
    expect(roster.digest()).toEqual(digest);
    expect(again.certificate.body.name).toBe("second");
  });

  it("refuses a second newcomer on a token with one use", async () => {
    const { join } = await door();
    await join("second");
    expect((await faultFrom(() => join("third"))).code).toBe("TOKEN_USED");
  });

  it("takes the next use when several newcomers come at once", async () => {
    const { roster, join, guestEnd } = await door(3);
    await Promise.all(["a", "b", "c"].map((name, use) => join(name, guestEnd(use))));
    expect(roster.members()).toHaveLength(4);
    expect(
      new Set(roster.members().map((member) => Buffer.from(member.nodeNumber).toString("hex"))).size,
    ).toBe(4);
    expect((await faultFrom(() => join("d"))).code).toBe("TOKEN_USED");
  });

  it("never takes back an admission because somebody else comes at the same moment", async () => {
    for (const [a, b] of [
      ["a", "b"],
      ["c", "d"],
      ["e", "f"],
      ["g", "h"],
      ["i", "j"],
    ] as const) {
      const { roster, join, guestEnd, store, ...swarm } = await door();
      const network = guestEnd();
      store.writeTurns = 50;
      let takenBack = 0;
      roster.onChange(({ dropped }) => (takenBack += dropped.length));
      const init = {
        administrators: swarm.administrators,
        site: "beta",
        expiresInMs: HOUR_MS,
        addresses: [],
      };
      const other = roster.applyAll(invite({ ...swarm, roster }, init).delegations);
      const outcomes = await Promise.all(
        [a, b].map((name) =>
          join(name, network).then(
            () => name,
            () => undefined,
          ),
        ),
      );
      await other;
      const admitted = outcomes.filter((name) => name !== undefined);
      expect({ takenBack, admitted: admitted.length }).toEqual({ takenBack: 0, admitted: 1 });
      expect(roster.members().map((member) => member.name)).toContain(admitted[0]);
    }
  });

  it("says that a token expired, whether or not the member still listens to its guest", async () => {
    const { join, clock } = await door();
    await clock.advance(HOUR_MS + 1);
    expect((await faultFrom(() => join("late"))).code).toBe("TOKEN_EXPIRED");
    await clock.advance(HOUR_MS);
    expect((await faultFrom(() => join("later"))).code).toBe("TOKEN_EXPIRED");
  });

  it("refuses keys that are in the swarm already", async () => {
    const { join, keys } = await door(2);
    const sameNode = await faultFrom(() => join("x", undefined, { node: keys.node }));
    expect(sameNode.message).toContain("member already");
    const sameOwner = await faultFrom(() => join("x", undefined, { owner: keys.owner }));
    expect(sameOwner.message).toContain("recover it instead");
  });

  it("believes no roster of another swarm", async () => {
    const { join, net, keys } = await door();
    const other = await newSwarm({ name: "other", administrators: [signer("someone else")] });
    const liar = net.end(keys.peer);
    liar.handle("join", async (from, message) => {
      const handler = admitNewcomer({
        roster: Object.assign(Object.create(null), {
          genesisBytes: other.roster.genesisBytes,
          sortedEntries: () => other.roster.sortedEntries(),
          delegations: () => [],
          delegationOfGuest: (_: PeerId) => ({
            body: { expiresMs: Number.MAX_SAFE_INTEGER, token: new Uint8Array(16) },
          }),
        }),
        clock: other.clock,
        log: SILENT_LOG,
      });
      return handler(from, message);
    });
    const fault = await faultFrom(() => join("second"));
    expect(fault.code).toBe("SIGNATURE_INVALID");
    expect(fault.message).toContain("another swarm");
  });
});
