import { equalBytes } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import { isFault, messageOf } from "../base/fault.ts";
import { type PeerId, peerIdOf } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { SECOND_MS } from "../base/units.ts";
import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../crypto/signed.ts";
import type { FormatVersions, RecordStore, Roster } from "../membership/index.ts";
import type { Clock, Directory, Rng, ShardStore } from "../ports/index.ts";
import type { Intentions } from "../presence/index.ts";
import { OwnChain, type TickBook } from "../ticks/index.ts";
import { ADDRESSES_MAX, type NodeStatus, nodeStatusCodec } from "../wire/membership.ts";
import { TICK_BYTES } from "../wire/ticks.ts";
import type { UnmetPeers } from "./unmet.ts";

export interface StatusBeatComponents {
  readonly records: RecordStore;
  readonly roster: Roster;
  readonly directory: Pick<Directory, "ownAddresses">;
  readonly shards: Pick<ShardStore, "space">;
  readonly unmet: Pick<UnmetPeers, "review" | "list">;
  readonly signer: Signer;
  /** Public key with which this node signs, or would sign, as an administrator. */
  readonly administrator: () => Uint8Array;
  /** What this node has to say of its own future. */
  readonly own: Pick<Intentions, "draining" | "outageUntilMs" | "onChange">;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly ticks: Pick<TickBook, "tell">;
  readonly log: Log;
}

/** Between two looks at whether there is something to say. */
const CHECK_MS = 15 * SECOND_MS;
/** Looks in the time of a beat, so that it is hardly late. */
const CHECKS_PER_BEAT = 4;
/** A status is signed anew after so many ticks: once a day. */
const TICKS_PER_STATUS = 288;
/** Room is said again at once when it changed by this share of the capacity, with the next beat by that one. */
const SPACE_STEP = 0.05;
const SPACE_STEP_LATER = 0.01;
/** Or by this share of what was free: whoever has little left is soon full. */
const TIGHT_STEP = 0.1;

interface Said {
  readonly status: NodeStatus;
  readonly chain: OwnChain;
  readonly atMs: number;
}

/**
 * Says, signed, where this node listens and how much room it has; the sync service spreads it. Between two of these a tick
 * every few minutes says that it is up.
 */
export class StatusBeat {
  readonly #c: StatusBeatComponents;
  readonly #programVersion: string;
  readonly #formats: FormatVersions;
  readonly #everyMs: number;
  readonly #saying = new Semaphore(1);
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  #unsubscribe: (() => void) | undefined;
  #said: Said | undefined;

  constructor(
    components: StatusBeatComponents,
    init: {
      readonly programVersion: string;
      readonly formats: FormatVersions;
      /** How often a node says that it is up when nothing happens; sooner when something did. */
      readonly everyMs: number;
    },
  ) {
    this.#c = components;
    this.#everyMs = init.everyMs;
    this.#programVersion = init.programVersion;
    this.#formats = init.formats;
  }

  async start(): Promise<void> {
    await this.#sayIfDue();
    this.#unsubscribe = this.#c.own.onChange(() => void this.#trySaying());
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#unsubscribe?.();
    await this.#loop;
    await this.said();
  }

  /** Resolves once nothing is being said any more. */
  async said(): Promise<void> {
    await this.#saying.run(async () => {});
  }

  async #run(): Promise<void> {
    const { clock, rng } = this.#c;
    const { signal } = this.#stopping;
    const checkMs = Math.min(CHECK_MS, this.#everyMs / CHECKS_PER_BEAT);
    while (!signal.aborted) {
      try {
        await clock.sleep(checkMs * (0.5 + rng.float()), signal);
        await this.#c.unmet.review();
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error)) throw error;
        this.#c.log.warn("unmet-not-reviewed", { why: messageOf(error) });
      }
      await this.#trySaying();
    }
  }

  async #trySaying(): Promise<void> {
    try {
      await this.#sayIfDue();
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#c.log.warn("status-not-said", { why: messageOf(error) });
    }
  }

  #sayIfDue(): Promise<void> {
    return this.#saying.run(() => this.#say());
  }

  async #say(): Promise<void> {
    const { clock, records, roster, signer, rng } = this.#c;
    const peer = peerIdOf(signer.publicKey);
    // Of one that is no member nobody keeps it.
    if (roster.member(peer) === undefined) return;
    const now = await this.#status();
    const said = this.#said;
    if (said !== undefined && !this.#isDue(said, now)) return this.#tick(peer, said);
    const chain = new OwnChain(signer.publicKey, rng.bytes(TICK_BYTES), TICKS_PER_STATUS);
    const everyMs = Math.ceil(this.#everyMs);
    const status = { ...now, ticks: { anchor: chain.anchor, everyMs, count: TICKS_PER_STATUS } };
    const key = { type: "status", signer: signer.publicKey } as const;
    const epoch = records.nextEpoch(key, clock.wallMs());
    const body = nodeStatusCodec.encode(status);
    const statement = {
      type: "status",
      swarm: roster.swarm,
      incarnation: NO_INCARNATION,
      epoch,
      body,
    } as const;
    await records.put(signStatement(statement, signer));
    this.#said = { status, chain, atMs: clock.monotonicMs() };
  }

  #tick(peer: PeerId, { chain, atMs }: Said): void {
    const index = Math.floor((this.#c.clock.monotonicMs() - atMs) / this.#everyMs);
    if (index > 0) this.#c.ticks.tell(peer, index, chain.at(index));
  }

  #isDue({ status, atMs }: Said, now: NodeStatus): boolean {
    const { clock } = this.#c;
    const agoMs = clock.monotonicMs() - atMs;
    if (agoMs >= TICKS_PER_STATUS * this.#everyMs || !isSame(status, now)) return true;
    // A machine that slept, or whose clock was set: its ticks would be dated wrongly.
    if (Math.abs(now.timeMs - status.timeMs - agoMs) > this.#everyMs) return true;
    const change = Math.abs(now.freeBytes - status.freeBytes);
    const step = agoMs < this.#everyMs ? SPACE_STEP : SPACE_STEP_LATER;
    const isTight = agoMs >= this.#everyMs && change >= status.freeBytes * TIGHT_STEP;
    return change >= now.capacityBytes * step || (isTight && change > 0);
  }

  async #status(): Promise<NodeStatus> {
    const { directory, shards, clock } = this.#c;
    const { capacityBytes, usedBytes, freeBytes } = await shards.space();
    const unmet = this.#c.unmet.list();
    const { draining, outageUntilMs } = this.#c.own;
    return {
      v: 1,
      addresses: directory.ownAddresses().slice(0, ADDRESSES_MAX),
      capacityBytes,
      usedBytes,
      freeBytes: Math.max(0, freeBytes),
      formatVersions: { reads: [...this.#formats.reads], writes: this.#formats.writes },
      programVersion: this.#programVersion,
      timeMs: clock.wallMs(),
      ...(unmet.length === 0 ? {} : { unmet }),
      ...(draining ? { draining: true as const } : {}),
      ...(outageUntilMs === undefined ? {} : { outageUntilMs }),
      administrator: this.#c.administrator(),
    };
  }
}

/** But for the room that it has, and the time. */
function isSame(before: NodeStatus, now: NodeStatus): boolean {
  return (
    before.unmet?.join() === now.unmet?.join() &&
    before.draining === now.draining &&
    before.outageUntilMs === now.outageUntilMs &&
    before.addresses.join() === now.addresses.join() &&
    isSameKey(before.administrator, now.administrator)
  );
}

function isSameKey(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b);
}
