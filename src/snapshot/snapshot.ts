import { isFault } from "../base/fault.ts";
import type { SwarmId } from "../base/ids.ts";
import type { BytePath } from "../base/paths.ts";
import { GIB, MINUTE_MS } from "../base/units.ts";
import { type Catalog, SegmentSet, type SnapshotEntry, type Trail } from "../catalog/index.ts";
import type { OwnerKeys } from "../crypto/keys.ts";
import {
  type ChosenClasses,
  type HeadKeeper,
  type OwnerMaps,
  type OwnQuota,
  type Placer,
  ProtectionCensus,
  type SpoolKeeper,
  type SwarmView,
} from "../exchange/index.ts";
import type { ChunkSizes, Clock, Compute, FileTree, Rng } from "../ports/index.ts";
import type { SegmentSizes } from "../segments/index.ts";
import { ChunkStore } from "./chunk-store.ts";
import { Copier, type CopierComponents } from "./copier.ts";
import type { DirectoryDraft, DirectoryRead, XattrSource } from "./draft.ts";
import { Finisher, type SnapshotSubject } from "./finish.ts";
import type { HeadPartsComponents, HeadPartsInit } from "./head-parts.ts";
import { Ingester } from "./ingester.ts";
import { relist } from "./relist.ts";
import { CaptureReport } from "./report.ts";
import { CaptureRules } from "./rules.ts";
import { SegmentStorer } from "./segment-storer.ts";
import { findSources, type Source, walkSources } from "./sources.ts";
import { captureStream } from "./stream.ts";
import { Walker } from "./walker.ts";

export interface SnapshotComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly placer: Placer;
  readonly spool: SpoolKeeper;
  readonly heads: HeadKeeper;
  readonly view: SwarmView;
  readonly quota: Pick<OwnQuota, "take">;
  readonly compute: Compute;
  readonly tree: FileTree;
  readonly clock: Clock;
  readonly rng: Rng;
  /** @default none is kept */
  readonly trail?: Trail;
}

export interface SnapshotInit {
  readonly swarm: SwarmId;
  readonly keys: OwnerKeys;
  readonly classes: ChosenClasses;
  readonly sizes: { readonly chunks: ChunkSizes; readonly segments: SegmentSizes };
  readonly host: string;
  readonly program: string;
  readonly tags: readonly string[];
  readonly wait: "safe" | "queued";
  readonly signal: AbortSignal;
  readonly onProgress: (progress: SnapshotProgress) => void;
  /** How much a long snapshot does between checkpoints. @default 30 min or 10 GiB */
  readonly checkpoint?: { readonly everyMs: number; readonly everyBytes: number };
}

export interface SnapshotProgress {
  readonly phase: "capture" | "finish";
  readonly files: number;
  readonly bytes: number;
  readonly bytesStored: number;
}

export interface SnapshotOutcome {
  readonly entry: SnapshotEntry;
  readonly report: CaptureReport;
  readonly bytesNew: number;
  /** The same, compressed. */
  readonly bytesPacked: number;
  readonly bytesStored: number;
  readonly segments: number;
}

const CHECKPOINT = { everyMs: 30 * MINUTE_MS, everyBytes: 10 * GIB };

/** One run of `cairn snapshot`: captures, stores, and ends with a head. */
export class SnapshotRun {
  readonly #c: SnapshotComponents;
  readonly #init: SnapshotInit;
  readonly #report = new CaptureReport();
  readonly #needs = new SegmentSet();
  readonly #store: ChunkStore;
  readonly #storer: SegmentStorer;
  #bytesStored = 0;

  constructor(components: SnapshotComponents, init: SnapshotInit) {
    this.#c = components;
    this.#init = init;
    this.#storer = new SegmentStorer(components, {
      swarm: init.swarm,
      keys: init.keys,
      sizes: init.sizes.segments,
      classes: init.classes,
      wait: init.wait,
      signal: init.signal,
      onStored: (bytes) => {
        this.#bytesStored += bytes;
        this.#progress("capture");
      },
    });
    this.#store = new ChunkStore(
      {
        catalog: components.catalog,
        compute: components.compute,
        storer: this.#storer,
        rng: components.rng,
        census: () => new ProtectionCensus(components),
        needs: this.#needs,
      },
      { chunkIdKey: init.keys.chunkIdKey, sizes: init.sizes.segments },
    );
  }

  async ofPaths(
    paths: readonly BytePath[],
    options: { excludes: readonly BytePath[]; oneFileSystem: boolean },
  ): Promise<SnapshotOutcome> {
    const sources = await findSources(this.#c.tree, paths);
    const rules = new CaptureRules(options);
    const finisher = this.#finisher(paths, options.excludes);
    const root = await this.#capture(sources, rules, finisher);
    return this.#outcome(await finisher.finish(root, { partial: false }));
  }

  async ofStream(filename: BytePath, body: AsyncIterable<Uint8Array>): Promise<SnapshotOutcome> {
    const finisher = this.#finisher([filename], []);
    const root = await captureStream(
      { compute: this.#c.compute, store: this.#store, report: this.#report, clock: this.#c.clock },
      { keys: this.#ingestKeys(), filename, signal: this.#init.signal },
      body,
    );
    this.#progress("finish");
    return this.#outcome(await finisher.finish(root, { partial: false }));
  }

  /** A new head without these snapshots; see `relist`. */
  async relist(gone: readonly SnapshotEntry[], without?: SegmentSet): Promise<SegmentSet> {
    return relist(this.#headParts(), this.#headInit(), gone, without);
  }

  /** Chunks that lie somewhere are written once more; see `Copier`. */
  copier(onStored: CopierComponents["onStored"], expectedBytes: number): Copier {
    const { catalog, compute } = this.#c;
    return new Copier({ catalog, compute, storer: this.#storer, onStored }, this.#headInit(), expectedBytes);
  }

  /** Shard bytes that were acknowledged so far. */
  get storedBytes(): number {
    return this.#bytesStored;
  }

  async #capture(
    sources: readonly Source[],
    rules: CaptureRules,
    finisher: Finisher,
  ): Promise<DirectoryRead> {
    const ingester = new Ingester(
      { compute: this.#c.compute, store: this.#store, report: this.#report },
      { keys: this.#ingestKeys(), signal: this.#init.signal },
    );
    const walker = new Walker({
      tree: this.#c.tree,
      catalog: this.#c.catalog,
      store: this.#store,
      ingester,
      rules,
      report: this.#report,
      clock: this.#c.clock,
      needs: this.#needs,
      signal: this.#init.signal,
      onDirectory: () => this.#progress("capture"),
      checkpoint: () => checkpoint(),
    });
    let checkpoint = async (): Promise<void> => {};
    const onRoot = (draft: DirectoryDraft): void => {
      checkpoint = this.#checkpoints(finisher, draft);
    };
    const components = { tree: this.#c.tree, walker, report: this.#report, rules };
    try {
      const { root, done } = await walkSources(components, sources, onRoot);
      await ingester.finish();
      await done;
      this.#progress("finish");
      return await root.build(this.#store, this.#xattrs);
    } catch (error) {
      // The next run must not meet what this one still has under way.
      await Promise.allSettled([ingester.finish(), this.#store.settle()]);
      throw error;
    }
  }

  /** Called between directories: now and then it stores a manifest of what is complete. */
  #checkpoints(finisher: Finisher, root: DirectoryDraft): () => Promise<void> {
    const { everyMs, everyBytes } = this.#init.checkpoint ?? CHECKPOINT;
    let sinceMs = this.#c.clock.monotonicMs();
    let sinceBytes = 0;
    return async () => {
      const stored = this.#store.bytesNew;
      const due = stored - sinceBytes >= everyBytes || this.#c.clock.monotonicMs() - sinceMs >= everyMs;
      if (!due || stored === sinceBytes) return;
      const partial = await root.build(this.#store, this.#xattrs);
      await finisher.finish(partial, { partial: true });
      await this.#c.heads.publish(this.#init.signal);
      sinceMs = this.#c.clock.monotonicMs();
      sinceBytes = this.#store.bytesNew;
    };
  }

  readonly #xattrs: XattrSource = async (path) => {
    try {
      return await this.#c.tree.xattrs(path);
    } catch (error) {
      if (isFault(error, "SOURCE_UNREADABLE", "SOURCE_MISSING")) return [];
      throw error;
    }
  };

  #finisher(paths: readonly BytePath[], excludes: readonly BytePath[]): Finisher {
    const { tree, clock } = this.#c;
    const subject: SnapshotSubject = {
      host: this.#init.host,
      program: this.#init.program,
      paths,
      excludes,
      tags: this.#init.tags,
      timeMs: clock.wallMs(),
      names: tree,
    };
    return new Finisher(
      { ...this.#headParts(), report: this.#report, needs: this.#needs },
      { ...this.#headInit(), subject },
    );
  }

  #headParts(): HeadPartsComponents {
    const { catalog, compute, heads, trail } = this.#c;
    const parts = { catalog, compute, heads, store: this.#store, storer: this.#storer };
    return trail === undefined ? parts : { ...parts, trail };
  }

  #headInit(): HeadPartsInit {
    const { keys, sizes, classes } = this.#init;
    return { chunkIdKey: keys.chunkIdKey, sizes: sizes.segments, classes };
  }

  #ingestKeys(): { chunkIdKey: Uint8Array; gearKey: Uint8Array; sizes: ChunkSizes } {
    const { chunkIdKey, gearKey } = this.#init.keys;
    return { chunkIdKey, gearKey, sizes: this.#init.sizes.chunks };
  }

  #outcome(entry: SnapshotEntry): SnapshotOutcome {
    const { bytesNew, bytesPacked, written } = this.#store;
    return {
      ...{ entry, report: this.#report, bytesNew, bytesPacked },
      ...{ bytesStored: this.#bytesStored, segments: written.size },
    };
  }

  #progress(phase: SnapshotProgress["phase"]): void {
    const { files, bytes } = this.#report;
    this.#init.onProgress({ phase, files, bytes, bytesStored: this.#bytesStored });
  }
}
