import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { isCairnHome } from "../../src/adapters/home/index.ts";
import { must } from "../../src/base/assert.ts";
import { restoreResult, snapshotResult } from "../../src/control/results.ts";
import { cairn, type Ran } from "../support/cli.ts";
import { DaemonSwarm, eventually, TestNode } from "../support/daemons.ts";
import { shardsHeld } from "../support/shard-files.ts";
import { differences, makeTree } from "../support/trees.ts";

// Commands that make a home, or make it anew, killed right before every step that changes the disk, and run again.

let swarm: DaemonSwarm;
const PRELOAD = fileURLToPath(new URL("../support/crash-at.ts", import.meta.url));
/** More steps than any of these commands has. */
const STEPS_MAX = 100;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
});
afterAll(() => swarm?.dispose());

interface Chain {
  readonly home: string;
  readonly command: readonly string[];
  readonly check: () => void;
  /** From the step after this one on everything goes another way: counting begins anew. */
  readonly turn?: RegExp;
}

/**
 * Runs the command, killed before step 1, then before step 2, each time on what the last run left, until one comes to its
 * end. Resolves with that one and how many were killed.
 */
async function crashThrough({ home, command, check, turn }: Chain): Promise<{ ran: Ran; crashes: number }> {
  const log = join(swarm.directory, "steps");
  let hasTurned = turn === undefined;
  let crashes = 0;
  for (let at = 1; at <= STEPS_MAX; at++) {
    const environment = { NODE_OPTIONS: `--import=${PRELOAD}`, CRASH_AT: String(at), CRASH_LOG: log };
    const ran = await cairn(["--home", home, ...command, "--json"], { environment });
    if (ran.status !== null) return { ran, crashes };
    crashes++;
    check();
    if (
      hasTurned ||
      turn === undefined ||
      !readSteps(log)
        .slice(0, -1)
        .some((step) => turn.test(step))
    )
      continue;
    hasTurned = true;
    at = 0;
  }
  throw new Error(`still killed after ${STEPS_MAX} steps`);
}

const readSteps = (log: string): string[] => readFileSync(log, "utf8").trimEnd().split("\n");

/** The words in a key file that a run may have written, which is then out of the next one's way. */
function takeWords(file: string): string | undefined {
  const words = existsSync(file) ? readFileSync(file, "utf8") : "";
  if (words === "") return undefined;
  rmSync(file);
  return words;
}

it("init: no home comes about without its words, and the next run succeeds", async () => {
  const home = join(swarm.directory, "init");
  const key = join(swarm.directory, "init-key");
  let words: string | undefined;
  const check = (): void => {
    words = takeWords(key) ?? words;
    if (isCairnHome(home)) expect(words?.split(" ")).toHaveLength(24);
  };
  const command = ["init", "--site", "a", "--listen", "127.0.0.1:0", "--recovery-key-out", key];
  const { ran, crashes } = await crashThrough({ home, command, check });
  expect(crashes).toBeGreaterThan(15);
  // The last of them were killed behind the step that made it a home.
  expect(ran.json).toMatchObject({ error: { code: "HOME_EXISTS" } });
  const checked = await cairn(["--home", home, "key", "check"], { input: must(words, "words") });
  expect(checked.status).toBe(0);
});

it("join: one use of the token is enough, whenever it is killed, and all runs show the same words", async () => {
  const home = join(swarm.directory, "join");
  const key = join(swarm.directory, "join-key");
  const token = await swarm.node(0).invite("d");
  const shown = new Set<string>();
  const check = (): void => {
    const words = takeWords(key);
    if (words !== undefined) shown.add(words);
    if (isCairnHome(home)) expect(shown.size).toBe(1);
  };
  const command = ["join", token, "--name", "joined", "--listen", "127.0.0.1:0", "--recovery-key-out", key];
  const { ran, crashes } = await crashThrough({ home, command, check });
  expect(crashes).toBeGreaterThan(15);
  expect(ran.json).toMatchObject({ error: { code: "HOME_EXISTS" } });
  expect(shown.size).toBe(1);
  const settings: unknown = JSON.parse(readFileSync(join(home, "settings.json"), "utf8"));
  const { listen } = z.looseObject({ listen: z.array(z.string()) }).parse(settings);
  const [peer] = (await swarm.node(0).peers()).filter(({ site }) => site === "d");
  const node = new TestNode(
    { home, name: "joined", site: "d" },
    { peerId: must(peer, "peer").peerId, ownerId: "", listen },
  );
  await node.start();
  swarm.nodes.push(node);
  await swarm.allAlive();
  expect((await swarm.node(0).peers()).filter(({ site }) => site === "d")).toHaveLength(1);
  // The copy of the recovery key that a killed run left behind the last step is gone with the first start.
  expect(existsSync(join(home, "joining"))).toBe(false);
  expect(
    (await cairn(["--home", home, "key", "check"], { input: must([...shown][0], "words") })).status,
  ).toBe(0);
});

let tree: string;

it("recover: whenever it is killed the next run has everything, and fences those before it", async () => {
  const owner = swarm.node(1);
  tree = makeTree(swarm.scratch("tree"), { seed: "crash", files: 10, averageBytes: 100_000 });
  expect((await owner.ask(snapshotResult, "snapshot", tree)).status).toBe(0);
  expect((await swarm.node(2).ask(snapshotResult, "snapshot", tree)).status).toBe(0);
  await owner.stop();
  const home = join(swarm.directory, "recover");
  const command = [
    "recover",
    "--recovery-key",
    owner.keyFile,
    "--listen",
    "127.0.0.1:0",
    "--name",
    "recovered",
  ];
  const via = ["--peer", swarm.node(0).address];
  let homes = 0;
  const check = (): void => void (isCairnHome(home) && homes++);
  const { ran, crashes } = await crashThrough({ home, command: [...command, ...via], check });
  expect(crashes).toBeGreaterThan(15);
  expect(ran.json).toMatchObject({ error: { code: "HOME_EXISTS" } });
  expect(homes).toBeGreaterThan(0);
  const node = new TestNode(
    { home, name: "recovered", site: "b" },
    { peerId: "", ownerId: owner.ownerId, listen: [owner.address] },
  );
  await node.start();
  const target = swarm.newTarget();
  await eventually("everything is back", async () => {
    mkdirSync(target, { recursive: true });
    const restored = await node.ask(restoreResult, "restore", "latest", "--target", target);
    return restored.status === 0 && differences(tree, target + tree).length === 0;
  });
  expect((await node.ask(snapshotResult, "snapshot", tree)).status).toBe(0);
  swarm.nodes.push(node);
});

it("adopt: it ends as one new owner with the same words and every shard, whenever it is killed", async () => {
  const old = swarm.node(1);
  const held = shardsHeld([old], swarm.node(2).ownerId).length;
  expect(held).toBeGreaterThan(0);
  await old.start();
  await eventually("it hears that it was replaced", () => old.logged("fenced").length > 0);
  await old.stop();
  const key = join(swarm.directory, "adopt-key");
  const shown = new Set<string>();
  const check = (): void => {
    const words = takeWords(key);
    if (words !== undefined) shown.add(words);
    expect(isCairnHome(old.home)).toBe(true);
    // Either as it was, or begun, or done and its words shown.
    if (existsSync(join(old.home, "adopted"))) expect(shown.size).toBe(1);
    expect(shardsHeld([old], swarm.node(2).ownerId).length).toBe(held);
  };
  const token = await swarm.node(0).invite("e");
  const command = ["adopt", token, "--recovery-key-out", key];
  const turn = /adopting\/recovery\.slot/;
  const { ran, crashes } = await crashThrough({ home: old.home, command, check, turn });
  expect(crashes).toBeGreaterThan(15);
  // Killed behind its last step, too: it is a member then, and another run is another adoption, which the token does not give.
  expect(ran.json).toMatchObject({ error: { code: "TOKEN_USED" } });
  expect(shown.size).toBe(1);
  await old.start();
  expect((await old.status()).standing.state).toBe("member");
  for (const left of ["adopting", "adopted"]) expect(existsSync(join(old.home, left))).toBe(false);
  expect(shardsHeld([old], swarm.node(2).ownerId).length).toBe(held);
  expect((await swarm.node(0).peers()).filter(({ site }) => site === "e")).toHaveLength(1);
  expect((await old.ask(snapshotResult, "snapshot", tree)).status).toBe(0);
});
