import { expect, it } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { incarnationOf } from "../../src/base/ids.ts";
import { listingCodec } from "../../src/catalog/index.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { brakeDay, gcMark, liveSetEntry, seenEntry } from "../../src/gc/index.ts";
import { ownLiveSet } from "../../src/node/own-live-set.ts";
import { pastLiveSets } from "../../src/node/past-live.ts";
import { dataAnswer, dataRequest } from "../../src/wire/data.ts";
import { RELEASE_EPOCH_MS, releaseBody } from "../../src/wire/live-set.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { liveSpans, signLive } from "../support/collecting.ts";
import { KEYS, LIFE, NOW_MS, node, SWARM } from "../support/repairs.ts";
import { goldenJson } from "./golden-file.ts";

it("a live set, its messages, a release and what a holder keeps of them are the pinned bytes", () => {
  const earlier = incarnationOf(new Uint8Array(16).fill(1));
  const { record, list } = signLive(
    [liveSpans(earlier, 70_000, new Set([0, 1, 5, 69_999])), liveSpans(LIFE, 3, new Set([0, 1, 2]))],
    7,
  );
  const { owner } = KEYS;
  const body = releaseBody.encode({ v: 1, owner, timeMs: NOW_MS });
  const epoch = Math.floor(NOW_MS / RELEASE_EPOCH_MS);
  const release = { type: "release", swarm: SWARM, incarnation: NO_INCARNATION, epoch, body } as const;
  const encodings = {
    list,
    record,
    request: dataRequest.encode({ t: "live-set", v: 1, record }),
    answer: dataAnswer.encode({ t: "live-kept", v: 1, hash: new Uint8Array(32).fill(3) }),
    get: dataRequest.encode({ t: "live-get", v: 1, owner, incarnation: LIFE }),
    shown: dataAnswer.encode({ t: "live", v: 1, record }),
    none: dataAnswer.encode({ t: "live", v: 1 }),
    release: encodeSigned(signStatement(release, node(1).key)),
    kept: liveSetEntry.encode({ v: 1, record: new Uint8Array(2), fork: new Uint8Array(3) }),
    waiting: gcMark.encode({ v: 1, is: "waiting", sinceMs: 86_400_000 }),
    trash: gcMark.encode({ v: 1, is: "trash", sinceMs: 86_400_000, bytes: 1_048_576, day: 12 }),
    day: brakeDay.encode({ v: 1, heldBytes: 2 ** 40, removedBytes: 2 ** 30 }),
    seen: seenEntry.encode({ v: 1, wallMs: NOW_MS }),
  };
  const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
  expect(hex).toEqual(goldenJson("v1/wire/live-set.json", hex));
});

it("what an owner keeps of its live set, of a head's list and of earlier lives are the pinned bytes", () => {
  const { record, list } = signLive([liveSpans(LIFE, 3, new Set([1]))], 1);
  const encodings = {
    own: ownLiveSet.encode({
      ...{ v: 1, incarnation: LIFE, epoch: 1, timeMs: NOW_MS, record, list },
      ...{ peers: [node(2).peer], givenUp: [[0, [[1, 1]]]], freedBytes: 4096 },
    }),
    listing: listingCodec.encode({ v: 1, segments: [[0, [[7, 2]]]] }),
    past: pastLiveSets.encode({ v: 1, sets: [{ incarnation: LIFE, list }] }),
  };
  const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
  expect(hex).toEqual(goldenJson("v1/catalog/live-set.json", hex));
});
