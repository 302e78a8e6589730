import { isFault } from "../base/fault.ts";
import type { Incarnation } from "../base/ids.ts";
import type { RecoveryKeys } from "../crypto/index.ts";
import { checkSigned } from "../crypto/signed.ts";
import { incarnationBody } from "../wire/data.ts";
import { decodeSigned } from "../wire/signed.ts";
import type { SlotContent } from "./slot.ts";

/** The lives that the recovery key has certified, as far as members have shown them. */
export class LifeRecords {
  readonly #recovery: RecoveryKeys;
  readonly #slot: SlotContent;
  readonly #epochs = new Map<Incarnation, number>();

  constructor(recovery: RecoveryKeys, slot: SlotContent) {
    this.#recovery = recovery;
    this.#slot = slot;
  }

  /** Returns how many of the records the recovery identity has not signed for this owner. */
  add(records: readonly Uint8Array[]): number {
    return records.filter((record) => !this.#add(record)).length;
  }

  /** Oldest first. */
  certified(): Incarnation[] {
    return [...this.#epochs].sort(([, a], [, b]) => a - b).map(([incarnation]) => incarnation);
  }

  #add(record: Uint8Array): boolean {
    try {
      const signed = decodeSigned(record);
      const signer = this.#recovery.identity.publicKey;
      checkSigned(signed, { type: "incarnation", swarm: this.#slot.swarm, signer });
      const { owner, incarnation } = incarnationBody.decode(signed.body);
      if (owner !== this.#slot.owner) return false;
      this.#epochs.set(incarnation, Math.max(signed.epoch, this.#epochs.get(incarnation) ?? 0));
      return true;
    } catch (error) {
      if (!isFault(error)) throw error;
      return false;
    }
  }
}
