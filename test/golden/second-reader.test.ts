import { ftruncateSync, mkdirSync, openSync, symlinkSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { peerIdOf } from "../../src/base/ids.ts";
import { signerFromSeed } from "../../src/crypto/sign.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { type Exchange, entropyOf, identitySeedOf, SecondReader } from "../support/second-reader.ts";
import { Swarm } from "../support/swarm.ts";

// Goal: docs/format.md is enough to read a repository. Method: real nodes write one; a reader that shares no code with
// them reads it back from the 24 words, with some shards taken for lost.

const scratch = scratchDirectories();
let swarm: Swarm | undefined;
afterEach(async () => {
  await swarm?.stop();
  swarm = undefined;
});

function writeSource(rng: Swarm["rng"]): { directory: string; contents: Map<string, Buffer> } {
  const directory = join(scratch(), "source");
  mkdirSync(join(directory, "below", "empty"), { recursive: true });
  const contents = new Map<string, Buffer>([
    ["empty-file", Buffer.alloc(0)],
    ["text", Buffer.from("the same line over and over\n".repeat(400))],
    ["below/small", Buffer.from(rng.bytes(700))],
    // More than 64 pieces: its list is in a content page.
    ["below/large", Buffer.from(rng.bytes(400_000))],
  ]);
  for (const [name, bytes] of contents) writeFileSync(join(directory, name), bytes);
  const sparse = Buffer.concat([Buffer.from(rng.bytes(8192)), Buffer.alloc(300_000)]);
  const file = openSync(join(directory, "sparse"), "w");
  writeSync(file, sparse.subarray(0, 8192));
  ftruncateSync(file, sparse.length);
  contents.set("sparse", sparse);
  symlinkSync("../text", join(directory, "below", "link"));
  return { directory, contents };
}

test.each([
  ["all shards there", []],
  ["three shards lost, two of them data", [0, 2, 4]],
])("a repository is read by a reader written from the format page: %s", async (_, lost) => {
  swarm = await Swarm.create({ sites: ["a", "a", "a", "b", "b", "b", "c", "c", "c"], seed: "second reader" });
  const { directory, contents } = writeSource(swarm.rng);
  const owner = swarm.member(0);
  await swarm.clock.during(owner.snapshot([directory]));
  contents.set("later", Buffer.from(swarm.rng.bytes(60_000)));
  writeFileSync(join(directory, "later"), contents.get("later") ?? "");
  const result = await swarm.clock.during(owner.snapshot([directory]));
  expect(result.protection.state).toBe("full");

  const { words } = owner.identity;
  const guest = owner.guest(signerFromSeed(identitySeedOf(entropyOf(words))));
  const exchange: Exchange = (peerKey, message) =>
    guest.network.request(peerIdOf(peerKey), "recover", message, { idleTimeoutMs: 1000 });
  owner.crash();
  const via = Buffer.from(swarm.member(4).identity.node.publicKey);
  const reader = await SecondReader.begin(words, via, exchange, lost);
  const files = await reader.newestSnapshot();

  for (const [name, bytes] of contents) {
    expect(files.get(`${directory}/${name}`)?.bytes.equals(bytes), name).toBe(true);
  }
  expect(files.get(`${directory}/below/link`)).toMatchObject({ type: 2, target: "../text" });
  expect(files.get(`${directory}/below/empty`)?.type).toBe(1);
});
