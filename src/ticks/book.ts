import { must } from "../base/assert.ts";
import { compareBytes } from "../base/bytes.ts";
import { type PeerId, peerIdOf } from "../base/ids.ts";
import type { Signed } from "../crypto/signed.ts";
import type { RecordStore, Roster } from "../membership/index.ts";
import { nodeStatusCodec } from "../wire/membership.ts";
import { type PackedTick, packTick, TICKS_MAX, tickPrefix, unpackTicks } from "../wire/ticks.ts";
import { tickBefore } from "./chain.ts";

/** A node was up when it let this value be known. */
export interface Tick {
  readonly peer: PeerId;
  /** Counts up over all beats of the node, its statuses among them. */
  readonly beat: number;
  /** By the node's own clock. */
  readonly sentMs: number;
}

/** What is known of one chain: `value` at `index` is what was told last. */
interface Chain {
  /** The node's key. */
  readonly signer: Uint8Array;
  readonly epoch: number;
  readonly fromMs: number;
  readonly everyMs: number;
  readonly count: number;
  index: number;
  value: Uint8Array;
  /** The newest as it travels: every link asks for the same. */
  packed: Uint8Array | undefined;
}

/** The list of changes is thinned out when it is longer than all chains together by this. */
const CHANGES_SLACK = 1024;

/** A message with more forged values than this is not read to its end: each costs the hashes of a whole chain. */
const FORGED_MAX = 8;

/** The beat that a status is; the ticks of its chain follow. */
export function beatOfStatus(epoch: number): number {
  return Math.min(epoch * (TICKS_MAX + 1), Number.MAX_SAFE_INTEGER - TICKS_MAX);
}

/**
 * The newest tick of every member. A tick is a value that only its origin can have made, for it hashes to the anchor that
 * it signed in its status: 26 bytes say what a signed record says in 500.
 */
export class TickBook {
  readonly #roster: Pick<Roster, "member">;
  readonly #chains = new Map<PeerId, Chain>();
  readonly #byPrefix = new Map<string, PeerId[]>();
  readonly #listeners = new Set<(tick: Tick) => void>();
  /** Whose newest tick changed, the latest last; the position of the first counts what was before it. */
  #changes: PeerId[] = [];
  #changesFrom = 0;
  readonly #unsubscribe: (() => void)[];

  constructor({ records, roster }: { readonly records: RecordStore; readonly roster: Roster }) {
    this.#roster = roster;
    for (const record of records.ofType("status")) this.#learn(record);
    this.#unsubscribe = [
      records.onChange(({ record }) => (record.type === "status" ? this.#learn(record) : undefined)),
      roster.onChange(() => this.#forgetStrangers()),
    ];
  }

  stop(): void {
    for (const end of this.#unsubscribe) end();
  }

  /** This node's own next one. */
  tell(peer: PeerId, index: number, value: Uint8Array): void {
    const chain = this.#chains.get(peer);
    if (chain !== undefined && index > chain.index && index <= chain.count)
      this.#take(peer, chain, index, value);
  }

  /**
   * Takes what is newer and genuine. Says which beats whoever offers them has got, and how many were made up. Throws
   * `FORMAT_INVALID`.
   */
  offer(packed: Uint8Array): { readonly held: (readonly [PeerId, number])[]; readonly forged: number } {
    const held: (readonly [PeerId, number])[] = [];
    let forged = 0;
    for (const tick of unpackTicks(packed)) {
      const outcome = this.#offer(tick);
      if (typeof outcome === "object") held.push(outcome);
      else if (outcome === "forged" && ++forged > FORGED_MAX) break;
    }
    return { held, forged };
  }

  /**
   * The newest beat of every node that has another one since `position`, as numbers that rise, each with the position to ask from
   * next; some more than once, and perhaps some that have not. 0 asks for all.
   */
  *changedSince(position: number): Iterable<readonly [peer: PeerId, beat: number, next: number]> {
    for (let at = Math.max(0, position - this.#changesFrom); at < this.#changes.length; at++) {
      const peer = must(this.#changes[at], "change");
      const chain = this.#chains.get(peer);
      if (chain !== undefined)
        yield [peer, beatOfStatus(chain.epoch) + chain.index, this.#changesFrom + at + 1];
    }
  }

  /** The newest tick as it travels; `undefined` while there is only the status. */
  packed(peer: PeerId): Uint8Array | undefined {
    const chain = this.#chains.get(peer);
    if (chain === undefined || chain.index === 0) return undefined;
    return (chain.packed ??= packTick(peer, {
      chain: chain.epoch % 0x10000,
      index: chain.index,
      value: chain.value,
    }));
  }

  /** Called for every tick that was not known. Returns how to stop. */
  onTick(listener: (tick: Tick) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #offer({ prefix, chain: low, index, value }: PackedTick): readonly [PeerId, number] | "strange" | "forged" {
    let outcome: "strange" | "forged" = "strange";
    for (const peer of this.#byPrefix.get(prefix) ?? []) {
      const chain = this.#chains.get(peer);
      // Of a status that has not come yet, or is over.
      if (chain === undefined || chain.epoch % 0x10000 !== low) continue;
      const isNew = index > chain.index;
      if (isNew && (index > chain.count || !leadsTo(chain, index, value))) {
        outcome = "forged";
        continue;
      }
      if (isNew) this.#take(peer, chain, index, value);
      return [peer, beatOfStatus(chain.epoch) + index];
    }
    return outcome;
  }

  #take(peer: PeerId, chain: Chain, index: number, value: Uint8Array): void {
    chain.index = index;
    chain.value = value;
    chain.packed = undefined;
    this.#changed(peer);
    const tick = {
      peer,
      beat: beatOfStatus(chain.epoch) + index,
      sentMs: chain.fromMs + index * chain.everyMs,
    };
    for (const listener of [...this.#listeners]) listener(tick);
  }

  #learn({ signer, epoch, body }: Signed): void {
    const peer = peerIdOf(signer);
    const { ticks, timeMs } = nodeStatusCodec.decode(body);
    if (ticks === undefined) {
      this.#forget(peer);
      return;
    }
    const known = this.#chains.get(peer);
    if (known !== undefined && known.epoch >= epoch) return;
    if (known === undefined) {
      const prefix = tickPrefix(peer);
      this.#byPrefix.set(prefix, [...(this.#byPrefix.get(prefix) ?? []), peer]);
    }
    const { anchor, everyMs, count } = ticks;
    const start = { index: 0, value: anchor, packed: undefined };
    this.#chains.set(peer, { signer, epoch, fromMs: timeMs, everyMs, count, ...start });
    this.#changed(peer);
  }

  /** Of each node only the latest change counts; left out ones in front move the others towards the end, never back. */
  #changed(peer: PeerId): void {
    this.#changes.push(peer);
    if (this.#changes.length <= 2 * this.#chains.size + CHANGES_SLACK) return;
    const end = this.#changesFrom + this.#changes.length;
    this.#changes = [...new Set(this.#changes.toReversed())].reverse();
    this.#changesFrom = end - this.#changes.length;
  }

  #forgetStrangers(): void {
    for (const peer of [...this.#chains.keys()])
      if (this.#roster.member(peer) === undefined) this.#forget(peer);
  }

  #forget(peer: PeerId): void {
    if (!this.#chains.delete(peer)) return;
    const prefix = tickPrefix(peer);
    const others = (this.#byPrefix.get(prefix) ?? []).filter((other) => other !== peer);
    if (others.length === 0) this.#byPrefix.delete(prefix);
    else this.#byPrefix.set(prefix, others);
  }
}

function leadsTo(chain: Chain, index: number, value: Uint8Array): boolean {
  let before = value;
  for (let at = index; at > chain.index; at--) before = tickBefore(chain.signer, before);
  return compareBytes(before, chain.value) === 0;
}
