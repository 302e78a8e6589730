import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { createInterface, type Interface } from "node:readline";
import { must } from "../../src/base/assert.ts";
import { type PeerId, peerIdOf } from "../../src/base/ids.ts";
import { signerFromSeed } from "../../src/crypto/sign.ts";
import type { PeerRole } from "../../src/ports/network.ts";
import type { TestSwarm } from "./libp2p-swarm.ts";
import type { VictimReport } from "./libp2p-victim.ts";

export interface Identity {
  readonly seed: Uint8Array;
  readonly peer: PeerId;
}

export function newIdentity(): Identity {
  const seed = randomBytes(32);
  return { seed, peer: peerIdOf(signerFromSeed(seed).publicKey) };
}

/** The node under attack, seen from outside. */
export class Victim {
  readonly peer: PeerId;
  readonly address: string;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    peer: PeerId,
    address: string,
    child: ChildProcessWithoutNullStreams,
    lines: AsyncIterator<string>,
  ) {
    this.peer = peer;
    this.address = address;
    this.#process = child;
    this.#lines = lines;
  }

  static async start(swarm: TestSwarm, roles: Readonly<Record<string, PeerRole>>): Promise<Victim> {
    const { seed, peer } = newIdentity();
    const child = spawn(process.execPath, [new URL("./libp2p-victim.ts", import.meta.url).pathname]);
    child.stderr.pipe(process.stderr);
    swarm.onStop(async () => {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null)
        await new Promise((resolve) => child.once("exit", resolve));
    });
    const reader: Interface = createInterface({ input: child.stdout });
    const lines = reader[Symbol.asyncIterator]();
    const seedHex = Buffer.from(seed).toString("hex");
    child.stdin.write(`${JSON.stringify({ seedHex, directory: swarm.freshDirectory(), roles })}\n`);
    const { address } = JSON.parse(await nextLine(lines)) as { address: string };
    return new Victim(peer, address, child, lines);
  }

  get port(): number {
    return Number(must(/\/tcp\/(\d+)$/.exec(this.address)?.[1], "port"));
  }

  get isAlive(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  async report(): Promise<VictimReport> {
    this.#process.stdin.write("report\n");
    return JSON.parse(await nextLine(this.#lines)) as VictimReport;
  }
}

async function nextLine(lines: AsyncIterator<string>): Promise<string> {
  const { value, done } = await lines.next();
  if (done === true) throw new Error("the victim died");
  return value as string;
}

/**
 * Keeps so many sockets open from each of some addresses, opening a new one for each that is closed. Every address of
 * 127.0.0.0/8 is this machine's, so they look like as many machines.
 */
export class SocketCrowd {
  opened = 0;
  readonly #open = new Set<Socket>();
  readonly #timer: NodeJS.Timeout;

  constructor(
    port: number,
    init: { sources: readonly string[]; each: number; onConnect: (socket: Socket) => void },
  ) {
    const missing = new Map(init.sources.map((source) => [source, init.each]));
    this.#timer = setInterval(() => {
      for (const [source, count] of missing) {
        // In portions: this process attacks and measures at the same time.
        for (let index = 0; index < Math.min(count, 10); index++) {
          missing.set(source, must(missing.get(source), "count") - 1);
          const socket = connect({ port, host: "127.0.0.1", localAddress: source });
          this.opened++;
          this.#open.add(socket);
          socket.on("error", () => {});
          socket.on("connect", () => init.onConnect(socket));
          socket.once("close", () => {
            this.#open.delete(socket);
            missing.set(source, must(missing.get(source), "count") + 1);
          });
        }
      }
    }, 50);
  }

  get size(): number {
    return [...this.#open].filter((socket) => !socket.connecting).length;
  }

  end(): void {
    clearInterval(this.#timer);
    for (const socket of this.#open) socket.destroy();
  }
}
