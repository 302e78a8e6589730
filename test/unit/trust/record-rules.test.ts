import { describe, expect, it } from "vitest";
import { type PeerId, peerIdOf } from "../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import { RecordStore } from "../../../src/membership/index.ts";
import { TRUST_RECORD_RULES, wordOf } from "../../../src/trust/index.ts";
import { DOUBT_VALID_MS } from "../../../src/upkeep/index.ts";
import { CONVICTION_KEPT_MS, DOUBT_KEPT_MS } from "../../../src/wire/trust.ts";
import { clearanceRecord, convictionRecord, doubtRecord, Guilt } from "../../support/trust.ts";
import { faultFrom, MemoryStore, newSwarm, signer } from "../membership/world.ts";

async function open() {
  const administrators = [signer("p"), signer("q")];
  const swarm = await newSwarm({ administrators });
  const store = new MemoryStore();
  const { clock } = swarm;
  const opened = () =>
    RecordStore.open({ store, roster: swarm.roster, clock, log: SILENT_LOG }, { rules: TRUST_RECORD_RULES });
  const guilt = new Guilt(swarm.swarm);
  return { ...swarm, records: await opened(), opened, guilt, nowMs: clock.wallMs(), administrators };
}

const someone = (name: string): PeerId => peerIdOf(signer(name).publicKey);

describe("a conviction record", () => {
  it("is taken from any member for one wrong answer, or for three shards denied in one statement", async () => {
    const { records, swarm, keys, guilt, nowMs, clock } = await open();
    const convict = (evidence: Uint8Array[], timeMs = clock.wallMs()) =>
      records.put(convictionRecord(swarm, keys.node, { target: guilt.peer, timeMs, evidence }));
    const denials = guilt.denials([1, 2, 3], { others: 9 });
    for (const tooLittle of [
      denials.slice(0, 2),
      [1, 2, 3].map((number) => guilt.denied(number)),
      [denials[0], denials[0], denials[1]].flatMap((one) => one ?? []),
      [...denials.slice(0, 2), guilt.wrong()],
      // A few bad spots among what it has, and what it had said by itself.
      guilt.denials([1, 2, 3], { others: 10 }),
      guilt.denials([1, 2, 3], { told: true }),
    ])
      expect((await faultFrom(() => convict(tooLittle))).code).toBe("FORMAT_INVALID");
    expect(await convict(denials, nowMs)).toBe("added");
    await clock.advance(HOUR_MS);
    expect(await convict([guilt.wrong()])).toBe("added");
  });

  it("convicts nobody else, in no other swarm, and not from the future", async () => {
    const { records, swarm, keys, guilt, nowMs } = await open();
    const put = (said: { target: PeerId; timeMs: number; evidence: Uint8Array[] }) =>
      faultFrom(() => records.put(convictionRecord(swarm, keys.node, said)));
    const evidence = [guilt.wrong()];
    expect((await put({ target: someone("else"), timeMs: nowMs, evidence })).code).toBe("FORMAT_INVALID");
    const elsewhere = [new Guilt().wrong()];
    expect((await put({ target: guilt.peer, timeMs: nowMs, evidence: elsewhere })).code).toBe(
      "SIGNATURE_INVALID",
    );
    const early = { target: guilt.peer, timeMs: nowMs + HOUR_MS, evidence };
    expect((await put(early)).code).toBe("NOT_ALLOWED");
    const cut = [evidence[0]?.slice(0, -1) ?? new Uint8Array()];
    expect((await put({ target: guilt.peer, timeMs: nowMs, evidence: cut })).code).toBe("FORMAT_INVALID");
  });

  it("has the epoch of its hour, so that one signer cannot flood everybody with new ones", async () => {
    const { records, swarm, keys, guilt, nowMs } = await open();
    const said = { target: guilt.peer, timeMs: nowMs, evidence: [guilt.wrong()] };
    const epoch = Math.floor(nowMs / HOUR_MS) + 1;
    const fault = await faultFrom(() => records.put(convictionRecord(swarm, keys.node, said, epoch)));
    expect(fault.code).toBe("FORMAT_INVALID");
  });

  it("never counts as newer than the words it shows", async () => {
    const { swarm, keys, guilt } = await open();
    const word = (evidence: Uint8Array[], timeMs: number) =>
      wordOf({
        ...convictionRecord(swarm, keys.node, { target: guilt.peer, timeMs, evidence }),
        type: "conviction",
      });
    expect(word([guilt.wrong(5000)], 9 * DAY_MS).atMs).toBe(5000);
    expect(word([guilt.wrong(9 * DAY_MS)], 5000).atMs).toBe(5000);
    expect(word([guilt.wrong(5000)], 9000).untilMs).toBe(9000 + CONVICTION_KEPT_MS);
  });
});

describe("doubts", () => {
  it("of one signer are bounded by number, each said at most once a minute, and fade", async () => {
    const { records, opened, swarm, keys, nowMs, clock } = await open();
    const say = (target: PeerId, timeMs = nowMs) =>
      records.putAll([doubtRecord(swarm, keys.node, { target, timeMs })]);
    for (let i = 0; i < 64; i++) expect(await say(someone(`target ${i}`))).toEqual(["added"]);
    for (let i = 64; i < 200; i++)
      expect(await say(someone(`target ${i}`))).toMatchObject([{ code: "NOT_ALLOWED" }]);
    expect([...records.ofType("doubt")]).toHaveLength(64);
    // Known by its epoch: another one of that minute is a fork, which everybody sees.
    const minuteMs = nowMs - (nowMs % MINUTE_MS);
    const other = await say(someone("target 1"), minuteMs + ((nowMs - minuteMs + 1) % MINUTE_MS));
    expect(other).toEqual(["forked"]);
    await clock.advance(DOUBT_KEPT_MS + MINUTE_MS);
    await records.prune();
    expect([...(await opened()).ofType("doubt")]).toEqual([]);
  });

  it("fade when the rule of upkeep says so", () => {
    expect(DOUBT_KEPT_MS).toBe(DOUBT_VALID_MS);
  });

  it("are of members alone, and what a clearance says of administrators alone", async () => {
    const { records, swarm, keys, nowMs, administrators } = await open();
    const said = { target: someone("x"), timeMs: nowMs };
    const stranger = await faultFrom(() => records.put(doubtRecord(swarm, signer("stranger"), said)));
    expect(stranger.code).toBe("NOT_A_MEMBER");
    for (const by of [keys.node, keys.owner, signer("stranger")]) {
      const fault = await faultFrom(() => records.put(clearanceRecord(swarm, by, said)));
      expect(fault.code).toBe("NOT_A_MEMBER");
    }
    for (const by of administrators)
      expect(await records.put(clearanceRecord(swarm, by, said))).toBe("added");
  });
});
