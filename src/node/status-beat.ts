import { equalBytes } from "../base/bytes.ts";
import { isFault, messageOf } from "../base/fault.ts";
import { peerIdOf } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { MINUTE_MS, SECOND_MS } from "../base/units.ts";
import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../crypto/signed.ts";
import type { FormatVersions, RecordStore, Roster } from "../membership/index.ts";
import type { Clock, Directory, Rng, ShardStore } from "../ports/index.ts";
import { ADDRESSES_MAX, type NodeStatus, nodeStatusCodec } from "../wire/membership.ts";
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
  readonly clock: Clock;
  readonly rng: Pick<Rng, "float">;
  readonly log: Log;
}

/** How often a node says how it is when nothing happens; a beat is due sooner when something did. */
const BEAT_MS = 5 * MINUTE_MS;
const CHECK_MS = 15 * SECOND_MS;
/** Room is said again when it changed by this share of the capacity. */
const SPACE_STEP = 0.05;

/** Says, signed, where this node listens and how much room it has; the sync service spreads it. */
export class StatusBeat {
  readonly #c: StatusBeatComponents;
  readonly #programVersion: string;
  readonly #formats: FormatVersions;
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  #said: { status: NodeStatus; atMs: number } | undefined;

  constructor(components: StatusBeatComponents, init: { programVersion: string; formats: FormatVersions }) {
    this.#c = components;
    this.#programVersion = init.programVersion;
    this.#formats = init.formats;
  }

  async start(): Promise<void> {
    await this.#sayIfDue();
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock, rng, log } = this.#c;
    while (!this.#stopping.signal.aborted) {
      try {
        await clock.sleep(CHECK_MS * (0.5 + rng.float()), this.#stopping.signal);
        await this.#c.unmet.review();
        await this.#sayIfDue();
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        if (!isFault(error)) throw error;
        log.warn("status-not-said", { why: messageOf(error) });
      }
    }
  }

  async #sayIfDue(): Promise<void> {
    const { clock, records, roster, signer } = this.#c;
    // Of one that is no member nobody keeps it.
    if (roster.member(peerIdOf(signer.publicKey)) === undefined) return;
    const status = await this.#status();
    const said = this.#said;
    if (said !== undefined && clock.monotonicMs() - said.atMs < BEAT_MS && isNearly(said.status, status))
      return;
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
    this.#said = { status, atMs: clock.monotonicMs() };
  }

  async #status(): Promise<NodeStatus> {
    const { directory, shards, clock } = this.#c;
    const { capacityBytes, usedBytes, freeBytes } = await shards.space();
    const unmet = this.#c.unmet.list();
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
      administrator: this.#c.administrator(),
    };
  }
}

function isNearly(before: NodeStatus, now: NodeStatus): boolean {
  const step = now.capacityBytes * SPACE_STEP;
  return (
    before.unmet?.join() === now.unmet?.join() &&
    before.addresses.join() === now.addresses.join() &&
    isSameKey(before.administrator, now.administrator) &&
    Math.abs(before.freeBytes - now.freeBytes) < step
  );
}

function isSameKey(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b);
}
