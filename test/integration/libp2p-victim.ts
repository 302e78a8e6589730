/**
 * A node in a process of its own, to be attacked. Reads one line of JSON on stdin, then answers every line "report" with
 * what it costs: memory, file descriptors, processor time, gauges, and how often it logged what. A data request whose
 * head is a number is answered with so many bytes.
 */
import { readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { createLibp2pNode, guardProcess, type Libp2pGauges } from "../../src/adapters/libp2p/index.ts";
import { garbageCollector, thoroughGarbageCollector } from "../../src/adapters/workers/collect-garbage.ts";
import { must } from "../../src/base/assert.ts";
import { parsePeerId } from "../../src/base/ids.ts";
import type { Log } from "../../src/base/log.ts";
import type { NetMessage, PeerRole } from "../../src/ports/network.ts";

export interface VictimConfiguration {
  readonly seedHex: string;
  readonly directory: string;
  readonly roles: Readonly<Record<string, PeerRole>>;
}

export interface VictimReport {
  /** What is resident after a collection: how much garbage waits for one, the load of the machine decides. */
  readonly rssBytes: number;
  /**
   * What is still referenced: heap and buffers after a thorough collection. After a usual one, V8's optimizing compiler may
   * refer to closures, and so to all they refer to, for as long as its jobs wait for a processor.
   */
  readonly heldBytes: number;
  readonly descriptors: number;
  readonly cpuMs: number;
  readonly gauges: Libp2pGauges;
  /** Requests whose handler ran. */
  readonly served: number;
  readonly events: Readonly<Record<string, number>>;
}

const lines = createInterface({ input: process.stdin });
// The parent holds the other end of the pipe: a test that dies takes its children along.
lines.on("close", () => process.exit(0));
lines.once("line", (line) => void run(JSON.parse(line) as VictimConfiguration));

async function run(configuration: VictimConfiguration): Promise<void> {
  const events: Record<string, number> = {};
  const count = (event: string): void => {
    events[event] = (events[event] ?? 0) + 1;
  };
  const log: Log = { debug: () => {}, info: count, warn: count, error: count };
  guardProcess({
    log,
    onFatal: (error) => {
      console.error(error);
      process.exit(70);
    },
  });
  const roles = new Map(
    Object.entries(configuration.roles).map(([peer, role]) => [must(parsePeerId(peer), "peer id"), role]),
  );
  const node = await createLibp2pNode({
    seed: Buffer.from(configuration.seedHex, "hex"),
    datastoreDirectory: configuration.directory,
    listen: ["/ip4/127.0.0.1/tcp/0"],
    roleOf: (peer) => roles.get(peer) ?? "stranger",
    members: () => [],
    log,
  });
  let served = 0;
  for (const protocol of ["data", "sync", "join", "recover"] as const) {
    const bytesOf = ({ head }: NetMessage): number => {
      const bytes = Number(new TextDecoder().decode(head));
      return protocol === "data" && bytes > 0 ? bytes : 0;
    };
    node.network.handle(
      protocol,
      async (_, message) => {
        served++;
        return { head: new Uint8Array(0), body: new Uint8Array(bytesOf(message)) };
      },
      (_, message) => bytesOf(message),
    );
  }
  await node.start();
  const [collect, collectAll] = [garbageCollector(), thoroughGarbageCollector()];
  lines.on("line", () => {
    const { user, system } = process.cpuUsage();
    collect();
    const { rss: rssBytes } = process.memoryUsage();
    collectAll();
    const { heapUsed, external } = process.memoryUsage();
    const report: VictimReport = {
      rssBytes,
      heldBytes: heapUsed + external,
      descriptors: readdirSync("/proc/self/fd").length,
      cpuMs: (user + system) / 1000,
      gauges: node.gauges(),
      served,
      events,
    };
    console.log(JSON.stringify(report));
  });
  console.log(JSON.stringify({ address: node.listenAddresses()[0] }));
}
