import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { must } from "../../src/base/assert.ts";
import type { TestNode } from "./daemons.ts";

interface Link {
  readonly from: TestNode | undefined;
  readonly to: TestNode;
  readonly socket: Socket;
  onward: Socket | undefined;
}

/**
 * What stands between daemons on one machine, to be cut: each tells others the address of a relay in place of its own.
 * Who dials is known from the kernel's tables, by the process that has the other end; what is no daemon of ours, such as
 * a newcomer's `join`, is let through.
 */
export class Links {
  readonly #relays: { readonly server: Server; node: TestNode | undefined }[] = [];
  readonly #cuts = new Set<string>();
  readonly #links = new Set<Link>();

  private constructor() {}

  /** As many relays as there will ever be nodes. */
  static async create(count: number): Promise<Links> {
    const links = new Links();
    for (let index = 0; index < count; index++) {
      const relay = { server: createServer((socket) => links.#dialled(relay.node, socket)), node: undefined };
      await new Promise<void>((resolve) => relay.server.listen(0, "127.0.0.1", resolve));
      links.#relays.push(relay);
    }
    return links;
  }

  /** Gives a node that does not run yet the next relay. */
  attach(node: TestNode): void {
    const relay = must(
      this.#relays.find((one) => one.node === undefined),
      "a free relay",
    );
    relay.node = node;
    node.configure({ announce: [`/ip4/127.0.0.1/tcp/${portOf(relay.server)}`] });
  }

  /** HOST:PORT at which others reach a node. */
  address(node: TestNode): string {
    const relay = must(
      this.#relays.find((one) => one.node === node),
      "relay of a node",
    );
    return `127.0.0.1:${portOf(relay.server)}`;
  }

  /** From now on nothing gets from any of one side to any of the other, as if packets were dropped. */
  cut(left: readonly TestNode[], right: readonly TestNode[]): void {
    for (const a of left) for (const b of right) this.#cuts.add(pair(a, b));
    for (const link of this.#links) if (this.#isCut(link)) end(link);
  }

  heal(left: readonly TestNode[], right: readonly TestNode[]): void {
    for (const a of left) for (const b of right) this.#cuts.delete(pair(a, b));
    // Those that were held: their dialler tries again.
    for (const link of this.#links) if (link.onward === undefined && !this.#isCut(link)) end(link);
  }

  async dispose(): Promise<void> {
    for (const link of this.#links) end(link);
    await Promise.all(this.#relays.map(({ server }) => new Promise((resolve) => server.close(resolve))));
  }

  #isCut({ from, to }: Link): boolean {
    return from !== undefined && this.#cuts.has(pair(from, to));
  }

  #dialled(to: TestNode | undefined, socket: Socket): void {
    if (to === undefined) return void socket.destroy();
    const nodes = this.#relays.flatMap(({ node }) => (node?.isRunning === true ? [node] : []));
    const link: Link = { from: dialler(socket, nodes), to, socket, onward: undefined };
    this.#links.add(link);
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#links.delete(link);
      link.onward?.destroy();
    });
    // One that is cut is held: who dials hears nothing, as from a host that is not reached.
    if (this.#isCut(link)) return void socket.resume();
    const onward = connect(Number(must(/\d+$/.exec(to.address), "port")[0]), "127.0.0.1");
    link.onward = onward;
    onward.on("error", () => {});
    onward.on("close", () => socket.destroy());
    socket.pipe(onward).pipe(socket);
  }
}

function end(link: Link): void {
  link.socket.destroy();
  link.onward?.destroy();
}

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  return typeof address === "object" ? must(address, "address").port : 0;
}

function pair(a: TestNode, b: TestNode): string {
  return [a.peerId, b.peerId].sort().join(" ");
}

/** Which of these nodes' processes has the other end of this connection. */
function dialler(socket: Socket, nodes: readonly TestNode[]): TestNode | undefined {
  const inode = inodeOf(must(socket.remotePort, "remote port"), must(socket.localPort, "local port"));
  return inode === undefined ? undefined : nodes.find((node) => has(node.pid, `socket:[${inode}]`));
}

function inodeOf(from: number, to: number): string | undefined {
  const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, "0");
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of readFileSync(table, "utf8").split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(`:${hex(from)}`) && fields[2]?.endsWith(`:${hex(to)}`)) return fields[9];
    }
  }
  return undefined;
}

function has(pid: number, file: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => isLink(`/proc/${pid}/fd/${fd}`, file));
  } catch {
    return false; // It has ended meanwhile.
  }
}

function isLink(path: string, target: string): boolean {
  try {
    return readlinkSync(path) === target;
  } catch {
    return false;
  }
}
