import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { swarmIdOf } from "../../src/base/ids.ts";
import { BOX_RANDOM_BYTES, sealBox } from "../../src/crypto/box.ts";
import { signStatement } from "../../src/crypto/signed.ts";
import { headContext } from "../../src/exchange/index.ts";
import { forksOf } from "../../src/node/index.ts";
import { headBody, headPayload } from "../../src/wire/head.ts";
import { decodeSigned, encodeSigned } from "../../src/wire/signed.ts";
import { letLie } from "../support/liars.ts";
import { beginRecovery, recoverOnto } from "../support/recover.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree, put } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

// A recovery among members that are out of date, silent, or lie. One member alone never decides.

const scratch = scratchDirectories();
const NINE = ["a", "a", "a", "b", "b", "b", "c", "c", "c"];

async function swarmWithTwoSnapshots(
  between: (swarm: Swarm, owner: Machine) => Promise<void> = async () => {},
): Promise<{ swarm: Swarm; owner: Machine; first: string; second: string }> {
  const swarm = await Swarm.create({ sites: NINE });
  const owner = swarm.member(1);
  const root = scratch();
  const first = buildPlainTree(join(root, "first"), swarm.rng, 12);
  const second = buildPlainTree(join(root, "second"), swarm.rng, 12);
  await swarm.clock.during(owner.snapshot([first]));
  await between(swarm, owner);
  await swarm.clock.during(owner.snapshot([second]));
  await swarm.settle();
  return { swarm, owner, first, second };
}

async function expectRestores(swarm: Swarm, owner: Machine, source: string): Promise<void> {
  const target = scratch();
  const entry = (await owner.node.repository.snapshots()).find(({ paths }) =>
    paths.some((path) => Buffer.from(path).toString() === source),
  );
  const { report } = await swarm.clock.during(
    owner.restore(target, { snapshot: must(entry, `snapshot of ${source}`) }),
  );
  expect(report.problems).toEqual([]);
  await expectSameTree(source, target + source);
}

function begin(swarm: Swarm, owner: Machine, via: Machine) {
  const onto = swarm.newMachine("fresh", "a");
  return swarm.clock.during(beginRecovery(onto, owner.identity.recovery, via));
}

/** A head that somebody with the owner's key signs. */
function forgedHead(owner: Machine, of: Uint8Array, change: { epoch?: number; timeMs?: number }): Uint8Array {
  const signed = decodeSigned(of);
  const body = headBody.decode(signed.body);
  const { type, swarm, incarnation } = signed;
  const epoch = change.epoch ?? signed.epoch;
  const changed = headBody.encode({ ...body, timeMs: change.timeMs ?? body.timeMs });
  return encodeSigned(
    signStatement({ type, swarm, incarnation, epoch, body: changed }, owner.identity.keys.signer),
  );
}

it("a first member with an old head does not hide the newest, which the others have", async () => {
  let stale: Machine | undefined;
  const { swarm, owner } = await swarmWithTwoSnapshots(async (made) => {
    stale = made.member(5);
    await stale.stop();
    await made.clock.advance(600_000);
  });
  owner.crash();
  const via = must(stale, "stale member");
  await via.start();
  await swarm.settle();
  const { pool } = await begin(swarm, owner, via);
  const [newest, ...older] = pool.heads;
  expect(must(newest, "newest head").keepers).not.toContain(via.peer);
  expect(must(newest, "newest head").keepers.length).toBeGreaterThan(3);
  expect(older.some(({ keepers }) => keepers.includes(via.peer))).toBe(true);
  expect(pool.answered).toBe(8);
  await swarm.stop();
});

it("a first member that hides the newest head and all older ones is one voice of many", async () => {
  const { swarm, owner } = await swarmWithTwoSnapshots();
  owner.crash();
  const via = swarm.member(5);
  letLie(via, {
    data: (_, answer) => (answer.t === "records" ? { ...answer, records: [] } : answer),
    recover: (_, answer) => (answer.t === "heads" ? { ...answer, heads: [] } : answer),
  });
  const { pool } = await begin(swarm, owner, via);
  expect(pool.heads.length).toBe(2);
  expect(must(pool.heads[0], "newest head").keepers).not.toContain(via.peer);
  await swarm.stop();
});

it("a first member with an old roster and pool is completed by the others", async () => {
  let early: ReadonlySet<string> = new Set();
  const { swarm, owner } = await swarmWithTwoSnapshots(async (made) => {
    early = new Set(made.member(5).node.roster.entries().map(toHex));
    for (const site of ["a", "b", "c"]) {
      const late = made.newMachine(`late-${site}`, site);
      await late.join(made.member(0));
      made.members.push(late);
      await late.start();
    }
    await made.settle();
  });
  owner.crash();
  const via = swarm.member(5);
  const late = swarm.members.slice(9).map(({ peer }) => peer);
  letLie(via, {
    recover: (_, answer) => {
      if (answer.t === "pool")
        return { ...answer, peers: answer.peers.filter(({ peer }) => !late.includes(peer)) };
      if (answer.t !== "welcome") return answer;
      const entries = answer.page.entries.filter((entry) => early.has(toHex(entry)));
      return { ...answer, page: { ...answer.page, entries } };
    },
  });
  const { recovery, pool } = await begin(swarm, owner, via);
  expect(pool.asked).toBe(11);
  for (const peer of late) expect(pool.answering).toContain(peer);
  expect(recovery.roster().entries.length).toBeGreaterThan(early.size);
  expect(pool.lies).toEqual([]);
  await swarm.stop();
});

it("a roster of another swarm is refused; forged entries of one are left out, said, and keep nothing else out", async () => {
  const { swarm, owner } = await swarmWithTwoSnapshots();
  const other = await Swarm.create({ sites: ["a", "b"], seed: "other" });
  owner.crash();
  const via = swarm.member(5);
  const foreign = other.member(0).node.roster;
  letLie(via, {
    recover: (_, answer) =>
      answer.t === "welcome"
        ? { ...answer, page: { genesis: foreign.genesisBytes, entries: foreign.entries() } }
        : answer,
  });
  await expect(begin(swarm, owner, via)).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
  const flipped = (entry: Uint8Array): Uint8Array => {
    const copy = entry.slice();
    copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1;
    return copy;
  };
  letLie(via, {
    recover: (_, answer) =>
      answer.t === "welcome"
        ? { ...answer, page: { ...answer.page, entries: answer.page.entries.map(flipped) } }
        : answer,
  });
  const { pool } = await begin(swarm, owner, via);
  expect(pool.lies.join(" ")).toMatch(/roster entries that are not signed/);
  expect(pool.answered).toBe(8);
  expect(pool.heads.length).toBe(2);
  await other.stop();
  await swarm.stop();
});

it("heads that leap ahead are shown and not chosen, whoever signed them; one that no number holds is no answer", async () => {
  const { swarm, owner } = await swarmWithTwoSnapshots();
  owner.crash();
  const via = swarm.member(5);
  letLie(via, {
    data: (_, answer) => {
      if (answer.t !== "records") return answer;
      const head = must(
        answer.records.find((record) => decodeSigned(record).type === "head"),
        "head",
      );
      const epoch = decodeSigned(head).epoch + 2 ** 32 + 1;
      return { ...answer, records: [...answer.records, forgedHead(owner, head, { epoch })] };
    },
  });
  const other = swarm.member(7);
  letLie(other, {
    data: (_, answer) => {
      if (answer.t !== "records") return answer;
      // 2^32 as CBOR, which becomes 2^64 - 1: more than any epoch may be.
      const head = forgedHead(owner, must(answer.records[0], "record"), { epoch: 2 ** 32 });
      const at = Buffer.from(head).indexOf(Buffer.from("1b0000000100000000", "hex"));
      expect(at).toBeGreaterThan(0);
      head.fill(255, at + 1, at + 9);
      return { ...answer, records: [head] };
    },
  });
  const { pool } = await begin(swarm, owner, via);
  expect(pool.leaps.map(({ keepers }) => keepers)).toEqual([[via.peer]]);
  expect(pool.heads.length).toBe(2);
  expect(must(pool.heads[0], "newest head").signed.epoch).toBeLessThan(10);
  expect(pool.silent.map(({ peer }) => peer)).toEqual([other.peer]);
  await swarm.stop();
});

it("two heads of one life and epoch at different members are both shown", async () => {
  const { swarm, owner } = await swarmWithTwoSnapshots();
  owner.crash();
  const via = swarm.member(5);
  const change = { timeMs: 1_700_000_000_000 };
  letLie(via, {
    data: (_, answer) =>
      answer.t === "records"
        ? {
            ...answer,
            records: answer.records.map((record) =>
              decodeSigned(record).type === "head" ? forgedHead(owner, record, change) : record,
            ),
          }
        : answer,
    recover: (_, answer) => (answer.t === "heads" ? { ...answer, heads: [] } : answer),
  });
  const { pool } = await begin(swarm, owner, via);
  const newest = must(pool.heads[0], "newest head");
  const forks = forksOf(pool.heads, newest);
  expect(forks.length).toBe(1);
  const times = [newest, ...forks].map(({ body }) => body.timeMs);
  expect(times).toContain(change.timeMs);
  await swarm.stop();
});

it("an empty head signed by a thief of the owner's key takes no snapshot off the list, nor out of reach", async () => {
  const { swarm, owner, first, second } = await swarmWithTwoSnapshots();
  const { catalog } = owner.node.repository;
  const before = await catalog.snapshots();
  // The thief's program knows of nothing that was there.
  await catalog.store.write(
    before.flatMap(({ sequence }) => catalog.removeSnapshotOps(sequence)),
    { sync: true },
  );
  await catalog.update({ runs: [], snapshotPages: [] });
  await swarm.clock.during(owner.snapshot([put(scratch(), "junk", "x")]));
  owner.crash();
  const fresh = swarm.newMachine("fresh", "a");
  const { pool, imported } = await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(5)));
  expect(pool.heads.length).toBe(3);
  expect(imported.rescued.map(({ entry }) => toHex(entry.id)).sort()).toEqual(
    before.map(({ id }) => toHex(id)).sort(),
  );
  expect((await fresh.node.repository.snapshots()).length).toBe(3);
  await expectRestores(swarm, fresh, first);
  await expectRestores(swarm, fresh, second);
  // And from then on they are listed as any other: the next life finds them without older heads.
  await swarm.clock.during(fresh.snapshot([first]));
  await swarm.settle();
  fresh.crash();
  const third = swarm.newMachine("third", "b");
  const again = await swarm.clock.during(recoverOnto(third, owner, swarm.member(6)));
  expect(again.imported.rescued).toEqual([]);
  expect((await third.node.repository.snapshots()).length).toBe(4);
  await expectRestores(swarm, third, second);
  await swarm.stop();
});

it("a head of invented lives, signed by a thief of the owner's key, leaves it open which is the owner's", async () => {
  const { swarm, owner } = await swarmWithTwoSnapshots();
  owner.crash();
  const before = await begin(swarm, owner, swarm.member(5));
  const real = must(before.pool.heads[0], "head");
  expect(before.recovery.isContested(real, before.pool.heads)).toBe(false);
  const { metadataKey, signer, owner: id } = owner.identity.keys;
  const life = before.recovery.newIncarnation();
  const payload = headPayload.encode({ ...before.recovery.open(real), incarnations: [life] });
  const body = headBody.encode({
    ...real.body,
    payload: sealBox(metadataKey, payload, headContext(id), swarm.rng.bytes(BOX_RANDOM_BYTES)),
  });
  const { type, swarm: of, epoch } = real.signed;
  const stolen = signStatement({ type, swarm: of, incarnation: life, epoch: epoch + 5, body }, signer);
  letLie(swarm.member(6), {
    data: (_, answer) =>
      answer.t === "records" ? { ...answer, records: [...answer.records, encodeSigned(stolen)] } : answer,
  });
  const { recovery, pool } = await begin(swarm, owner, swarm.member(5));
  const first = must(pool.heads[0], "head");
  expect(first.signed.incarnation).toBe(life);
  expect(recovery.isContested(first, pool.heads)).toBe(true);
  await swarm.stop();
});

it("going back to an older head by name leaves out what only the newer one lists", async () => {
  const { swarm, owner, first } = await swarmWithTwoSnapshots();
  owner.crash();
  const { pool } = await begin(swarm, owner, swarm.member(5));
  const fresh = swarm.newMachine("other", "a");
  const older = must(pool.heads[1], "older head");
  const { imported } = await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(5), older.id));
  expect(imported.rescued).toEqual([]);
  expect((await fresh.node.repository.snapshots()).length).toBe(1);
  await expectRestores(swarm, fresh, first);
  await swarm.stop();
});

it("members that hang cost a recovery seconds, not half a minute each", async () => {
  const { swarm, owner, first } = await swarmWithTwoSnapshots();
  owner.crash();
  for (const index of [3, 4, 8]) swarm.networks.hang(swarm.member(index).peer, true);
  const fresh = swarm.newMachine("fresh", "a");
  const startMs = swarm.clock.monotonicMs();
  const { pool } = await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(5)));
  expect(swarm.clock.monotonicMs() - startMs).toBeLessThan(60_000);
  expect(pool.answered).toBe(5);
  expect(pool.silent.map(({ name }) => name).sort()).toEqual(["node3", "node4", "node8"]);
  await expectRestores(swarm, fresh, first);
  await swarm.stop();
});

it("a member that answers with wrong bytes is passed over", async () => {
  const { swarm, owner, first, second } = await swarmWithTwoSnapshots();
  owner.crash();
  for (const index of [3, 7]) {
    letLie(swarm.member(index), { body: (_, body) => body.map((byte, i) => (i === 7 ? byte ^ 1 : byte)) });
  }
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(3)));
  await expectRestores(swarm, fresh, first);
  await expectRestores(swarm, fresh, second);
  await swarm.stop();
});

it("a member whose roster has no end is given up, first or not", async () => {
  const { swarm, owner } = await swarmWithTwoSnapshots();
  owner.crash();
  const endless = swarm.member(5);
  let pages = 0;
  letLie(endless, {
    recover: (request, answer) => {
      if (answer.t !== "welcome" || request.t !== "hello") return answer;
      const next = (request.page.after ?? new Uint8Array(33)).slice();
      if (next.every((byte) => byte === 255)) return answer;
      pages++;
      new DataView(next.buffer, next.byteOffset).setUint32(4, pages);
      const [entry] = swarm.member(0).node.roster.entries();
      return { ...answer, page: { ...answer.page, entries: [must(entry, "entry")], next } };
    },
  });
  await expect(begin(swarm, owner, endless)).rejects.toMatchObject({ code: "PEER_PROTOCOL" });
  expect(pages).toBeLessThan(1100);
  const { pool } = await begin(swarm, owner, swarm.member(2));
  expect(pool.answered).toBe(8);
  expect(pool.heads.length).toBe(2);
  await swarm.stop();
});

it("records of another swarm, or that the owner has not signed, do not count", async () => {
  const { swarm, owner } = await swarmWithTwoSnapshots();
  owner.crash();
  const via = swarm.member(5);
  const stranger = swarm.member(6).identity.keys.signer;
  letLie(via, {
    data: (_, answer) => {
      if (answer.t !== "records") return answer;
      const { type, swarm: of, incarnation, epoch, body } = decodeSigned(must(answer.records[0], "record"));
      const elsewhere = swarmIdOf(new Uint8Array(32).fill(9));
      const forged = [
        signStatement({ type, swarm: of, incarnation, epoch: epoch + 5, body }, stranger),
        signStatement(
          { type, swarm: elsewhere, incarnation, epoch: epoch + 6, body },
          owner.identity.keys.signer,
        ),
      ];
      return { ...answer, records: [...answer.records, ...forged.map(encodeSigned)] };
    },
  });
  const { pool } = await begin(swarm, owner, via);
  expect(pool.heads.length).toBe(2);
  expect(pool.lies.join(" ")).toMatch(/2 records that the owner did not sign/);
  await swarm.stop();
});
