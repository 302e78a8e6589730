import { must } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import type { Incarnation, OwnerId, PeerId, SwarmId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import {
  Catalog,
  catalogRootCodec,
  decodeIndexPage,
  indexRunCodec,
  type RepositoryState,
  type SegmentRecord,
  type SegmentRef,
  SegmentSet,
  snapshotPageCodec,
} from "../catalog/index.ts";
import type { OwnerKeys } from "../crypto/index.ts";
import type { Signed } from "../crypto/signed.ts";
import { acknowledgementOp, OwnerMaps, type PeerClient, SegmentReader } from "../exchange/index.ts";
import type { Clock, Compute, MetaStore, Spool } from "../ports/index.ts";
import { ChunkReader } from "../restore/index.ts";
import { type HeadPayload, type Locator, mapBody } from "../wire/head.ts";
import { noteHolders } from "./note-holders.ts";

export interface ImportComponents {
  readonly store: MetaStore;
  readonly client: PeerClient;
  readonly spool: Spool;
  readonly compute: Compute;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ImportInit {
  readonly swarm: SwarmId;
  readonly owner: OwnerId;
  readonly keys: OwnerKeys;
  readonly head: Signed;
  /** Members that keep this head. */
  readonly keepers: readonly PeerId[];
  readonly payload: HeadPayload;
  /** The newest map records of every life of the owner. */
  readonly maps: readonly Signed[];
  /** The life that begins now; absent when nothing will be written from here. */
  readonly incarnation: Incarnation | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: { phase: "index" | "holders"; done: number; total: number }) => void;
}

/**
 * Builds the catalog of a repository anew from a head: the root, the list of snapshots, the whole index, and who says
 * that they hold which shard. Trees and data stay where they are.
 */
export async function importCatalog(
  components: ImportComponents,
  init: ImportInit,
): Promise<{ catalog: Catalog; bytesFetched: number }> {
  const catalog = await newCatalog(components.store, init);
  const maps = await OwnerMaps.load(catalog);
  const reader = new SegmentReader({ ...components, catalog, maps, swarm: init.swarm, preference: () => 0 });
  const chunks = new ChunkReader({ catalog, reader, compute: components.compute }, { keys: init.keys });
  const importer = new Importer(catalog, maps, chunks, init.signal);
  const root = catalogRootCodec.decode(await importer.read(init.payload.root));
  const runs: RepositoryState["runs"] = [];
  for (const [done, locator] of root.runs.entries()) {
    init.onProgress({ phase: "index", done, total: root.runs.length });
    runs.push(await importer.importRun(locator));
  }
  for (const locator of root.snapshots) await importer.importSnapshots(locator);
  await catalog.update({ runs, snapshotPages: root.snapshots });
  const refs: SegmentRef[] = [];
  for await (const [ref] of catalog.segments.all()) refs.push(ref);
  const { client, clock } = components;
  await noteHolders({ catalog, maps, client, clock }, refs, init.signal, (done) =>
    init.onProgress({ phase: "holders", done, total: refs.length }),
  );
  await catalog.update({});
  return { catalog, bytesFetched: reader.bytesFetched };
}

async function newCatalog(store: MetaStore, init: ImportInit): Promise<Catalog> {
  const { owner, payload, head } = init;
  const incarnations = [
    ...payload.incarnations,
    ...(init.incarnation === undefined ? [] : [init.incarnation]),
  ];
  const catalog = await Catalog.import(store, {
    owner,
    incarnations,
    segmentsReserved: 0,
    headEpoch: head.epoch,
    mapEpoch: 0,
    snapshotSequence: payload.snapshotSequence,
    runs: [],
    snapshotPages: [],
    readOnly: init.incarnation === undefined,
  });
  const ops = init.maps.flatMap((record) => {
    const position = incarnations.indexOf(record.incarnation);
    return position < 0 ? [] : [catalog.mapOp(position, mapBody.decode(record.body))];
  });
  const { headEpoch, mapEpoch } = catalog.state;
  const kept = acknowledgementOp(headEpoch, mapEpoch, init.keepers);
  await store.write([...ops, catalog.headOp(head), kept], { sync: true });
  return catalog;
}

class Importer {
  readonly #catalog: Catalog;
  readonly #maps: OwnerMaps;
  readonly #chunks: ChunkReader;
  readonly #signal: AbortSignal;

  constructor(catalog: Catalog, maps: OwnerMaps, chunks: ChunkReader, signal: AbortSignal) {
    this.#catalog = catalog;
    this.#maps = maps;
    this.#chunks = chunks;
    this.#signal = signal;
  }

  async read(locator: Locator): Promise<Uint8Array> {
    const ref = { incarnation: locator.incarnation, number: locator.segment };
    await this.#knowSegment(ref, locator.class);
    const { id, frame, offset, sealedBytes, rawBytes, compressed } = locator;
    const place = { ...ref, frame, offset, sealedBytes, rawBytes, compressed };
    const [bytes] = await this.#chunks.readAt([{ id, place }], this.#signal);
    return must(bytes, "chunk of the catalog");
  }

  async importRun(locator: Locator): Promise<RepositoryState["runs"][number]> {
    const run = indexRunCodec.decode(await this.read(locator));
    for (const [incarnation, segments] of run.segments) {
      for (const [number, classId] of segments) await this.#knowSegment({ incarnation, number }, classId);
    }
    const segments = new SegmentSet();
    segments.add({ incarnation: locator.incarnation, number: locator.segment });
    for (const [, page] of run.pages) {
      segments.add({ incarnation: page.incarnation, number: page.segment });
      const entries = decodeIndexPage(await this.read(page));
      await this.#catalog.store.write(this.#catalog.chunks.putOps(entries, true), { sync: false });
    }
    return { locator, segments: segments.toRanges() };
  }

  async importSnapshots(locator: Locator): Promise<void> {
    const { snapshots } = snapshotPageCodec.decode(await this.read(locator));
    for (const entry of snapshots) {
      const { incarnation, segment, class: classId } = entry.manifest;
      await this.#knowSegment({ incarnation, number: segment }, classId);
    }
    await this.#catalog.store.write(
      snapshots.map((entry) => this.#catalog.snapshotOp(entry)),
      { sync: false },
    );
  }

  async #knowSegment(ref: SegmentRef, classId: number): Promise<void> {
    if (this.#catalog.segments.get(ref) !== undefined) return;
    if (!this.#maps.hasClass(ref.incarnation, classId)) {
      throw new Fault({
        code: "FORMAT_INVALID",
        what: "placement map",
        reason: `class ${classId} is not there`,
      });
    }
    const of = this.#maps.class(ref.incarnation, classId);
    const slots = Array.from({ length: of.k + of.m }, () => null);
    const record: SegmentRecord = {
      class: classId,
      k: of.k,
      slots,
      shardBytes: 0,
      spooled: false,
      createdMs: 0,
    };
    await this.#catalog.segments.put(ref, record, { sync: false });
  }
}
