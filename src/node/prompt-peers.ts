import { Fault, isFault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { PeerClient, SilentPeers } from "../exchange/index.ts";

type Reading = Pick<PeerClient, "have" | "getShard" | "getRange" | "silent">;

/**
 * The reading half of a client that waits for nobody twice: who has not answered before is not asked, and who falls silent
 * is not asked again. A recovery reads thousands of small things one after the other; one silent holder must not cost each
 * of them its patience. What is missed so is found later, when the daemon asks.
 */
export class PromptPeers implements Reading {
  readonly #client: Reading;
  readonly #prompt: Set<PeerId>;

  constructor(components: { client: Reading }, answering: Iterable<PeerId>) {
    this.#client = components.client;
    this.#prompt = new Set(answering);
  }

  get silent(): SilentPeers {
    return this.#client.silent;
  }

  prompt(): PeerId[] {
    return [...this.#prompt];
  }

  /** Lower is better. */
  preference(peer: PeerId): number {
    return this.#prompt.has(peer) ? 0 : 1;
  }

  have(...args: Parameters<Reading["have"]>): ReturnType<Reading["have"]> {
    return this.#ask(args[0], () => this.#client.have(...args));
  }

  getShard(...args: Parameters<Reading["getShard"]>): ReturnType<Reading["getShard"]> {
    return this.#ask(args[0], () => this.#client.getShard(...args));
  }

  getRange(...args: Parameters<Reading["getRange"]>): ReturnType<Reading["getRange"]> {
    return this.#ask(args[0], () => this.#client.getRange(...args));
  }

  async #ask<T>(peer: PeerId, ask: () => Promise<T>): Promise<T> {
    if (!this.#prompt.has(peer))
      throw new Fault({ code: "PEER_UNREACHABLE", peer, reason: "it has not answered before" });
    try {
      return await ask();
    } catch (error) {
      if (isFault(error, "PEER_TIMEOUT")) this.#prompt.delete(peer);
      throw error;
    }
  }
}
