import type { Multiaddr } from "@multiformats/multiaddr";
import type { Log } from "../../base/log.ts";

/** What is used of a connection whose other end is not known yet. */
export interface PendingConnection {
  readonly remoteAddr: Multiaddr;
  abort(reason: Error): void;
  addEventListener(type: "close", listener: () => void, options: { once: true }): void;
}

/**
 * Connections whose handshake has not ended. Before it ends there is only an address, and an address costs nothing
 * to have: so when there are too many, the one that goes is the oldest of the source that has most of them.
 * Refusing the newest instead would let two machines that connect and say nothing keep everybody out.
 */
export class Handshakes {
  readonly #max: number;
  readonly #log: Log;
  readonly #bySource = new Map<string, Set<PendingConnection>>();
  #count = 0;

  constructor(init: { readonly max: number; readonly log: Log }) {
    this.#max = init.max;
    this.#log = init.log;
  }

  get count(): number {
    return this.#count;
  }

  begun(connection: PendingConnection): void {
    const source = sourceOf(connection.remoteAddr);
    const pending = this.#bySource.get(source) ?? new Set();
    this.#bySource.set(source, pending.add(connection));
    this.#count++;
    connection.addEventListener("close", () => this.ended(connection), { once: true });
    while (this.#count > this.#max) this.#dropOne();
  }

  /** It has a peer id now, or is closed. */
  ended(connection: PendingConnection): void {
    const source = sourceOf(connection.remoteAddr);
    const pending = this.#bySource.get(source);
    if (pending?.delete(connection) !== true) return;
    this.#count--;
    if (pending.size === 0) this.#bySource.delete(source);
  }

  #dropOne(): void {
    let [most, crowd]: [string, ReadonlySet<PendingConnection>] = ["", new Set()];
    for (const [source, pending] of this.#bySource) {
      if (pending.size > crowd.size) [most, crowd] = [source, pending];
    }
    const [oldest] = crowd;
    if (oldest === undefined) return;
    this.#log.warn("handshakes-crowded", { pending: this.#count, address: most, ofAddress: crowd.size });
    this.ended(oldest);
    oldest.abort(new Error("too many handshakes at a time"));
  }
}

/** The address, without its port; of IPv6 the first half, since whoever has one address there has all of the other half. */
export function sourceOf(address: Multiaddr): string {
  const host = address.getComponents().find(({ name }) => name === "ip4" || name === "ip6");
  if (host?.value === undefined) return address.toString();
  if (host.name === "ip4") return host.value;
  const [front = "", back] = host.value.split("::");
  const groups = front === "" ? [] : front.split(":");
  const missing = back === undefined ? 0 : 8 - groups.length - (back === "" ? 0 : back.split(":").length);
  const all = [...groups, ...new Array<string>(Math.max(0, missing)).fill("0"), ...(back ?? "").split(":")];
  return `${all.slice(0, 4).join(":")}::/64`;
}
