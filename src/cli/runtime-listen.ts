import { createServer } from "node:net";
import { DEFAULT_PORT, parseListenAddress } from "../adapters/libp2p/index.ts";
import { Fault, messageOf } from "../base/fault.ts";

/**
 * The addresses that a new home will listen on, with a port of its own that stays the same: tokens and address books
 * name it. Without a wish the default port, or a free one where that is taken.
 */
export async function chooseListen(wanted: string | undefined): Promise<string[]> {
  const address = parseListenAddress(wanted ?? `0.0.0.0:${DEFAULT_PORT}`);
  const match = /^\/(ip[46])\/([^/]+)\/tcp\/(\d+)$/.exec(address);
  if (match === null)
    throw new Fault({ code: "USAGE", reason: `"${wanted}": listening is on /ip4|ip6/ADDR/tcp/PORT.` });
  const [, family, host, port] = match;
  if (port !== "0" && wanted !== undefined) return [address];
  const free = (await freePort(host ?? "", Number(port))) ?? (await freePort(host ?? "", 0));
  if (free === undefined) throw new Fault({ code: "USAGE", reason: `Nothing can listen on ${address}.` });
  return [`/${family}/${host}/tcp/${free}`];
}

/** The port, or for 0 a free one; `undefined` when it is taken. */
async function freePort(host: string, port: number): Promise<number | undefined> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, resolve);
    });
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : undefined;
  } catch (error) {
    if (/EADDRINUSE|EACCES/.test(messageOf(error))) return undefined;
    throw new Fault({ code: "USAGE", reason: `Cannot listen on ${host}: ${messageOf(error)}.` });
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}
