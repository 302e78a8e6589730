import { createHash, createHmac } from "node:crypto";
import { chmod, mkdtemp, open, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createFileOpener } from "../../src/adapters/files/opener.ts";
import { AssertionFailure, must } from "../../src/base/assert.ts";
import { Fault } from "../../src/base/fault.ts";
import { bytePathOf } from "../../src/base/paths.ts";
import { createReferenceCodec, shardRoot } from "../../src/erasure/index.ts";
import type {
  Compute,
  IngestJob,
  IngestKeys,
  IngestPiece,
  OpenJob,
  PreparedChunk,
  SealedSegment,
  SealJob,
} from "../../src/ports/compute.ts";
import { contentBytesOf, readToc, SEGMENT_HEADER_BYTES } from "../../src/segments/index.ts";

const fill = (length: number, byte: number) => new Uint8Array(length).fill(byte);

/** Bytes that do not compress. */
function noise(length: number, seed: string): Uint8Array {
  const blocks = Array.from({ length: Math.ceil(length / 64) }, (_, i) =>
    createHash("sha512").update(`${seed}/${i}`).digest(),
  );
  return new Uint8Array(Buffer.concat(blocks).subarray(0, length));
}

const identity = { owner: fill(32, 3), incarnation: fill(16, 4), segment: 7 };
const secrets = { dataKey: fill(32, 5), saltKey: fill(32, 6), random: fill(32, 7) };
const chunkIdKey = fill(32, 1);
const keys: IngestKeys = {
  chunkIdKey,
  gearKey: fill(32, 2),
  sizes: { minBytes: 4096, averageBytes: 16384, maxBytes: 65536 },
};

const plaintexts = [noise(20_000, "one"), fill(5000, 9), noise(1, "two"), noise(70_000, "three")];

function sealJob(chunks: readonly PreparedChunk[], code: Partial<SealJob> = {}): SealJob {
  return {
    ...identity,
    ...secrets,
    chunks,
    segmentBytes: contentBytesOf(chunks) + 1001,
    dataShards: 3,
    parityShards: 2,
    leafBytes: 4096,
    ...code,
  };
}

function segmentOf(sealed: SealedSegment, dataShards: number): Uint8Array {
  return new Uint8Array(Buffer.concat(sealed.shards.slice(0, dataShards)).subarray(0, sealed.segmentBytes));
}

function openJob(segment: Uint8Array): OpenJob {
  const toc = readToc(secrets, identity, segment);
  const frames = toc.map(({ frame, offset, sealedBytes, id, rawBytes, compressed }) => {
    return { frame, id, rawBytes, compressed, sealed: segment.subarray(offset, offset + sealedBytes) };
  });
  const header = segment.subarray(0, SEGMENT_HEADER_BYTES);
  return { ...identity, dataKey: secrets.dataKey, chunkIdKey, header, frames };
}

function indexed(shards: readonly Uint8Array[], indices: readonly number[]) {
  return indices.map((index) => ({ index, bytes: must(shards[index], "shard") }));
}

function rawOf(piece: IngestPiece): Uint8Array {
  if (piece.kind === "hole") return new Uint8Array(piece.bytes);
  return piece.compressed ? zstdDecompressSync(piece.stored) : piece.stored;
}

/** Every byte array anywhere in a value. */
function arraysIn(value: unknown): Uint8Array[] {
  if (value instanceof Uint8Array) return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(arraysIn);
}

const plain = (bytes: Uint8Array) => new Uint8Array(bytes);

/** What the port `Compute` promises. `create` makes one that reads the real file system. */
export function computeContract(name: string, create: () => Compute): void {
  describe(`Compute: ${name}`, () => {
    let compute: Compute;
    let directory: string;
    beforeAll(async () => {
      compute = create();
      directory = await mkdtemp(join(tmpdir(), "cairn-compute-"));
    });
    afterAll(async () => {
      await compute.close();
      await rm(directory, { recursive: true });
    });

    const jobFor = (file: string, offset = 0): IngestJob => {
      const path = bytePathOf(join(directory, file));
      const opened = createFileOpener().open(path);
      const expected = opened.stat();
      opened.close();
      return { path, expected, offset };
    };

    it("ingests files in their order, windows and holes included", async () => {
      const contents = [noise(200_000, "a"), new Uint8Array(0), noise(3, "b"), noise(9 * 1024 * 1024, "c")];
      for (const [i, bytes] of contents.entries()) await writeFile(join(directory, `f${i}`), bytes);
      const results = await compute.ingest(
        contents.map((_, i) => jobFor(`f${i}`)),
        keys,
      );
      for (const [i, bytes] of contents.entries()) {
        const result = must(results[i], "result");
        const raw = Buffer.concat(result.pieces.map(rawOf));
        expect(result.errno).toBeUndefined();
        expect(Buffer.compare(raw, bytes.subarray(0, result.nextOffset))).toBe(0);
        expect(result.nextOffset === undefined).toBe(i < 3);
      }
      const offset = must(must(results[3], "result").nextOffset, "next window");
      const [rest] = await compute.ingest([jobFor("f3", offset)], keys);
      const raw = Buffer.concat(must(rest, "result").pieces.map(rawOf));
      expect(Buffer.compare(raw, must(contents[3], "content").subarray(offset))).toBe(0);
    });

    it("names chunks by the HMAC of their plaintext", async () => {
      await writeFile(join(directory, "named"), noise(100_000, "named"));
      const [result] = await compute.ingest([jobFor("named")], keys);
      for (const piece of must(result, "result").pieces) {
        if (piece.kind === "hole") continue;
        const id = createHmac("sha256", chunkIdKey).update(rawOf(piece)).digest();
        expect(plain(piece.id)).toEqual(plain(id));
      }
    });

    it("finds the hole of a sparse file", async () => {
      const file = await open(join(directory, "sparse"), "w");
      await file.write(noise(4096, "s"), 0, 4096, 64 * 1024 * 1024);
      await file.close();
      const [result] = await compute.ingest([jobFor("sparse")], keys);
      const { pieces, nextOffset, bytesRead } = must(result, "result");
      expect(pieces.map((piece) => piece.kind)).toEqual(["hole", "chunk"]);
      expect(pieces[0]).toMatchObject({ bytes: 64 * 1024 * 1024 });
      expect({ nextOffset, bytesRead }).toEqual({ nextOffset: undefined, bytesRead: 4096 });
    });

    it("answers hundreds of small files, with the errors of some", async () => {
      await writeFile(join(directory, "small"), noise(500, "small"));
      const good = jobFor("small");
      const gone = { ...good, path: bytePathOf(join(directory, "gone")) };
      await symlink("small", join(directory, "link"));
      const link = { ...good, path: bytePathOf(join(directory, "link")) };
      const jobs = Array.from({ length: 400 }, (_, i) =>
        i % 100 === 50 ? gone : i % 100 === 51 ? link : good,
      );
      const results = await compute.ingest(jobs, keys);
      expect(results).toHaveLength(400);
      for (const [i, result] of results.entries()) {
        const expected = i % 100 === 50 ? "ENOENT" : i % 100 === 51 ? "ELOOP" : undefined;
        expect(result.errno).toBe(expected);
        expect(result.pieces).toHaveLength(expected === undefined ? 1 : 0);
      }
    });

    it("reports a file that is not the expected one", async () => {
      await writeFile(join(directory, "changing"), noise(500, "before"));
      const job = jobFor("changing");
      await chmod(join(directory, "changing"), 0o600);
      await writeFile(join(directory, "changing"), noise(700, "after"));
      const [result] = await compute.ingest([job], keys);
      expect(must(result, "result").changedTo).toEqual(jobFor("changing").expected);
    });

    it("ingests and prepares nothing", async () => {
      expect(await compute.ingest([], keys)).toEqual([]);
      expect(await compute.prepare([], chunkIdKey)).toEqual([]);
      expect(await compute.roots([])).toEqual([]);
    });

    it("seals chunks into shards whose roots fit, and opens them again", async () => {
      const chunks = await compute.prepare(plaintexts, chunkIdKey);
      expect(chunks.map((chunk) => chunk.compressed)).toEqual([false, true, false, false]);
      const job = sealJob(chunks);
      const sealed = await compute.seal(job);
      expect(sealed.segmentBytes).toBe(job.segmentBytes);
      expect(sealed.shardBytes).toBe(Math.ceil(job.segmentBytes / 3));
      expect(sealed.shards.map((shard) => shard.length)).toEqual(Array(5).fill(sealed.shardBytes));
      const parity = createReferenceCodec().encode(sealed.shards.slice(0, 3), 2);
      expect(sealed.shards.slice(3).map(plain)).toEqual(parity);
      const expectedRoots = sealed.shards.map((shard, index) => plain(shardRoot(shard, index, 4096)));
      expect(sealed.roots.map(plain)).toEqual(expectedRoots);
      const opened = await compute.open(openJob(segmentOf(sealed, 3)));
      expect(opened.map(plain)).toEqual(plaintexts);
    });

    it("fills the last data shard up with zeros", async () => {
      const chunks = await compute.prepare([noise(100, "z")], chunkIdKey);
      const segmentBytes = contentBytesOf(chunks) + 5;
      const sealed = await compute.seal(sealJob(chunks, { segmentBytes, dataShards: 7, parityShards: 1 }));
      const padding = Buffer.concat(sealed.shards.slice(0, 7)).subarray(segmentBytes);
      expect(padding.every((byte) => byte === 0)).toBe(true);
      const [opened] = await compute.open(openJob(segmentOf(sealed, 7)));
      expect(plain(must(opened, "plaintext"))).toEqual(noise(100, "z"));
    });

    it("copies a segment of one data shard", async () => {
      const chunks = await compute.prepare([noise(100, "t")], chunkIdKey);
      const sealed = await compute.seal(sealJob(chunks, { dataShards: 1, parityShards: 2 }));
      expect(sealed.shards).toHaveLength(3);
      for (const shard of sealed.shards) expect(plain(shard)).toEqual(plain(must(sealed.shards[0], "shard")));
      expect(new Set(sealed.roots.map((root) => Buffer.from(root).toString("hex"))).size).toBe(3);
    });

    it("rebuilds any shards, whole or a range of each", async () => {
      const chunks = await compute.prepare(plaintexts, chunkIdKey);
      const { shards } = await compute.seal(sealJob(chunks));
      const code = { dataShards: 3, parityShards: 2 };
      const whole = await compute.rebuild({ ...code, have: indexed(shards, [4, 1, 3]), want: [2, 0] });
      expect(whole.map(plain)).toEqual([shards[2], shards[0]].map((shard) => plain(must(shard, "shard"))));
      const ranges = shards.map((shard) => shard.subarray(1000, 5000));
      const range = await compute.rebuild({ ...code, have: indexed(ranges, [0, 2, 3]), want: [4, 1] });
      expect(range.map(plain)).toEqual([ranges[4], ranges[1]].map((shard) => plain(must(shard, "shard"))));
    });

    it("computes roots in the order asked", async () => {
      const jobs = [0, 3, 5].map((index) => ({ index, bytes: noise(9000 + index, "r"), leafBytes: 1024 }));
      const expected = jobs.map((job) => plain(shardRoot(job.bytes, job.index, job.leafBytes)));
      expect((await compute.roots(jobs)).map(plain)).toEqual(expected);
    });

    it("refuses a damaged frame, a wrong id and a wrong key with SEGMENT_UNREADABLE and its details", async () => {
      const chunks = await compute.prepare(plaintexts, chunkIdKey);
      const job = openJob(segmentOf(await compute.seal(sealJob(chunks)), 3));
      const [first, ...others] = job.frames;
      const frame = must(first, "frame");
      const damaged = plain(frame.sealed);
      damaged[5] = must(damaged[5], "byte") ^ 1;
      const bad: OpenJob[] = [
        { ...job, frames: [{ ...frame, sealed: damaged }, ...others] },
        { ...job, frames: [{ ...frame, id: fill(32, 0) }] },
        { ...job, dataKey: fill(32, 99) },
        { ...job, segment: 8 },
      ];
      for (const each of bad) {
        const error: unknown = await compute.open(each).catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(Fault);
        const number = each.segment;
        expect(error).toMatchObject({ detail: { code: "SEGMENT_UNREADABLE", segment: { number } } });
      }
    });

    it("rejects arguments that break an invariant with an AssertionFailure, and goes on", async () => {
      const have = [{ index: 0, bytes: fill(4, 1) }];
      const job = { dataShards: 2, parityShards: 1, have, want: [1] };
      await expect(compute.rebuild(job)).rejects.toBeInstanceOf(AssertionFailure);
      expect(await compute.rebuild({ ...job, dataShards: 1 })).toHaveLength(1);
    });

    it("leaves arguments as they were but for the chunks that it seals, and shares no memory with them", async () => {
      const raw = plaintexts.map(plain);
      const chunks = await compute.prepare(raw, chunkIdKey);
      const copies = chunks.map((chunk) => ({ ...chunk, stored: plain(chunk.stored) }));
      const job = sealJob(copies);
      const sealed = await compute.seal({
        ...job,
        chunks: chunks.map((chunk) => ({ ...chunk, stored: plain(chunk.stored) })),
      });
      const toOpen = openJob(segmentOf(sealed, 3));
      const opened = await compute.open(toOpen);
      const rebuildJob = {
        dataShards: 3,
        parityShards: 2,
        have: indexed(sealed.shards, [0, 1, 4]),
        want: [0, 3],
      };
      const rebuilt = await compute.rebuild(rebuildJob);

      const results = arraysIn([opened, rebuilt]);
      const args = arraysIn([raw, job, toOpen, rebuildJob]);
      expect(args.every((bytes) => bytes.length > 0)).toBe(true);
      const buffers = new Set<unknown>(args.map((bytes) => bytes.buffer));
      expect(results.filter((bytes) => buffers.has(bytes.buffer))).toEqual([]);
      for (const bytes of arraysIn(chunks))
        expect(raw.some((each) => each.buffer === bytes.buffer)).toBe(false);
      expect(raw).toEqual(plaintexts);
      expect((await compute.seal(job)).roots.map(plain)).toEqual(sealed.roots.map(plain));
    });

    it("does many things at once", async () => {
      const chunks = await compute.prepare(plaintexts, chunkIdKey);
      const sealed = await compute.seal(sealJob(chunks));
      const expected = plain(must(sealed.shards[1], "shard"));
      const have = indexed(sealed.shards, [0, 3, 4]);
      const calls = Array.from({ length: 60 }, async (_, i) => {
        if (i % 3 === 0) return (await compute.prepare(plaintexts, chunkIdKey)).length === plaintexts.length;
        if (i % 3 === 1)
          return (await compute.roots([{ index: i, bytes: expected, leafBytes: 4096 }])).length === 1;
        const [shard] = await compute.rebuild({ dataShards: 3, parityShards: 2, have, want: [1] });
        return Buffer.compare(must(shard, "shard"), expected) === 0;
      });
      expect(await Promise.all(calls)).not.toContain(false);
    });

    it("fails with INTERRUPTED once it is closed, and may be closed again", async () => {
      const other = create();
      const early = other.prepare([fill(10, 1)], chunkIdKey).catch((error: unknown) => error);
      await other.close();
      await other.close();
      await expect(other.prepare([], chunkIdKey)).rejects.toMatchObject({ detail: { code: "INTERRUPTED" } });
      await early;
    });
  });
}
