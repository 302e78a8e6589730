import { z } from "zod";
import { bytesOf, bytesUpTo, codec, count, OWN_SHAPE, segmentNumber, textUpTo } from "../wire/codec.ts";
import { locator } from "../wire/head.ts";
import { SNAPSHOTS_PER_PAGE } from "./page-sizes.ts";

const version = z.literal(1);
const small = z.int().min(0).max(65_535);
const path = bytesUpTo(4096);

/** Segments as [incarnation position, [[first number, how many], ...]]. */
export const segmentRanges = z.array(z.tuple([small, z.array(z.tuple([segmentNumber, count]))]));
export type SegmentRanges = z.output<typeof segmentRanges>;

/** One point in time of a set of paths. Its chunk is stored last; its hash is the snapshot's id. */
export const manifestCodec = codec(
  "manifest",
  z
    .object({
      v: version,
      sequence: count,
      timeMs: count,
      host: textUpTo(255),
      program: textUpTo(64),
      paths: z.array(path).max(10_000),
      tags: z.array(textUpTo(255)).max(1000),
      excludes: z.array(bytesUpTo(4096)).max(10_000),
      /** Chunks of the root directory's pages. */
      root: z.array(bytesOf(32)).min(1),
      files: count,
      directories: count,
      bytes: count,
      unreadable: count,
      changed: count,
      /** Made by a checkpoint of a long snapshot: what was complete by then. */
      partial: z.boolean(),
      users: z.array(z.tuple([count, textUpTo(255)])).max(65_536),
      groups: z.array(z.tuple([count, textUpTo(255)])).max(65_536),
      /** Every segment that a restore reads, this manifest's own and the index's included where known. */
      needs: segmentRanges,
    })
    .strict(),
  OWN_SHAPE,
);
export type Manifest = ReturnType<(typeof manifestCodec)["decode"]>;

const snapshotEntry = z
  .object({
    id: bytesOf(32),
    sequence: count,
    timeMs: count,
    host: textUpTo(255),
    paths: z.array(path).max(10_000),
    tags: z.array(textUpTo(255)).max(1000),
    files: count,
    directories: count,
    bytes: count,
    partial: z.boolean(),
    manifest: locator,
  })
  .strict();
/** What a list of snapshots shows without reading the manifests. */
export type SnapshotEntry = z.output<typeof snapshotEntry>;
export const snapshotEntryCodec = codec("snapshot entry", snapshotEntry, OWN_SHAPE);

export const snapshotPageCodec = codec(
  "snapshot page",
  z.object({ v: version, snapshots: z.array(snapshotEntry).max(SNAPSHOTS_PER_PAGE) }).strict(),
  OWN_SHAPE,
);

/** A segment's class (its position in the incarnation's map), by [incarnation position, [[number, class], ...]]: what an index run adds. */
const segmentClasses = z.array(z.tuple([small, z.array(z.tuple([segmentNumber, small]))]));
export type SegmentClasses = z.output<typeof segmentClasses>;

/** One sorted run of the index: a fence for each page, so that one chunk is found without reading the rest. */
export const indexRunCodec = codec(
  "index run",
  z
    .object({
      v: version,
      /** [first 8 bytes of the page's first chunk id, where the page is]. */
      pages: z.array(z.tuple([bytesOf(8), locator])),
      entries: count,
      segments: segmentClasses,
    })
    .strict(),
  OWN_SHAPE,
);
export type IndexRun = ReturnType<(typeof indexRunCodec)["decode"]>;

/** The top of everything an owner has stored; the head points to it. */
export const catalogRootCodec = codec(
  "catalog root",
  z.discriminatedUnion("v", [
    z.object({ v: version, runs: z.array(locator), snapshots: z.array(locator) }).strict(),
    z
      .object({
        v: z.literal(2),
        runs: z.array(locator),
        snapshots: z.array(locator),
        /** What has become of segments that manifests name. */
        moves: locator,
      })
      .strict(),
  ]),
  OWN_SHAPE,
);
export type CatalogRoot = ReturnType<(typeof catalogRootCodec)["decode"]>;
