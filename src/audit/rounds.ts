import { mapLimit } from "../base/concurrency.ts";
import { isFault, messageOf } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../base/units.ts";
import type { OwnerMaps } from "../exchange/index.ts";
import type { Clock, Network, Rng } from "../ports/index.ts";
import { type Auditor, type HolderAudit, LEAVES_PER_MESSAGE } from "./auditor.ts";
import type { AuditBook } from "./book.ts";
import type { HolderRecord } from "./records.ts";
import type { RowAuditor } from "./row-auditor.ts";

/** 32 leaves a day are 224 a week; 172 find a loss of 4 % with 99.9 %. */
export const AUDIT_EVERY_MS = DAY_MS;
/** Whoever did not answer is asked for the same leaves again; this and the next two sooner where audits are more frequent. */
const AGAIN_MS = HOUR_MS;
/** At most one holder in so long on average: half a MiB a minute, whatever was missed. */
const CHECK_MS = MINUTE_MS;
/** After a start: connections come first. */
const BEGIN_MS = 10 * MINUTE_MS;
/** A round that somebody asked for: each holder proves, by itself, that it has not lost 4 %. */
export const LEAVES_NOW = 172;
/** Of each holder with which this node shares rows, in such a round: one message. */
const ROW_LEAVES_NOW = 64;
const HOLDERS_AT_ONCE = 4;

export interface AuditRoundsComponents {
  readonly auditor: Auditor;
  /** Audits of those with whom this node holds shards of others. */
  readonly rows: Pick<RowAuditor, "holders" | "leavesADay" | "audit">;
  readonly book: AuditBook;
  readonly maps: Pick<OwnerMaps, "holders">;
  readonly network: Pick<Network, "connected" | "self">;
  readonly clock: Clock;
  readonly rng: Pick<Rng, "float">;
  readonly log: Log;
  /** Whether this node may ask anybody for anything: not where it was fenced. */
  readonly mayAsk: () => boolean;
}

/**
 * When who is audited: one holder after the other in the order of their ids, from where the last run stopped. By chance some would
 * not be asked for weeks; so each is asked every day on which it is connected.
 */
export class AuditRounds {
  readonly #c: AuditRoundsComponents;
  readonly #everyMs: number;
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(components: AuditRoundsComponents, init: { readonly everyMs?: number } = {}) {
    this.#c = components;
    this.#everyMs = init.everyMs ?? AUDIT_EVERY_MS;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** Every holder, now, with more leaves than in a day's turn. */
  async now(
    signal: AbortSignal,
    onHolder: (done: number, total: number) => void = () => {},
  ): Promise<HolderAudit[]> {
    const stop = AbortSignal.any([signal, this.#stopping.signal]);
    const holders = await this.everybody();
    let done = 0;
    return mapLimit(holders, HOLDERS_AT_ONCE, async (peer) => {
      const audit = await this.#c.auditor.audit(peer, LEAVES_NOW, stop);
      if (audit.problem === undefined) await this.#c.rows.audit(peer, ROW_LEAVES_NOW, audit, stop);
      onHolder(++done, holders.length);
      return audit;
    });
  }

  /** Everybody whom a map names, in the order in which they have their turns. */
  holders(): PeerId[] {
    const { maps, network } = this.#c;
    return maps
      .holders()
      .filter((peer) => peer !== network.self)
      .sort();
  }

  /** As `holders`, with those who hold shards of the same segments of others as this node. */
  async everybody(): Promise<PeerId[]> {
    const { rows, network } = this.#c;
    const peers = new Set([...this.holders(), ...(await rows.holders())]);
    peers.delete(network.self);
    return [...peers].sort();
  }

  async #run(): Promise<void> {
    const { clock, rng, log } = this.#c;
    const { signal } = this.#stopping;
    let waitMs = Math.min(BEGIN_MS, this.#everyMs);
    while (!signal.aborted) {
      try {
        await clock.sleep(waitMs * (0.5 + rng.float()), signal);
        waitMs = Math.min(CHECK_MS, this.#everyMs);
        if (this.#c.mayAsk()) await this.turn(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error)) throw error;
        log.warn("audit-failed", { why: messageOf(error) });
      }
    }
  }

  /** The next holder whose day has come, if there is one. */
  async turn(signal: AbortSignal): Promise<HolderAudit | undefined> {
    const { book, network, auditor, rows, clock } = this.#c;
    const connected = new Set(network.connected());
    const nowMs = clock.wallMs();
    const due = (await this.everybody()).filter(
      (peer) => connected.has(peer) && isDue(book.holder(peer), nowMs, this.#everyMs),
    );
    const peer = nextAfter(due, book.cursor);
    if (peer === undefined) return undefined;
    const audit = await auditor.audit(peer, LEAVES_PER_MESSAGE, signal);
    if (audit.problem === undefined) await rows.audit(peer, await rows.leavesADay(), audit, signal);
    return audit;
  }
}

/** A clock that was set back is no reason to wait until it has caught up. */
export function isDue(
  { lastAskedMs, pending, rowPending }: HolderRecord,
  nowMs: number,
  everyMs: number = AUDIT_EVERY_MS,
): boolean {
  if (lastAskedMs === undefined || lastAskedMs > nowMs) return true;
  const hasAnswered = pending === undefined && rowPending === undefined;
  return nowMs - lastAskedMs >= (hasAnswered ? everyMs : Math.min(AGAIN_MS, everyMs));
}

/** The first one behind the cursor, else the first. */
export function nextAfter(sorted: readonly PeerId[], cursor: PeerId | undefined): PeerId | undefined {
  return sorted.find((peer) => cursor !== undefined && peer > cursor) ?? sorted[0];
}
