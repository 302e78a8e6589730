import { beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { SimDisk } from "../../../sim/disk.ts";
import { SimMetaDisk } from "../../../sim/meta-store.ts";
import { SeededRng } from "../../../sim/rng.ts";
import { compareBytes, toHex } from "../../../src/base/bytes.ts";
import { ByteBudget } from "../../../src/base/concurrency.ts";
import { incarnationOf, ownerIdOf, swarmIdOf } from "../../../src/base/ids.ts";
import { bytePathOf } from "../../../src/base/paths.ts";
import { GIB } from "../../../src/base/units.ts";
import {
  Catalog,
  decodeIndexPage,
  INDEX_ENTRY_BYTES,
  type IndexEntry,
  pageSizesFor,
  type SegmentRecord,
  type SegmentRef,
  SegmentSet,
} from "../../../src/catalog/index.ts";
import { sha256 } from "../../../src/crypto/hash.ts";
import { signStatement } from "../../../src/crypto/signed.ts";
import type { MetaStore, PreparedChunk } from "../../../src/ports/index.ts";
import { Finisher } from "../../../src/snapshot/finish.ts";
import { CaptureReport } from "../../../src/snapshot/report.ts";
import { ShardRoom } from "../../../src/snapshot/segment-storer.ts";
import { SMALL_SIZES } from "../../support/swarm.ts";
import { signer } from "../membership/world.ts";

const sizes = SMALL_SIZES.segments;
const pages = pageSizesFor(sizes.chunkMaxBytes);
const RECORD: SegmentRecord = {
  class: 0,
  k: 1,
  slots: [null, null],
  shardBytes: 1,
  spooled: true,
  createdMs: 0,
};

let rng: SeededRng;
let catalog: Catalog;
let meter: Meter;
let written: SegmentSet;
let stored: SegmentSet;
/** Called when a segment of the end is stored. */
let onStored: () => Promise<void>;

beforeEach(async () => {
  rng = new SeededRng("finish");
  meter = new Meter();
  written = new SegmentSet();
  stored = new SegmentSet();
  onStored = async () => {};
  const disk = new SimDisk({ clock: new VirtualClock(), rng, totalBytes: GIB });
  const store = meter.watch(new SimMetaDisk(disk).open());
  const owner = ownerIdOf(new Uint8Array(32).fill(1));
  catalog = await Catalog.create(store, { owner, incarnation: incarnationOf(new Uint8Array(16)) });
});

/** What the end of a snapshot has in memory at a time, seen from outside. */
class Meter {
  /** Entries looked up in the catalog since the last index page was made. */
  #lookedUp = 0;
  /** Bytes of chunks that no stored segment has yet. */
  #heldBytes = 0;
  isListing = false;
  readonly most = { lookedUp: 0, heldBytes: 0, writeOps: 0 };
  /** Entries of the index pages, in the order in which they were written. */
  readonly listed: IndexEntry[] = [];

  watch(store: MetaStore): MetaStore {
    return {
      get: (key) => {
        if (this.isListing && key[0] === "c".charCodeAt(0))
          this.most.lookedUp = Math.max(this.most.lookedUp, ++this.#lookedUp);
        return store.get(key);
      },
      scan: (range) => store.scan(range),
      write: (ops, options) => {
        this.most.writeOps = Math.max(this.most.writeOps, ops.length);
        return store.write(ops, options);
      },
      close: () => store.close(),
    };
  }

  prepared(plaintext: Uint8Array): PreparedChunk {
    if (isIndexPage(plaintext)) {
      this.listed.push(...decodeIndexPage(plaintext));
      this.#lookedUp = 0;
    }
    this.#heldBytes += plaintext.length;
    this.most.heldBytes = Math.max(this.most.heldBytes, this.#heldBytes);
    return { id: sha256(plaintext), stored: plaintext, rawBytes: plaintext.length, compressed: false };
  }

  stored(): void {
    this.#heldBytes = 0;
  }
}

/** Other chunks of the end are CBOR maps, which do not begin with a 1. */
function isIndexPage(plaintext: Uint8Array): boolean {
  return plaintext[0] === 1 && (plaintext.length - 1) % INDEX_ENTRY_BYTES === 0;
}

/** A segment of this run with so many new chunks. */
async function addSegment(chunks: number): Promise<{ ref: SegmentRef; ids: string[] }> {
  const ref = await catalog.nextSegment();
  const entries = Array.from({ length: chunks }, (_, i) => ({
    id: rng.bytes(32),
    place: { ...ref, frame: i + 1, offset: 0, sealedBytes: 1, rawBytes: 1, compressed: false },
  }));
  await catalog.segments.put(ref, RECORD, { sync: false });
  await catalog.store.write(catalog.chunks.putOps(entries, false), { sync: false });
  written.add(ref);
  return { ref, ids: entries.map(({ id }) => toHex(id)) };
}

function finish(partial = false): ReturnType<Finisher["finish"]> {
  meter.isListing = true;
  const isReliable = (ref: SegmentRef): boolean => !written.has(ref) || stored.has(ref);
  const finisher = new Finisher(
    {
      catalog,
      compute: { prepare: async (plaintexts) => plaintexts.map((bytes) => meter.prepared(bytes)) },
      store: {
        takeRemainder: async () => [],
        settle: async () => {},
        written,
        stored,
        mayReuse: isReliable,
        isReliable,
        pages,
      },
      storer: {
        enter: async (ref, closed) => {
          await catalog.segments.put(ref, RECORD, { sync: false });
          return { ref, closed, entries: [] };
        },
        reserve: async ({ closed }) => {
          const room = new ByteBudget(closed.segmentBytes);
          await room.acquire(closed.segmentBytes);
          return new ShardRoom(room, closed.segmentBytes);
        },
        store: async () => {
          meter.stored();
          await onStored();
        },
      },
      heads: {
        commit: async (_, change, ops) => {
          meter.isListing = false;
          const epoch = catalog.state.headEpoch + 1;
          await catalog.update({ ...change, headEpoch: epoch }, ops);
          const { incarnation } = catalog;
          const swarm = swarmIdOf(new Uint8Array(32));
          return signStatement(
            { type: "head", swarm, incarnation, epoch, body: new Uint8Array(0) },
            signer("o"),
          );
        },
      },
      report: new CaptureReport(),
      needs: new SegmentSet(),
    },
    {
      chunkIdKey: new Uint8Array(32),
      sizes,
      classes: { whole: 0, tail: 1 },
      subject: {
        host: "host",
        program: "test",
        paths: [bytePathOf("/a")],
        tags: [],
        excludes: [],
        timeMs: 0,
        names: { userName: () => undefined, groupName: () => undefined },
      },
    },
  );
  return finisher.finish({ tree: [new Uint8Array(32)], files: 0, directories: 1, bytes: 0 }, { partial });
}

async function unlistedOf(ref: SegmentRef): Promise<number> {
  let count = 0;
  for await (const { place } of catalog.chunks.unlisted()) if (place.number === ref.number) count++;
  return count;
}

describe("the end of a snapshot", () => {
  it("lists every new chunk, and has no more in memory for many of them than for few", async () => {
    const { ref, ids } = await addSegment(20_000);
    stored.add(ref);
    meter.most.writeOps = 0;
    await finish();
    expect(meter.listed.map(({ id }) => toHex(id))).toEqual(ids.sort());
    expect(
      meter.listed.every(
        (entry, i, all) => i === 0 || compareBytes(all[i - 1]?.id ?? entry.id, entry.id) < 0,
      ),
    ).toBe(true);
    expect(await unlistedOf(ref)).toBe(0);
    // A page, and what decides at the beginning whether a tail will do.
    expect(meter.most.lookedUp).toBeLessThanOrEqual(pages.indexEntries + sizes.tailMaxBytes / 48 + 1);
    expect(meter.most.heldBytes).toBeLessThanOrEqual(
      sizes.fullBytes + pages.indexEntries * INDEX_ENTRY_BYTES + 1,
    );
    expect(meter.most.writeOps).toBeLessThanOrEqual(4096);
  });

  it("marks as listed exactly what it listed, whatever is stored beside a checkpoint meanwhile", async () => {
    const before = await addSegment(3000);
    stored.add(before.ref);
    const beside = await addSegment(3000);
    // It is complete as soon as the first segment of the end is.
    onStored = async () => stored.add(beside.ref);
    await finish(true);
    expect(meter.listed.map(({ id }) => toHex(id))).toEqual(before.ids.sort());
    expect(await unlistedOf(before.ref)).toBe(0);
    expect(await unlistedOf(beside.ref)).toBe(3000);
    meter.listed.length = 0;
    await finish();
    const next = new Set(meter.listed.map(({ id }) => toHex(id)));
    expect(beside.ids.filter((id) => !next.has(id))).toEqual([]);
    expect(await unlistedOf(beside.ref)).toBe(0);
  });

  it("writes the index anew as one run when there are many", async () => {
    const ids: string[] = [];
    for (let run = 0; run < 33; run++) {
      const added = await addSegment(20);
      stored.add(added.ref);
      ids.push(...added.ids);
      meter.listed.length = 0;
      await finish();
      expect(catalog.state.runs).toHaveLength(run === 32 ? 1 : run + 1);
    }
    const listed = new Set(meter.listed.map(({ id }) => toHex(id)));
    expect(ids.filter((id) => !listed.has(id))).toEqual([]);
  });
});
