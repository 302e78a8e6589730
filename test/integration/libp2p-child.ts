/**
 * A node in a process of its own, to be stopped and killed. Reads its configuration as one line of JSON on
 * stdin: {seed, directory, listen, members}; prints {address} when it listens; echoes every data request.
 */
import { createInterface } from "node:readline";
import { createLibp2pNode } from "../../src/adapters/libp2p/index.ts";
import { must } from "../../src/base/assert.ts";
import { parsePeerId } from "../../src/base/ids.ts";
import { SILENT_LOG } from "../../src/base/log.ts";

interface Configuration {
  readonly seedHex: string;
  readonly directory: string;
  readonly members: readonly string[];
}

const lines = createInterface({ input: process.stdin });
// The parent holds the other end of the pipe: a test that dies takes its children along.
lines.on("close", () => process.exit(0));
lines.once("line", (line) => void run(JSON.parse(line) as Configuration));

async function run(configuration: Configuration): Promise<void> {
  const members = configuration.members.map((text) => must(parsePeerId(text), "peer id"));
  const node = await createLibp2pNode({
    seed: Buffer.from(configuration.seedHex, "hex"),
    datastoreDirectory: configuration.directory,
    listen: ["/ip4/127.0.0.1/tcp/0"],
    roleOf: (peer) => (members.includes(peer) ? "member" : "stranger"),
    members: () => [],
    log: SILENT_LOG,
  });
  node.network.handle("data", async (_, message) => message);
  await node.start();
  console.log(JSON.stringify({ address: node.listenAddresses()[0], peer: node.network.self }));
}
