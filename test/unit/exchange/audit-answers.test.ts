import { beforeEach, describe, expect, it } from "vitest";
import { checkConviction, judgeAnswer } from "../../../src/audit/index.ts";
import { must } from "../../../src/base/assert.ts";
import { Fault } from "../../../src/base/fault.ts";
import { shardKey } from "../../../src/base/ids.ts";
import { MIB } from "../../../src/base/units.ts";
import { signerFromSeed } from "../../../src/crypto/sign.ts";
import { signStatement } from "../../../src/crypto/signed.ts";
import { shardRoot } from "../../../src/erasure/index.ts";
import { AuditAnswers } from "../../../src/exchange/index.ts";
import { convictionCodec } from "../../../src/wire/audit.ts";
import { type AuditRequest, dataAnswer, shardNote } from "../../../src/wire/data.ts";
import { descriptorCodec } from "../../../src/wire/descriptor.ts";
import { encodeSigned } from "../../../src/wire/signed.ts";
import { AuditStory, LEAF_BYTES } from "../../support/audits.ts";

// An honest holder: what it signs can never be turned against it, whatever its disk did and whoever asks.

const story = new AuditStory();
let onDisk: Uint8Array | undefined;
let isListed: boolean;
let reads: number;
let isUnplugged: boolean;
let isAside: boolean;
let isElsewhere: boolean;
let found: string[];

const shards = {
  stat: () => (isListed ? { id: id(), bytes: story.bytes.length, note: note(), version: "1" } : undefined),
  isSetAside: () => isAside,
  read: async () => {
    reads++;
    return onDisk;
  },
};
const disk = {
  requirePresent: async () => {
    if (isUnplugged) throw new Fault({ code: "DISK_FAILED", where: "shards", errno: "ENODEV" });
  },
};
const holder = new AuditAnswers(
  {
    ...{ shards, disk, clock: { wallMs: () => 2000 }, signer: story.holder },
    onBad: (shard) => found.push(shardKey(shard)),
    isElsewhere: async () => isElsewhere,
  },
  { swarm: story.swarm },
);

beforeEach(() => {
  onDisk = story.bytes;
  isListed = true;
  reads = 0;
  isUnplugged = false;
  isAside = false;
  isElsewhere = false;
  found = [];
});

function id() {
  const { owner, incarnation, number, index } = story;
  return { owner, incarnation, number, index };
}

function note(leafBytes = LEAF_BYTES): Uint8Array {
  const shardBytes = story.bytes.length;
  const roots = [0, 1, 2].map((index) => shardRoot(story.bytes, index, leafBytes));
  const sizes = { k: 2, m: 1, class: 0, segmentBytes: 2 * shardBytes, shardBytes, leafBytes };
  const body = descriptorCodec.encode({ v: 1, codec: 1, ...sizes, roots, lockMs: 0, createdMs: 0 });
  const { swarm, incarnation, number } = story;
  const by = signerFromSeed(new Uint8Array(32).fill(2));
  const statement = { type: "descriptor", swarm, incarnation, epoch: number, body } as const;
  const descriptor = encodeSigned(signStatement(statement, by));
  return shardNote.encode({ v: 1, root: must(roots[2], "root"), descriptor, receivedMs: 0 });
}

async function audit(request: AuditRequest) {
  const { head, body } = await holder.answer(request);
  const answer = dataAnswer.decode(head);
  if (answer.t !== "audit") throw new Error(answer.t);
  return { answer, body };
}

const verdictsOf = async (request: AuditRequest): Promise<string[]> =>
  judgeAnswer(story.peer, story.swarm, request, await audit(request)).verdicts.map(({ is }) => is);

describe("a holder that is audited", () => {
  it("proves every leaf, and reads a shard once for all leaves of it", async () => {
    expect(await verdictsOf(story.request([0, 7, 15]))).toEqual(["proven", "proven", "proven"]);
    expect(reads).toBe(1);
  });

  it("says that it has not got what its disk lost, cut short or altered, also where the leaf itself is whole", async () => {
    const request = story.request([0]);
    isListed = false;
    expect(await verdictsOf(request)).toEqual(["denied"]);
    isListed = true;
    onDisk = undefined;
    expect(await verdictsOf(request)).toEqual(["denied"]);
    onDisk = story.bytes.slice(0, 999);
    expect(await verdictsOf(request)).toEqual(["denied"]);
    onDisk = story.bytes.map((byte, at) => (at === 900 ? byte ^ 1 : byte));
    expect(await verdictsOf(request)).toEqual(["denied"]);
  });

  it("has what is listed and bad looked at, and says so itself from then on: an admission convicts nobody", async () => {
    const request = story.request([0]);
    onDisk = undefined;
    expect(await verdictsOf(request)).toEqual(["denied"]);
    expect(found).toEqual([shardKey(id())]);
    isListed = false;
    isAside = true;
    const { answer, body } = await audit(request);
    expect(judgeAnswer(story.peer, story.swarm, request, { answer, body }).verdicts).toEqual([
      { is: "denied", told: true },
    ]);
    const proof = { t: "denied", receipt: story.receipt() } as const;
    const evidence = convictionCodec.encode({ v: 1, statement: answer.statement, position: 0, proof });
    expect(() => checkConviction(evidence, story.swarm)).toThrow("said itself");
    expect(found).toHaveLength(1);
  });

  it("admits what the map looks for elsewhere: an old receipt convicts nobody who dropped a copy too many", async () => {
    isListed = false;
    isElsewhere = true;
    const request = story.request([0]);
    const { answer } = await audit(request);
    const proof = { t: "denied", receipt: story.receipt() } as const;
    const evidence = convictionCodec.encode({ v: 1, statement: answer.statement, position: 0, proof });
    expect(() => checkConviction(evidence, story.swarm)).toThrow("said itself");
  });

  it("signs nothing while its disk is unplugged", async () => {
    isUnplugged = true;
    onDisk = undefined;
    await expect(holder.answer(story.request([0]))).rejects.toMatchObject({ code: "DISK_FAILED" });
    onDisk = story.bytes;
    expect(await verdictsOf(story.request([0]))).toEqual(["proven"]);
  });

  it("denies bytes of another root, and its receipt for its own root does not convict it of that", async () => {
    const [challenge] = story.request([0]).challenges;
    const root = new Uint8Array(32).fill(5);
    const request = { ...story.request([]), challenges: [{ ...must(challenge, "challenge"), root }] };
    const { answer } = await audit(request);
    const proof = { t: "denied", receipt: story.receipt() } as const;
    const evidence = convictionCodec.encode({ v: 1, statement: answer.statement, position: 0, proof });
    expect(() => checkConviction(evidence, story.swarm)).toThrow("another shard");
  });

  it("signs nothing about a leaf that the shard does not have", async () => {
    await expect(holder.answer(story.request([0, 16]))).rejects.toMatchObject({ code: "FORMAT_INVALID" });
  });

  it("signs nothing where the leaves are more than an answer holds", async () => {
    const large = new AuditStory(5 * MIB);
    const root = shardRoot(large.bytes, large.index, MIB);
    const roots = [root, root, root];
    const sizes = { k: 2, m: 1, class: 0, segmentBytes: 10 * MIB, shardBytes: 5 * MIB, leafBytes: MIB };
    const body = descriptorCodec.encode({ v: 1, codec: 1, ...sizes, roots, lockMs: 0, createdMs: 0 });
    const { swarm, incarnation, number: epoch } = story;
    const by = signerFromSeed(new Uint8Array(32).fill(2));
    const signed = signStatement({ type: "descriptor", swarm, incarnation, epoch, body }, by);
    const held = shardNote.encode({ v: 1, root, descriptor: encodeSigned(signed), receivedMs: 0 });
    const stored = { id: id(), bytes: 5 * MIB, note: held, version: "1" };
    const many = new AuditAnswers(
      {
        shards: { ...shards, stat: () => stored, read: async () => large.bytes },
        disk,
        clock: { wallMs: () => 1 },
        signer: story.holder,
      },
      { swarm },
    );
    const of = (leaves: number[]): AuditRequest => {
      const request = large.request(leaves);
      return { ...request, challenges: request.challenges.map((one) => ({ ...one, root })) };
    };
    expect((await many.answer(of([0, 1, 2, 3]))).body.length).toBe(4 * MIB);
    await expect(many.answer(of([0, 1, 2, 3, 4]))).rejects.toMatchObject({ code: "FORMAT_INVALID" });
  });
});
