import { SECOND_MS } from "../../src/base/units.ts";
import { syncRequestCodec } from "../../src/wire/sync.ts";
import type { Answered } from "../full/machine.ts";

/** In each direction of every request: stream negotiation, frames, encryption, TCP and IP. */
const REQUEST_OVERHEAD_BYTES = 500;

/** What the nodes tell each other, by what it is about. */
export class Traffic {
  readonly #bytes = new Map<string, number>();
  #sinceMs: number;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  clear(nowMs: number): void {
    this.#bytes.clear();
    this.#sinceMs = nowMs;
  }

  count({ protocol, request, answer }: Answered): void {
    const kind = protocol === "sync" ? syncRequestCodec.decode(request.head).kind : protocol;
    const bytes = request.head.length + request.body.length + answer.head.length + answer.body.length;
    this.#bytes.set(kind, (this.#bytes.get(kind) ?? 0) + bytes + 2 * REQUEST_OVERHEAD_BYTES);
  }

  /** Of one node in the mean, in and out together, by kind. */
  kilobitsPerSecond(nodes: number, nowMs: number): Map<string, number> {
    const seconds = (nowMs - this.#sinceMs) / SECOND_MS;
    const rates = [...this.#bytes].map(([kind, bytes]): [string, number] => {
      // What one sends another one receives.
      return [kind, (2 * bytes * 8) / 1000 / seconds / nodes];
    });
    return new Map(rates.sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

/** The kinds that say who is in the swarm and who is up. */
const MEMBERSHIP_KINDS: readonly string[] = ["compare", "list", "fetch", "push", "introduce", "ticks"];

export function membershipOf(rates: ReadonlyMap<string, number>): number {
  return MEMBERSHIP_KINDS.reduce((sum, kind) => sum + (rates.get(kind) ?? 0), 0);
}
