import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { Fault } from "../../../src/base/fault.ts";
import { incarnationOf } from "../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { HOUR_MS } from "../../../src/base/units.ts";
import { NO_INCARNATION, type Signed, signStatement } from "../../../src/crypto/signed.ts";
import { invite, removeMember } from "../../../src/membership/administer.ts";
import type { RecordType } from "../../../src/membership/record-rules.ts";
import { RecordStore } from "../../../src/membership/records.ts";
import { encodeSigned } from "../../../src/wire/signed.ts";
import { delegated } from "./entries.ts";
import { faultFrom, keysOf, MemoryStore, newSwarm, settle, signer } from "./world.ts";

const anyBody = { check: () => {} };

async function open() {
  const swarm = await newSwarm({ administrators: [signer("p"), signer("q")] });
  const store = new MemoryStore();
  const components = { store, roster: swarm.roster, log: SILENT_LOG };
  const init = {
    rules: {
      status: anyBody,
      incarnation: anyBody,
      map: { subkey: (body: Uint8Array) => body.subarray(0, 1) },
    },
  };
  const records = await RecordStore.open(components, init);
  const reopen = () => RecordStore.open(components, init);
  const say = (
    type: RecordType,
    epoch: number,
    body = "",
    { by = swarm.keys.owner, life = 1 }: { by?: ReturnType<typeof signer>; life?: number } = {},
  ): Signed => {
    const incarnation = incarnationOf(new Uint8Array(16).fill(type === "status" ? 0 : life));
    return signStatement({ type, swarm: swarm.swarm, incarnation, epoch, body: utf8(body) }, by);
  };
  const keyOf = ({ type, signer: by, incarnation }: Signed) => ({
    type: type as RecordType,
    signer: by,
    incarnation,
  });
  return { ...swarm, records, store, reopen, say, keyOf };
}

describe("records", () => {
  it("keep the newest of each key, over a restart, and never go back", async () => {
    const { records, reopen, say, keyOf } = await open();
    expect(await records.put(say("head", 3, "three"))).toBe("added");
    expect(await records.put(encodeSigned(say("head", 5, "five")))).toBe("added");
    expect(await records.put(say("head", 5, "five"))).toBe("known");
    for (const store of [records, await reopen()]) {
      const fault = await faultFrom(() => store.put(say("head", 4, "four")));
      expect(fault.detail).toMatchObject({ code: "RECORD_STALE", epoch: 4, knownEpoch: 5 });
      expect(Buffer.from(must(store.get(keyOf(say("head", 0))), "head").body).toString()).toBe("five");
      expect(store.versions(keyOf(say("head", 0)))).toHaveLength(1);
      expect(store.forks()).toEqual([]);
    }
  });

  it("keep what differs in type, life or subkey apart", async () => {
    const { records, say, keys } = await open();
    const all = [
      say("head", 1, "a"),
      say("live-set", 1, "a"),
      say("head", 1, "b", { life: 2 }),
      say("map", 1, "x1"),
      say("map", 1, "y1"),
      say("slot", 1, "s", { by: keys.recovery, life: 0 }),
    ];
    expect(await records.putAll(all)).toEqual(all.map(() => "added"));
    expect([...records.ofType("head")]).toHaveLength(2);
    expect([...records.ofType("map", keys.owner.publicKey)]).toHaveLength(2);
    expect([...records.ofType("map", keys.recovery.publicKey)]).toHaveLength(0);
    expect(records.forks()).toEqual([]);
  });

  it("keep both statements of a fork, report it, and remember it after a newer epoch", async () => {
    const { records, reopen, say, keyOf } = await open();
    const changes: boolean[] = [];
    records.onChange(({ forked }) => changes.push(forked));
    expect(await records.put(say("head", 7, "one"))).toBe("added");
    expect(await records.put(say("head", 7, "two"))).toBe("forked");
    expect(records.versions(keyOf(say("head", 0)))).toHaveLength(2);
    expect(await records.put(say("head", 8, "after"))).toBe("added");
    expect(changes).toEqual([false, true, false]);
    for (const store of [records, await reopen()]) {
      expect(store.versions(keyOf(say("head", 0)))).toHaveLength(1);
      const [fork] = store.forks();
      expect(fork?.epoch).toBe(7);
      expect(fork?.versions.map(({ body }) => Buffer.from(body).toString()).sort()).toEqual(["one", "two"]);
    }
  });

  it("keep the same two of many forks, whatever the order", async () => {
    const a = await open();
    const b = await open();
    const many = ["1", "2", "3", "4", "5"].map((body) => a.say("head", 1, body));
    await a.records.putAll(many);
    await b.records.putAll([...many].reverse());
    const bodies = (store: RecordStore) => store.versions(a.keyOf(a.say("head", 0))).map(({ body }) => body);
    expect(bodies(a.records)).toHaveLength(2);
    expect(bodies(a.records)).toEqual(bodies(b.records));
    const all = () => true;
    expect(a.records.view(all).items.digest()).toEqual(b.records.view(all).items.digest());
  });

  it("refuse a jump of more than 2^32 epochs", async () => {
    const { records, say } = await open();
    expect((await faultFrom(() => records.put(say("head", 2 ** 32 + 1)))).message).toContain("too far ahead");
    expect(await records.put(say("head", 2 ** 32))).toBe("added");
    expect((await faultFrom(() => records.put(say("head", 2 ** 33 + 1)))).message).toContain("too far ahead");
    expect(await records.put(say("head", 2 ** 33))).toBe("added");
  });

  it("refuse what is forged, of another swarm, of a signer with no standing, or malformed", async () => {
    const { records, say, keys, swarm } = await open();
    const other = await newSwarm({ name: "other", administrators: [signer("o")] });
    const head = say("head", 1, "x");
    const code = async (record: Signed | Uint8Array) => (await faultFrom(() => records.put(record))).code;
    expect(await code({ ...head, body: utf8("y") })).toBe("SIGNATURE_INVALID");
    expect(await code(signStatement({ ...head, swarm: other.swarm }, keys.owner))).toBe("SIGNATURE_INVALID");
    expect(await code(signStatement(head, signer("stranger")))).toBe("NOT_A_MEMBER");
    expect(await code(say("status", 1, "", { by: keys.owner }))).toBe("NOT_A_MEMBER");
    expect(await code(say("slot", 1, "", { by: keys.owner, life: 0 }))).toBe("NOT_A_MEMBER");
    expect(await code(say("slot", 1, "", { by: keys.recovery, life: 1 }))).toBe("FORMAT_INVALID");
    expect(await code(say("slot", 1, "x".repeat(5000), { by: keys.recovery, life: 0 }))).toBe(
      "FORMAT_INVALID",
    );
    expect(await code(Uint8Array.of(1))).toBe("FORMAT_INVALID");
    const receipt = signStatement(
      { type: "receipt", swarm, incarnation: NO_INCARNATION, epoch: 0, body: utf8("") },
      keys.node,
    );
    expect(await code(receipt)).toBe("FORMAT_INVALID");
  });

  it("bound how many keys one signer has", async () => {
    const { records, say } = await open();
    const lives = Array.from({ length: 256 }, (_, life) => say("incarnation", 1, "", { life }));
    expect(new Set((await records.putAll(lives)).map(String))).toEqual(new Set(["added"]));
    const bytes = new Uint8Array(16);
    bytes[0] = 1;
    const next = signStatement(
      { ...say("incarnation", 1), incarnation: incarnationOf(bytes) },
      (await open()).keys.owner,
    );
    expect((await faultFrom(() => records.put(next))).message).toContain("256 incarnation records");
    expect(await records.put(say("incarnation", 2, "", { life: 3 }))).toBe("added");
  });

  it("refuse an incarnation that nobody can read: holders look at it before every put", async () => {
    const { records, store, roster, say } = await open();
    const strict = await RecordStore.open({ store, roster, log: SILENT_LOG });
    const fault = await faultFrom(() => strict.put(say("incarnation", 1, "no such thing")));
    expect(fault.code).toBe("FORMAT_INVALID");
    expect([...records.ofType("incarnation")]).toEqual([]);
  });

  it("go when their signer goes, where the rule says so", async () => {
    const { records, roster, say, store, ...swarm } = await open();
    const invitation = invite(
      { ...swarm, roster },
      {
        administrators: swarm.administrators,
        site: "beta",
        expiresInMs: HOUR_MS,
        addresses: [],
      },
    );
    const second = keysOf("second");
    await roster.applyAll(delegated(swarm, invitation, 0, second));
    await records.putAll([
      say("status", 1, "", { by: second.node }),
      say("head", 1, "", { by: second.owner }),
    ]);
    const view = records.view(({ type }) => type === "status");
    const before = view.items.digest();
    const member = must(roster.member(second.peer), "member");
    await roster.apply(
      removeMember({ ...swarm, roster }, { administrators: swarm.administrators, member, reason: "" }),
    );
    const write = store.write.bind(store);
    store.write = async (ops, options) => {
      await write(ops, options);
      await settle(3);
    };
    let isPruned = false;
    const pruned = records.prune().then(() => {
      isPruned = true;
    });
    // Whoever asks meanwhile is told that there is none, or what there is.
    while (!isPruned) {
      for (const one of records.ofType("status")) expect(one.type).toBe("status");
      await new Promise((resolve) => setImmediate(resolve));
    }
    await pruned;
    expect([...records.ofType("status")]).toHaveLength(0);
    expect([...records.ofType("head")]).toHaveLength(1);
    expect(view.items.digest()).not.toEqual(before);
    expect((await faultFrom(() => records.put(say("status", 2, "", { by: second.node })))).code).toBe(
      "NOT_A_MEMBER",
    );
  });

  it("are not ahead of the disk when a write fails", async () => {
    const { records, store, say, keyOf } = await open();
    await records.put(say("head", 1, "a"));
    store.failNext = true;
    await expect(records.put(say("head", 2, "b"))).rejects.toBeInstanceOf(Fault);
    expect(records.epochOf(keyOf(say("head", 0)))).toBe(1);
    expect(await records.put(say("head", 2, "b"))).toBe("added");
  });

  it("give a signer who lost its records an epoch ahead of what others know", async () => {
    const { records, say, keyOf } = await open();
    const key = keyOf(say("head", 0));
    expect(records.nextEpoch(key, 1_800_000_000_123)).toBe(1_800_000_000);
    await records.put(say("head", 1_900_000_000));
    expect(records.nextEpoch(key, 1_800_000_000_123)).toBe(1_900_000_001);
  });

  it("check the status of nodes", async () => {
    const { roster, keys, say } = await open();
    const records = await RecordStore.open({ store: new MemoryStore(), roster, log: SILENT_LOG });
    const fault = await faultFrom(() => records.put(say("status", 1, "nonsense", { by: keys.node })));
    expect(fault.code).toBe("FORMAT_INVALID");
  });
});
