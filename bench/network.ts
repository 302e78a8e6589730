/**
 * What a request with a shard costs: MB/s and CPU seconds per GB at both ends, two processes over loopback.
 *
 *   node bench/network.ts [MiB per run]
 *
 * `put` carries the bytes in the request, `get` in the answer. CPU seconds per GB are the steadier number.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createLibp2pNode, type Libp2pNode } from "../src/adapters/libp2p/index.ts";
import { must } from "../src/base/assert.ts";
import { type PeerId, parsePeerId, peerIdOf } from "../src/base/ids.ts";
import { SILENT_LOG } from "../src/base/log.ts";
import { MIB } from "../src/base/units.ts";
import { signerFromSeed } from "../src/crypto/sign.ts";
import type { NetMessage } from "../src/ports/network.ts";

const BODY_BYTES = 5 * MIB;
const GB = 1e9;
const IDLE = { idleTimeoutMs: 30_000 };

async function makeNode(seed: Uint8Array, directory: string, other: PeerId): Promise<Libp2pNode> {
  const node = await createLibp2pNode({
    seed,
    datastoreDirectory: directory,
    listen: ["/ip4/127.0.0.1/tcp/0"],
    roleOf: (peer) => (peer === other ? "member" : "stranger"),
    members: () => [],
    log: SILENT_LOG,
  });
  await node.start();
  return node;
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** The other end: answers "get" with a body, anything else with its CPU seconds so far. */
async function serve(seedHex: string, directory: string, other: string): Promise<void> {
  const node = await makeNode(Buffer.from(seedHex, "hex"), directory, must(parsePeerId(other), "peer id"));
  const body = randomBytes(BODY_BYTES);
  const isGet = ({ head }: NetMessage): boolean => Buffer.from(head).toString() === "get";
  node.network.handle(
    "data",
    async (_, message) => ({
      head: Buffer.from(`${cpuSeconds()}`),
      body: isGet(message) ? body : new Uint8Array(0),
    }),
    (_, message) => (isGet(message) ? 2 * BODY_BYTES : 0),
  );
  console.log(node.listenAddresses()[0]);
  process.stdin.on("end", () => process.exit(0)).resume();
}

async function measure(): Promise<void> {
  const totalBytes = Number(process.argv[2] ?? 1000) * MIB;
  const directory = await mkdtemp(join(tmpdir(), "cairn-bench-network-"));
  const [ours, theirs] = [randomBytes(32), randomBytes(32)];
  const peer = peerIdOf(signerFromSeed(theirs).publicKey);
  const node = await makeNode(ours, join(directory, "a"), peer);
  const args = [
    import.meta.filename,
    "--serve",
    theirs.toString("hex"),
    join(directory, "b"),
    node.network.self,
  ];
  const other = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const address = await new Promise<string>((resolve) =>
    createInterface({ input: other.stdout }).once("line", resolve),
  );
  await node.directory.learn(peer, [address]);
  const ask = async (what: string, body: Uint8Array): Promise<number> => {
    const answer = await node.network.request(peer, "data", { head: Buffer.from(what), body }, IDLE);
    return Number(Buffer.from(answer.head).toString());
  };
  const run = async (
    what: "put" | "get",
    parallel: number,
    bodyBytes: number,
    requests: number,
  ): Promise<void> => {
    const body = what === "put" ? randomBytes(bodyBytes) : new Uint8Array(0);
    const theirsBefore = await ask("cpu", new Uint8Array(0));
    const [startMs, oursBefore] = [performance.now(), cpuSeconds()];
    let left = requests;
    const worker = async (): Promise<void> => {
      while (left-- > 0) await ask(what, body);
    };
    await Promise.all(Array.from({ length: parallel }, worker));
    const seconds = (performance.now() - startMs) / 1000;
    const used = [cpuSeconds() - oursBefore, (await ask("cpu", new Uint8Array(0))) - theirsBefore];
    const gb = (requests * (what === "get" ? BODY_BYTES : bodyBytes)) / GB;
    const perGb = used.map((cpu) =>
      bodyBytes === 0 ? `${((cpu / requests) * 1e3).toFixed(2)} ms each` : `${(cpu / gb).toFixed(2)} s/GB`,
    );
    const speed =
      bodyBytes === 0 ? `${Math.round(requests / seconds)}/s` : `${Math.round((gb * 1000) / seconds)} MB/s`;
    console.log(
      `${what} ${bodyBytes} B x ${parallel}: ${speed}, CPU asking ${perGb[0]}, answering ${perGb[1]}`,
    );
  };
  const requests = Math.ceil(totalBytes / BODY_BYTES);
  await run("put", 4, BODY_BYTES, 40); // to warm up
  for (const parallel of [1, 4, 8]) {
    await run("put", parallel, BODY_BYTES, requests);
    await run("get", parallel, BODY_BYTES, requests);
  }
  await run("put", 8, 0, 5000);
  other.stdin.end();
  await node.stop();
  await rm(directory, { recursive: true });
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === "--serve") await serve(must(rest[0], "seed"), must(rest[1], "directory"), must(rest[2], "peer"));
else await measure();
