import { concatBytes, toHex } from "../base/bytes.ts";
import type { PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { HOUR_MS } from "../base/units.ts";
import { sha256 } from "../crypto/hash.ts";
import type { KeptRecords } from "../exchange/index.ts";
import type { GenerationAt } from "../placement/index.ts";
import type { Clock } from "../ports/index.ts";
import { mapBody } from "../wire/head.ts";
import { REPAIR_MESSAGE_BYTES_MAX, REPAIRS_MAX_IN_MESSAGE } from "../wire/repair.ts";
import { encodeSigned } from "../wire/signed.ts";
import type { RepairBook } from "./book.ts";
import type { RepairedMap } from "./judge.ts";
import type { RepairPeers } from "./peers.ts";

export interface IntroductionsComponents {
  readonly kept: Pick<KeptRecords, "mapsOf">;
  readonly book: Pick<RepairBook, "ofRow">;
  readonly peers: Pick<RepairPeers, "push">;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Log;
}

/** Who was told the same within so long is not told again: it refuses for another reason. */
const AGAIN_MS = HOUR_MS;
const TOLD_MAX = 4096;

/**
 * A claim is judged by the map of its row. Whoever became a member after the owner had signed it last, or was not in its pool,
 * has never heard of it, and would refuse for ever. So who repairs shows the map to those who refuse: the owner's signature is
 * on it, and the repairs since stand for themselves.
 */
export class Introductions {
  readonly #c: IntroductionsComponents;
  readonly #told = new Map<string, number>();

  constructor(components: IntroductionsComponents) {
    this.#c = components;
  }

  /** Whether the peer was told something that it may not have known. Throws what the network throws. */
  async tell(peer: PeerId, map: RepairedMap, at: GenerationAt, signal?: AbortSignal): Promise<boolean> {
    const { kept, book, peers, log } = this.#c;
    const { owner, incarnation } = map;
    const signed = (await kept.mapsOf(owner, incarnation))
      .filter(({ body }) => mapBody.decode(body).class === at.classId)
      .map(encodeSigned);
    if (signed.length === 0) return false;
    const records = await book.ofRow(map, at);
    if (!this.#isNews(peer, [...signed, ...records])) return false;
    let taken = 0;
    let and = signed;
    for (const some of records.length === 0 ? [[]] : inMessages(records)) {
      taken += (await peers.push(peer, owner, some, and, signal)).taken;
      and = [];
    }
    const row = `${incarnation.slice(0, 8)}/${at.classId}/${at.partition}/${at.fromSegment}`;
    log.info("row-introduced", { to: peer, owner, row, records: records.length, taken });
    return true;
  }

  #isNews(peer: PeerId, what: readonly Uint8Array[]): boolean {
    const key = `${peer}/${toHex(sha256(concatBytes(...what.map((bytes) => sha256(bytes)))))}`;
    const nowMs = this.#c.clock.monotonicMs();
    const toldMs = this.#told.get(key);
    if (toldMs !== undefined && nowMs - toldMs < AGAIN_MS) return false;
    this.#told.delete(key);
    this.#told.set(key, nowMs);
    const [oldest] = this.#told.keys();
    if (this.#told.size > TOLD_MAX && oldest !== undefined) this.#told.delete(oldest);
    return true;
  }
}

/** As many as one message takes, in their order. */
export function inMessages(records: readonly Uint8Array[]): Uint8Array[][] {
  const messages: Uint8Array[][] = [];
  let bytes = 0;
  for (const record of records) {
    const last = messages.at(-1);
    const fits = bytes + record.length <= REPAIR_MESSAGE_BYTES_MAX;
    if (last !== undefined && fits && last.length < REPAIRS_MAX_IN_MESSAGE) last.push(record);
    else {
      messages.push([record]);
      bytes = 0;
    }
    bytes += record.length;
  }
  return messages;
}
