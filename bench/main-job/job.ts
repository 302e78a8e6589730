import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import { restoreResult, snapshotResult } from "../../src/control/results.ts";
import { cairn, resultOf } from "../../test/support/cli.ts";
import { DaemonSwarm, TestNode } from "../../test/support/daemons.ts";
import { type CorpusSize, copyCorpus, differences, sizeOf, warm } from "./corpus.ts";
import { loadAverage, PeakMemory, run } from "./processes.ts";
import { Restic } from "./restic.ts";

/** Nine daemons at three sites: any one site may go, and the rest still has every byte. */
const SITES = ["a", "b", "c", "a", "b", "c", "a", "b", "c"];
const CAPACITY = "8GiB";
const PATIENCE_MS = 15 * 60_000;

export interface Timed {
  readonly what: string;
  readonly cairnMs: number;
  readonly resticMs: number | undefined;
}

export interface SingleFile {
  readonly what: string;
  readonly bytesFetched: number;
}

export interface Figures {
  readonly corpus: CorpusSize;
  readonly loadAtStart: number;
  readonly loadAtEnd: number;
  readonly profile: { readonly k: number; readonly m: number };
  readonly times: readonly Timed[];
  readonly firstSnapshot: { readonly state: string; readonly segments: number; readonly bytesStored: number };
  readonly unchanged: {
    readonly bytesRead: number;
    readonly segments: number;
    readonly bytesStored: number;
  };
  /** Bytes of all shard files at all holders, and of restic's repository. */
  readonly stored: { readonly holderBytes: number; readonly resticBytes: number | undefined };
  /** Bytes over the network for the restore of one small file; the worst of several. */
  readonly singleFile: {
    readonly fileBytes: number;
    readonly ownerAllUp: number;
    readonly ownerPeersDown: number;
    /** What `recover` itself brought: the index and what it takes to know the snapshots. */
    readonly recover: number;
    /** The first restore on the recovered machine: the path through the tree, and the file. */
    readonly recoveredFirst: number;
    /** The same file again after a restart of the daemon: the tree is known by then, so that this is the file alone. */
    readonly recoveredAgain: number;
  };
  readonly peaks: readonly { readonly node: string; readonly during: string; readonly bytes: number }[];
  /** Where a restored tree is not what was saved. */
  readonly differences: readonly string[];
}

const recoverReport = z.object({
  peerId: z.string(),
  ownerId: z.string(),
  listen: z.array(z.string()).optional(),
  bytesFetched: z.number(),
});

/** Runs the whole job once in a swarm of its own, which is gone afterwards. */
export async function measure(corpus: string | undefined, say: (line: string) => void): Promise<Figures> {
  const swarm = await DaemonSwarm.start({ sites: SITES, capacity: () => CAPACITY });
  try {
    const restic = await Restic.create(swarm.directory);
    if (restic === undefined) say("restic is not installed: nothing to compare with.");
    return await new MainJob(swarm, restic, await prepare(corpus, swarm, say), say).run();
  } catch (error) {
    say(swarm.complaints());
    throw error;
  } finally {
    await swarm.dispose();
  }
}

async function prepare(
  given: string | undefined,
  swarm: DaemonSwarm,
  say: (line: string) => void,
): Promise<string> {
  const corpus = given ?? join(swarm.directory, "corpus");
  if (given === undefined) {
    say("copying the corpus ...");
    mkdirSync(corpus);
    await copyCorpus(corpus);
  }
  await warm(corpus);
  return corpus;
}

/**
 * What was restored stays until the end: ext4 does not use an inode again for up to five minutes after it was freed, and
 * searches past all of them for each new file. Restoring 50,000 files right after 50,000 others were deleted takes several
 * times as long, in the kernel, whoever restores.
 */
class MainJob {
  readonly #swarm: DaemonSwarm;
  readonly #restic: Restic | undefined;
  readonly #corpus: string;
  readonly #say: (line: string) => void;
  readonly #memory = new PeakMemory();
  readonly #differences: string[] = [];

  constructor(swarm: DaemonSwarm, restic: Restic | undefined, corpus: string, say: (line: string) => void) {
    this.#swarm = swarm;
    this.#restic = restic;
    this.#corpus = corpus;
    this.#say = say;
  }

  async run(): Promise<Figures> {
    const owner = this.#swarm.node(0);
    const size = sizeOf(this.#corpus);
    const loadAtStart = loadAverage();
    this.#memory.note(this.#swarm.nodes, "start");

    const first = await this.#snapshot("first snapshot", owner);
    const unchanged = await this.#snapshot("nothing changed", owner);
    const stored = {
      holderBytes: this.#swarm.nodes.reduce((sum, node) => sum + treeBytes(join(node.home, "shards")), 0),
      resticBytes: this.#restic === undefined ? undefined : treeBytes(this.#restic.repository),
    };
    const [k = 0, m = 0] = first.result.profile.split("+").map(Number);

    const resticRestoreMs = await this.#resticRestore();
    const full = await this.#restore("full restore", owner);
    const ownerAllUp = await this.#single(owner, size.smallFiles);

    const victims = this.#swarm.nodes.slice(-m);
    await Promise.all(victims.map((node) => node.kill()));
    const down = await this.#restore(`restore, ${m} peers dead`, owner);
    const ownerPeersDown = await this.#single(owner, size.smallFiles);
    await Promise.all(victims.map((node) => node.start()));
    await this.#swarm.allAlive();

    const recovered = await this.#recover(owner, size.smallFiles);
    return {
      corpus: size,
      loadAtStart,
      loadAtEnd: loadAverage(),
      profile: { k, m },
      times: [
        first.timed,
        unchanged.timed,
        { ...full, resticMs: resticRestoreMs },
        { ...down, resticMs: resticRestoreMs },
      ],
      firstSnapshot: first.result,
      unchanged: unchanged.result,
      stored,
      singleFile: {
        fileBytes: Math.max(...size.smallFiles.map((path) => statSync(path).size)),
        ownerAllUp,
        ownerPeersDown,
        ...recovered,
      },
      peaks: this.#memory.all,
      differences: this.#differences,
    };
  }

  async #snapshot(what: string, owner: TestNode) {
    await settleDisk();
    const resticMs = await this.#restic?.backup(this.#corpus);
    await settleDisk();
    const ran = await owner.cliWith({ withinMs: PATIENCE_MS }, "snapshot", this.#corpus, "--json");
    const result = resultOf(ran, snapshotResult);
    if (ran.status !== 0) throw new Error(`the snapshot is ${result.state}: ${result.notes.join(" ")}`);
    const timed: Timed = { what, cairnMs: ran.durationMs, resticMs };
    this.#done(timed);
    return { timed, result };
  }

  async #resticRestore(): Promise<number | undefined> {
    const target = join(this.#swarm.directory, "restic-target");
    await settleDisk();
    const durationMs = await this.#restic?.restore(target);
    return durationMs;
  }

  async #restore(what: string, owner: TestNode): Promise<Timed> {
    const target = this.#swarm.scratch("target");
    await settleDisk();
    const ran = await owner.cliWith(
      { withinMs: PATIENCE_MS },
      ...["restore", "latest", "--target", target, "--json"],
    );
    const result = resultOf(ran, restoreResult);
    if (ran.status !== 0 || !result.verified)
      throw new Error(`the restore ended with ${ran.status}: ${JSON.stringify(result.problems.slice(0, 5))}`);
    const timed: Timed = { what, cairnMs: ran.durationMs, resticMs: undefined };
    this.#done(timed);
    for (const line of await differences(this.#corpus, join(target, this.#corpus)))
      this.#differences.push(`${what}: ${line}`);
    return timed;
  }

  /** The most that came over the network for one of these. */
  async #single(node: TestNode, files: readonly string[]): Promise<number> {
    const fetched: number[] = [];
    for (const file of files) fetched.push(await this.#singleOne(node, file));
    this.#memory.note(this.#swarm.nodes, "single file");
    return Math.max(...fetched);
  }

  async #singleOne(node: TestNode, file: string): Promise<number> {
    const target = this.#swarm.scratch("single");
    const args = ["restore", `latest:${file}`, "--target", target];
    const result = await node.ask(restoreResult, ...args);
    if (result.status !== 0 || result.files !== 1)
      throw new Error(`restoring ${file} ended with ${result.status}, ${result.files} files`);
    return result.bytesFetched;
  }

  /** The owner's machine is lost for good; a new one, with nothing but the recovery key, restores the one file. */
  async #recover(owner: TestNode, files: readonly string[]) {
    await owner.kill();
    const home = join(this.#swarm.directory, "recovered");
    const via = this.#swarm.node(1).address;
    const ran = await cairn(
      [
        ...["--home", home, "recover", "--recovery-key", owner.keyFile, "--peer", via, "--site", owner.site],
        ...["--listen", "127.0.0.1:0", "--capacity", CAPACITY, "--json"],
      ],
      { withinMs: PATIENCE_MS },
    );
    const report = resultOf(ran, recoverReport);
    const recovered = new TestNode(
      { home, name: "recovered", site: owner.site },
      { ...report, listen: [via] },
    );
    this.#swarm.nodes.push(recovered);
    await recovered.start();
    this.#say(`recovered: ${(ran.durationMs / 1000).toFixed(1)} s`);
    const recoveredFirst = await this.#single(recovered, files.slice(-1));
    // What it holds in memory of the segments read must not be counted as fetched for nothing.
    await recovered.stop();
    await recovered.start();
    const recoveredAgain = await this.#single(recovered, files.slice(-1));
    return { recover: report.bytesFetched, recoveredFirst, recoveredAgain };
  }

  #done(timed: Timed): void {
    this.#memory.note(this.#swarm.nodes, timed.what);
    const beside = timed.resticMs === undefined ? "" : `, restic ${(timed.resticMs / 1000).toFixed(1)} s`;
    this.#say(
      `${timed.what}: ${(timed.cairnMs / 1000).toFixed(1)} s${beside} (load ${loadAverage().toFixed(1)})`,
    );
  }
}

/** What one program left to be written must not slow the next one down. */
async function settleDisk(): Promise<void> {
  await run("sync", []);
}

function treeBytes(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + must(statSync(join(entry.parentPath, entry.name)).size, "size"), 0);
}
