import { expect, it } from "vitest";
import { VirtualClock } from "../../sim/clock.ts";
import { SimDisk } from "../../sim/disk.ts";
import { SimMetaDisk } from "../../sim/meta-store.ts";
import { SeededRng } from "../../sim/rng.ts";
import { peerIdOf } from "../../src/base/ids.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { recordKeyBytes } from "../../src/membership/records.ts";
import { knownOp, loadKnown, loadOwn, saveOwn } from "../../src/presence/state.ts";
import { OwnChain } from "../../src/ticks/index.ts";
import { nodeStatusCodec } from "../../src/wire/membership.ts";
import { silenceBody } from "../../src/wire/silence.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { syncAnswerCodec, syncRequestCodec } from "../../src/wire/sync.ts";
import { packTick, tickPrefix, unpackTicks } from "../../src/wire/ticks.ts";
import { collect } from "../support/stores.ts";
import { newSwarm, signer } from "../unit/membership/world.ts";
import { goldenJson } from "./golden-file.ts";

const AT_MS = 1_800_000_000_000;
const [node, silent] = [signer("golden node"), signer("golden silent")];
const peer = peerIdOf(silent.publicKey);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

it("a report of silence, and a status that tells of leaving, are as they were", async () => {
  const { swarm } = await newSwarm({ name: "golden silence" });
  const said = { v: 1 as const, timeMs: AT_MS, silent: [{ peer, sinceMs: AT_MS - 3_600_000 }] };
  const body = silenceBody.encode(said);
  const statement = {
    type: "silence" as const,
    swarm,
    incarnation: NO_INCARNATION,
    epoch: 1_800_000_000,
    body,
  };
  const status = {
    v: 1 as const,
    addresses: ["/ip4/192.0.2.1/tcp/4001"],
    capacityBytes: 1000,
    usedBytes: 10,
    freeBytes: 990,
    formatVersions: { reads: [1], writes: 1 },
    programVersion: "cairn 0.1.0",
    timeMs: AT_MS,
    draining: true as const,
    outageUntilMs: AT_MS + 1000,
  };
  const found = {
    silence: hex(encodeSigned(signStatement(statement, node))),
    recordKey: hex(recordKeyBytes({ type: "silence", signer: node.publicKey })),
    leavingStatus: hex(nodeStatusCodec.encode(status)),
  };
  expect(found).toEqual(goldenJson("v1/membership/silence.json", found));
  expect(silenceBody.decode(body)).toEqual(said);
  expect(nodeStatusCodec.decode(nodeStatusCodec.encode(status))).toEqual(status);
});

it("a chain of ticks, and the messages that carry them, are as they were", () => {
  const chain = new OwnChain(node.publicKey, new Uint8Array(16).fill(7), 288);
  const packed = packTick(peerIdOf(node.publicKey), { chain: 0x1234, index: 3, value: chain.at(3) });
  const found = {
    anchor: hex(chain.anchor),
    packed: hex(packed),
    ticks: hex(syncRequestCodec.encode({ v: 1, kind: "ticks", fresh: true, ticks: packed })),
    ticked: hex(syncAnswerCodec.encode({ v: 1, kind: "ticked", ticks: packed })),
  };
  expect(found).toEqual(goldenJson("v1/membership/ticks.json", found));
  const [tick] = unpackTicks(packed);
  expect(tick).toEqual({ prefix: tickPrefix(peerIdOf(node.publicKey)), chain: 0x1234, index: 3, value: new Uint8Array(chain.at(3)) });
});

it("what a node keeps of who is up is written as it was, and read again", async () => {
  const disk = new SimDisk({ clock: new VirtualClock(), rng: new SeededRng("golden presence"), totalBytes: 1e9 });
  const store = new SimMetaDisk(disk).open();
  const known = {
    hearings: {
      runs: [
        { fromMs: AT_MS - 9000, toMs: AT_MS - 8000 },
        { fromMs: AT_MS - 3000, toMs: AT_MS },
      ],
      beatEpoch: 7,
      drainingSinceMs: AT_MS - 100,
      outage: { fromMs: AT_MS, untilMs: AT_MS + 1000 },
      reports: [{ observer: peerIdOf(node.publicKey), silentSinceMs: AT_MS - 50, atMs: AT_MS }],
    },
    state: "draining" as const,
    sinceMs: AT_MS - 100,
  };
  await store.write([knownOp(peer, known)], { sync: true });
  await saveOwn(store, { draining: true, outageUntilMs: AT_MS });
  const rows = await collect(store.scan({}));
  const found = Object.fromEntries(rows.map(([key, value]) => [hex(key), hex(value)]));
  expect(found).toEqual(goldenJson("v1/membership/known-node.json", found));
  expect(await loadKnown(store)).toEqual(new Map([[peer, known]]));
  expect(loadOwn(store)).toEqual({ draining: true, outageUntilMs: AT_MS });
});
