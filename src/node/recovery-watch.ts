import { z } from "zod";
import { toHex } from "../base/bytes.ts";
import { isFault, messageOf } from "../base/fault.ts";
import { type OwnerId, type PeerId, peerIdOf, publicKeyOfPeer } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Signed } from "../crypto/signed.ts";
import type { RecordStore } from "../membership/index.ts";
import type { Clock, MetaStore } from "../ports/index.ts";
import { codec, count } from "../wire/codec.ts";
import { RECOVERY_USE_KEPT_MS, type RecoveryUse, recoveryUseBody } from "../wire/recovery-use.ts";

export interface RecoveryWatchComponents {
  /** A namespace of its own: which uses were told already. */
  readonly store: MetaStore;
  readonly records: RecordStore;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

/** What one member says that somebody with this owner's recovery key did there. */
export interface SeenUse extends RecoveryUse {
  readonly member: PeerId;
}

const told = codec(
  "told recovery use",
  z.object({ v: z.literal(1), firstMs: count, hellos: count, reads: count, submits: count }).strict(),
);

/**
 * Tells the owner once of each use of its recovery key, over restarts, from what members say of it. A single member may
 * say nothing, or what is not so; it cannot say it in another's name.
 */
export class RecoveryWatch {
  readonly #c: RecoveryWatchComponents;
  readonly #owner: OwnerId;
  #telling: Promise<void> = Promise.resolve();

  constructor(components: RecoveryWatchComponents, init: { owner: OwnerId }) {
    this.#c = components;
    this.#owner = init.owner;
  }

  /** Returns how to stop. */
  start(): () => void {
    for (const record of this.#c.records.ofType("recovery-use")) this.#look(record);
    return this.#c.records.onChange(({ record }) => {
      if (record.type === "recovery-use") this.#look(record);
    });
  }

  /** Resolves when what was told is on disk. */
  async idle(): Promise<void> {
    await this.#telling;
  }

  /** Of the last 30 days, the last first. */
  uses(): SeenUse[] {
    const sinceMs = this.#c.clock.wallMs() - RECOVERY_USE_KEPT_MS;
    return [...this.#c.records.ofType("recovery-use")]
      .flatMap((record) => this.#useOf(record) ?? [])
      .filter(({ lastMs }) => lastMs > sinceMs)
      .sort((a, b) => b.lastMs - a.lastMs || (a.member < b.member ? -1 : 1));
  }

  #useOf(record: Signed): SeenUse | undefined {
    const use = recoveryUseBody.decode(record.body);
    return use.owner === this.#owner ? { ...use, member: peerIdOf(record.signer) } : undefined;
  }

  #look(record: Signed): void {
    const use = this.#useOf(record);
    if (use !== undefined) this.#telling = this.#telling.then(() => this.#tell(use));
  }

  async #tell(use: SeenUse): Promise<void> {
    const { store, log } = this.#c;
    const key = publicKeyOfPeer(use.member);
    const { member, owner, firstMs, hellos, reads, submits } = use;
    const stored = store.get(key);
    const before = stored === undefined ? undefined : told.decode(stored);
    const isKnown =
      before !== undefined &&
      before.firstMs === firstMs &&
      before.hellos >= hellos &&
      before.reads >= reads &&
      before.submits >= submits;
    if (isKnown) return;
    const [first, last] = [firstMs, use.lastMs].map((ms) => new Date(ms).toISOString());
    const identity = toHex(use.recovery);
    log.warn("recovery-identity-used", { owner, member, identity, first, last, hellos, reads, submits });
    try {
      const value = told.encode({ v: 1, firstMs, hellos, reads, submits });
      await store.write([{ type: "put", key, value }], { sync: true });
    } catch (error) {
      if (!isFault(error)) throw error;
      log.warn("recovery-use-not-said", { owner, member, why: messageOf(error) });
    }
  }
}
