import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { Fault } from "../../src/base/fault.ts";
import { compileGlobs } from "../../src/base/glob.ts";
import { type BytePath, bytePathOf } from "../../src/base/paths.ts";
import { DEFAULT_SIZES } from "../../src/node/index.ts";
import { diffTrees, findInSnapshot, listSnapshot } from "../../src/restore/index.ts";
import { dataRequest } from "../../src/wire/data.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree, put } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
const p = bytePathOf;

async function saved(
  build: (root: string, swarm: Swarm) => void,
  init: Partial<Parameters<typeof Swarm.create>[0]> = {},
): Promise<{ swarm: Swarm; owner: Machine; source: string }> {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"], ...init });
  const owner = swarm.member(0);
  const source = join(scratch(), "src");
  mkdirSync(source);
  build(source, swarm);
  await swarm.clock.advance(1000);
  await swarm.clock.during(owner.snapshot([source]));
  return { swarm, owner, source };
}

const selection = (changes: { path?: BytePath; includes?: BytePath[]; excludes?: BytePath[] }) => ({
  selection: { includes: [], excludes: [], ...changes },
});

/** The target itself keeps its own mode and time. */
async function expectSameContents(from: string, to: string): Promise<void> {
  chmodSync(to, statSync(from).mode);
  utimesSync(from, 1, 1);
  utimesSync(to, 1, 1);
  await expectSameTree(from, to);
}

it("a holder that is busy is asked again, and nothing is missing for it", async () => {
  const { swarm, owner, source } = await saved((root, { rng }) => put(root, "f", rng.bytes(200_000)));
  let busy = 0;
  const turns = new Map<string, number>();
  swarm.networks.intercept(async ({ from, to, protocol, message }) => {
    if (from !== owner.peer || protocol !== "data" || dataRequest.decode(message.head).t !== "get") return;
    const name = `${to} ${toHex(message.head)}`;
    turns.set(name, (turns.get(name) ?? 0) + 1);
    if (turns.get(name) === 3) return;
    busy++;
    throw new Fault({ code: "PEER_BUSY", peer: to });
  });
  const target = scratch();
  await swarm.clock.during(owner.restore(target, selection({ path: p(source) })));
  expect(busy).toBeGreaterThan(0);
  expect(readFileSync(join(target, "f"))).toEqual(readFileSync(join(source, "f")));
  expect(owner.log.filter(({ event }) => event === "fetch-failed")).toEqual([]);
  await swarm.stop();
});

describe("a part of a snapshot", () => {
  it("one small file of many fetches little more than its range", async () => {
    const { swarm, owner, source } = await saved(
      (root, { rng }) => {
        for (let i = 0; i < 60; i++) put(root, `data/${i}`, rng.bytes(1_000_000));
      },
      { sites: NINE_AT_THREE, sizes: DEFAULT_SIZES },
    );
    const target = scratch();
    const path = p(join(source, "data/7"));
    const { report, bytesFetched } = await swarm.clock.during(owner.restore(target, selection({ path })));
    expect(report.files).toBe(1);
    expect(readFileSync(join(target, "7"))).toEqual(readFileSync(join(source, "data/7")));
    // 1 MB in ranges of 256 KiB, up to two of them cut at each end of a chunk.
    expect(bytesFetched).toBeLessThan(2_500_000);
    await swarm.stop();
  });

  it("a directory's contents come right below the target; patterns choose", async () => {
    const { swarm, owner, source } = await saved((root, { rng }) => buildPlainTree(root, rng));
    const below = scratch();
    await swarm.clock.during(owner.restore(below, selection({ path: p(join(source, "d1")) })));
    await expectSameContents(join(source, "d1"), below);
    const chosen = scratch();
    const choice = selection({ includes: [p("**/f5")], excludes: [p("**/e0")] });
    const { report } = await swarm.clock.during(owner.restore(chosen, choice));
    expect(report.files).toBe(1);
    expect(readFileSync(join(chosen + source, "d1/e2/f5"))).toEqual(readFileSync(join(source, "d1/e2/f5")));
    const nowhere = selection({ path: p("/not/there") });
    await expect(owner.restore(scratch(), nowhere)).rejects.toMatchObject({ code: "PATH_NOT_IN_SNAPSHOT" });
    await swarm.stop();
  });
});

describe("what is there already", () => {
  it("stays when it is the same, by --overwrite else", async () => {
    const { swarm, owner, source } = await saved((root, { rng }) => {
      buildPlainTree(root, rng);
      linkSync(join(root, "d0/e0/f0"), join(root, "linked"));
    });
    const target = scratch();
    const restore = (changes: Parameters<Machine["restore"]>[1]) =>
      swarm.clock.during(owner.restore(target, changes));
    await restore({});
    const again = await restore({});
    expect(again.report).toMatchObject({ files: 0, skippedUnchanged: 21 });
    expect(again.bytesFetched).toBe(0);
    writeFileSync(join(target + source, "d1/e1/f1"), "changed");
    writeFileSync(join(target + source, "d1/extra"), "extra");
    expect((await restore({ overwrite: "never" })).report).toMatchObject({ files: 0, skippedExisting: 21 });
    const dry = await restore({ dryRun: true });
    expect(dry.bytesFetched).toBe(0);
    expect((await restore({})).report).toMatchObject({ files: 1, skippedUnchanged: 20 });
    expect(existsSync(join(target + source, "d1/extra"))).toBe(true);
    expect((await restore({ delete: true })).report).toMatchObject({ deleted: 1 });
    await expectSameTree(source, target + source);
    expect((await restore({ overwrite: "always" })).report).toMatchObject({ files: 21 });
    await expectSameTree(source, target + source);
    await swarm.stop();
  });

  it("--delete clears the target itself when a directory's contents go there", async () => {
    const { swarm, owner, source } = await saved((root, { rng }) => buildPlainTree(root, rng, 6));
    const target = scratch();
    writeFileSync(join(target, "extra"), "");
    const request = { ...selection({ path: p(source) }), delete: true };
    await swarm.clock.during(owner.restore(target, request));
    expect(existsSync(join(target, "extra"))).toBe(false);
    await expectSameContents(source, target);
    await swarm.stop();
  });

  it("a part file of an interrupted restore is used as far as it is right", async () => {
    const { swarm, owner, source } = await saved((root, { rng }) => put(root, "big", rng.bytes(400_000)));
    const target = scratch();
    const controller = new AbortController();
    let ticks = 0;
    const interrupted = owner.restore(target, {
      signal: controller.signal,
      onProgress: ({ phase }) => {
        if (phase === "fetch" && ++ticks === 5) controller.abort(new Error("interrupted"));
      },
    });
    await expect(swarm.clock.during(interrupted)).rejects.toThrow("interrupted");
    const parts = readdirSync(target + source).filter((name) => name.startsWith(".cairn-part-"));
    expect(parts.length).toBe(1);
    const part = join(target + source, must(parts[0], "part file"));
    expect(statSync(part).size).toBeGreaterThan(0);
    const { bytesFetched } = await swarm.clock.during(owner.restore(target));
    expect(bytesFetched).toBeGreaterThan(0);
    expect(bytesFetched).toBeLessThan(400_000);
    expect(readdirSync(target + source)).toEqual(["big"]);
    await expectSameTree(source, target + source);
    await swarm.stop();
  });
});

describe("identical bytes", () => {
  it("are stored once for an owner, and never shared between owners", async () => {
    const swarm = await Swarm.create({ sites: ["a", "b", "c"] });
    const [one, two] = [swarm.member(0), swarm.member(1)];
    const bytes = swarm.rng.bytes(200_000);
    const source = join(scratch(), "src");
    put(source, "first", bytes);
    put(source, "second", bytes);
    const made = await swarm.clock.during(one.snapshot([source]));
    expect(made.bytesNew).toBe(200_000);
    put(source, "third", bytes);
    expect((await swarm.clock.during(one.snapshot([source]))).bytesNew).toBe(0);
    const other = await swarm.clock.during(two.snapshot([source]));
    expect(other.bytesNew).toBe(200_000);
    const held = new Map<string, string>();
    for (const machine of swarm.members) {
      const store = machine.shardDisk.open();
      for (const { id, bytes: size } of await store.list(undefined, 10_000)) {
        const shard = must(await store.read(id, 0, size), "shard");
        // Any run of bytes: encrypted twice they have nothing in common.
        for (let at = 0; at + 64 <= shard.length; at += 64) {
          const run = Buffer.from(shard.subarray(at, at + 64)).toString("base64");
          expect(held.get(run) ?? id.owner).toBe(id.owner);
          held.set(run, id.owner);
        }
      }
    }
    expect(held.size).toBeGreaterThan(1000);
    await swarm.stop();
  });
});

describe("looking inside", () => {
  it("lists, finds and compares", async () => {
    const { swarm, owner, source } = await saved((root, { rng }) => buildPlainTree(root, rng, 8));
    writeFileSync(join(source, "d1/e1/f1"), "now else");
    utimesSync(join(source, "d2/e2/f2"), 1, 1);
    put(source, "new/file", "x");
    await swarm.clock.during(owner.snapshot([source]));
    const { repository } = owner.node;
    const [first, second] = await repository.snapshots();
    const before = await repository.trees.manifest(must(first, "first"));
    const after = await repository.trees.manifest(must(second, "second"));
    const differences: string[] = [];
    // The directories above belong to others too, who change them.
    for await (const { path, change } of diffTrees(repository.trees, before.root, after.root, p("/")))
      if (path.startsWith(source)) differences.push(`${change} ${path}`);
    expect(differences).toEqual([
      `metadata ${source}`,
      `modified ${source}/d1/e1/f1`,
      `metadata ${source}/d2/e2/f2`,
      `added ${source}/new`,
      `added ${source}/new/file`,
    ]);
    const found: string[] = [];
    for await (const { path } of findInSnapshot(
      repository.trees,
      after,
      compileGlobs([p("**/f?")], { coversBelow: false }),
    ))
      found.push(path);
    expect(found.length).toBe(8);
    const options = { path: p(join(source, "d1")), recursive: true };
    const listed: string[] = [];
    for await (const { path } of listSnapshot(repository.trees, must(second, "second"), after, options))
      listed.push(path.slice(source.length));
    expect(listed).toEqual(["/d1/e1", "/d1/e1/f1", "/d1/e2", "/d1/e2/f5"]);
    await swarm.stop();
  });

  it("verify proves every shard, and finds what is wrong, missing or silent", async () => {
    const { swarm, owner } = await saved((root, { rng }) => buildPlainTree(root, rng), {
      sites: NINE_AT_THREE,
    });
    const { repository } = owner.node;
    const entries = await repository.snapshots();
    const verify = (readData: boolean) =>
      swarm.clock.during(
        repository.verify(entries, { readData, signal: new AbortController().signal, onShard: () => {} }),
      );
    const total = (outcome: Awaited<ReturnType<typeof verify>>, key: "proven" | "missing" | "corrupt") =>
      outcome.segments.reduce((sum, segment) => sum + segment[key], 0);
    for (const readData of [false, true]) {
      const clean = await verify(readData);
      const shards = clean.segments.reduce((sum, { n }) => sum + n, 0);
      expect(total(clean, "proven")).toBe(shards);
      expect(clean.corrupt).toEqual([]);
    }
    const sampled = await verify(false);
    expect(sampled.bytesRead).toBeLessThan((await verify(true)).bytesRead / 10);
    const holders = repository.maps.holders();
    const rotten = swarm.byPeer(must(holders[0], "holder"));
    const lossy = swarm.byPeer(must(holders[1], "holder"));
    swarm.byPeer(must(holders[2], "holder")).crash();
    const own = async (machine: Machine) =>
      (await machine.shardDisk.open().list(undefined, 1000)).filter(
        ({ id }) => id.owner === repository.catalog.owner,
      );
    for (const { id } of await own(rotten)) rotten.shardDisk.flipBit(id, rotten.rng);
    for (const { id } of await own(lossy)) lossy.shardDisk.loseFile(id);
    const outcome = await verify(true);
    expect(total(outcome, "corrupt")).toBe((await own(rotten)).length + (await own(lossy)).length);
    expect(new Set(outcome.corrupt.map(({ peer }) => peer))).toEqual(new Set([rotten.peer, lossy.peer]));
    expect(total(outcome, "missing")).toBeGreaterThan(0);
    await swarm.stop();
  });
});

describe("a stream", () => {
  it("is saved as one file, and what it shares with files is stored once", async () => {
    const swarm = await Swarm.create({ sites: NINE_AT_THREE });
    const owner = swarm.member(0);
    const bytes = swarm.rng.bytes(700_000);
    const source = put(scratch(), "file", bytes);
    await swarm.clock.during(owner.snapshot([source]));
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += 33_333) yield bytes.subarray(at, at + 33_333);
    }
    const made = await swarm.clock.during(
      owner.snapshot([], { source: { kind: "stream", filename: p("/dump/db.sql"), body: body() } }),
    );
    expect(made.bytesNew).toBe(0);
    const manifest = await owner.node.repository.trees.manifest(made.entry);
    const first = must((await owner.node.repository.snapshots())[0], "first");
    const firstManifest = await owner.node.repository.trees.manifest(first);
    // What the stream was found in is needed, and counted when it is asked what the snapshot survives.
    for (const [incarnation, ranges] of firstManifest.needs) {
      const data = must(ranges[0], "range");
      expect(manifest.needs.find(([other]) => other === incarnation)?.[1][0]?.[0]).toBe(data[0]);
    }
    const target = scratch();
    await swarm.clock.during(owner.restore(target));
    expect(new Uint8Array(readFileSync(join(target, "dump/db.sql")))).toEqual(bytes);
    const at = await owner.node.repository.trees.find(made.entry, manifest, p("/dump/db.sql"));
    const content = must(at?.entry.content, "content");
    const pieces = await owner.node.repository.trees.pieces(content);
    const ids = pieces.flatMap((piece) => (piece.kind === "chunk" ? [piece.id] : []));
    expect(Buffer.concat(await owner.node.repository.chunks.read(ids)).equals(bytes)).toBe(true);
    await swarm.stop();
  });
});
