import { Semaphore } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import { idBytes, type OwnerId, type PeerId, peerIdOf } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { MINUTE_MS } from "../base/units.ts";
import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../crypto/signed.ts";
import type { RecordStore, Roster } from "../membership/index.ts";
import type { Clock } from "../ports/index.ts";
import { type RecoveryUse, recoveryUseBody } from "../wire/recovery-use.ts";

export interface RecoveryUsesComponents {
  readonly records: RecordStore;
  readonly roster: Pick<Roster, "swarm" | "member">;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Log;
}

export type UseKind = "hello" | "read" | "submit";

/** One statement of an owner in so long at most, each with all that happened since the last: a guest may ask for ever. */
const SAID_EVERY_MS = MINUTE_MS;
/** What follows the same within this time is one use: a single recovery says hello several times, and reads a lot. */
const USE_ENDS_MS = 10 * MINUTE_MS;
/** Owners of whom something is waiting to be said. */
const WAITING_MAX = 64;

interface Tally {
  use: RecoveryUse;
  /** When it did so last. */
  readonly lastMs: Map<UseKind, number>;
  saidMs: number;
  isWaiting: boolean;
}

/**
 * What this member saw recovery identities do here, in signed statements that spread to everybody: so the owner's node
 * learns that its recovery key is in use, wherever it was used.
 */
export class RecoveryUses {
  readonly #c: RecoveryUsesComponents;
  readonly #tallies = new Map<OwnerId, Tally>();
  readonly #saying = new Semaphore(1);
  readonly #stopping = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(components: RecoveryUsesComponents) {
    this.#c = components;
  }

  note(owner: OwnerId, recovery: Uint8Array, kind: UseKind): void {
    const nowMs = this.#c.clock.wallMs();
    const tally = this.#tallyOf(owner, recovery, nowMs);
    const before = tally.lastMs.get(kind);
    tally.lastMs.set(kind, nowMs);
    if (before !== undefined && nowMs - before < USE_ENDS_MS) return;
    const { use } = tally;
    tally.use = {
      ...use,
      hellos: use.hellos + (kind === "hello" ? 1 : 0),
      reads: use.reads + (kind === "read" ? 1 : 0),
      submits: use.submits + (kind === "submit" ? 1 : 0),
      lastMs: Math.max(use.lastMs, nowMs),
    };
    // That an owner was moved to another node is not put off.
    if (kind === "submit") this.#run(this.#saySoon(owner, tally));
    else if (!tally.isWaiting) this.#run(this.#sayInTime(owner, tally));
  }

  /** Says what is still to be said. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #tallyOf(owner: OwnerId, recovery: Uint8Array, nowMs: number): Tally {
    const known = this.#tallies.get(owner);
    if (known !== undefined) return known;
    if (this.#tallies.size >= WAITING_MAX) this.#forgetIdle();
    const said = this.#c.records.get(this.#key(owner));
    const use: RecoveryUse =
      said === undefined
        ? { v: 1, owner, recovery, hellos: 0, reads: 0, submits: 0, firstMs: nowMs, lastMs: nowMs }
        : recoveryUseBody.decode(said.body);
    const tally: Tally = {
      use,
      lastMs: new Map(),
      saidMs: Number.NEGATIVE_INFINITY,
      isWaiting: false,
    };
    this.#tallies.set(owner, tally);
    return tally;
  }

  #forgetIdle(): void {
    for (const [owner, { isWaiting }] of this.#tallies) if (!isWaiting) this.#tallies.delete(owner);
  }

  async #sayInTime(owner: OwnerId, tally: Tally): Promise<void> {
    const { clock } = this.#c;
    tally.isWaiting = true;
    const waitMs = tally.saidMs + SAID_EVERY_MS - clock.monotonicMs();
    // Stopped while it waits, it says it at once.
    if (waitMs > 0) await clock.sleep(waitMs, this.#stopping.signal).catch(() => {});
    tally.isWaiting = false;
    await this.#saySoon(owner, tally);
  }

  async #saySoon(owner: OwnerId, tally: Tally): Promise<void> {
    tally.saidMs = this.#c.clock.monotonicMs();
    try {
      // One after the other: two under one epoch would be a fork.
      await this.#saying.run(() => this.#say(owner, tally.use));
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#c.log.warn("recovery-use-not-said", { owner, why: messageOf(error) });
    }
  }

  async #say(owner: OwnerId, use: RecoveryUse): Promise<void> {
    const { records, roster, signer, clock } = this.#c;
    // Nobody takes the word of one that was removed, though it goes on serving.
    if (roster.member(this.#self) === undefined) return;
    const statement = {
      type: "recovery-use",
      swarm: roster.swarm,
      incarnation: NO_INCARNATION,
      epoch: records.nextEpoch(this.#key(owner), clock.wallMs()),
      body: recoveryUseBody.encode(use),
    } as const;
    const [outcome] = await records.putAll([signStatement(statement, signer)]);
    if (outcome instanceof Fault) throw outcome;
  }

  #key(owner: OwnerId) {
    return { type: "recovery-use", signer: this.#c.signer.publicKey, subkey: idBytes(owner) } as const;
  }

  get #self(): PeerId {
    return peerIdOf(this.#c.signer.publicKey);
  }

  #run(task: Promise<void>): void {
    const running = task.finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}
