import { toHex } from "../base/bytes.ts";
import type { PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { PendingDecision, Roster, RosterChange } from "../membership/index.ts";

/** Says in the log of every node what administrators decide about members: when it is announced, and when it counts. */
export class DecisionWatch {
  readonly #roster: Roster;
  readonly #log: Log;
  #pending: ReadonlyMap<string, PendingDecision> = new Map();
  #removed: ReadonlySet<PeerId>;
  #sites: ReadonlyMap<PeerId, string>;

  constructor({ roster, log }: { roster: Roster; log: Log }) {
    this.#roster = roster;
    this.#log = log;
    this.#removed = this.#removedNow();
    this.#sites = this.#sitesNow();
  }

  /** What waits already is said at once: the node may have been off when it was announced. Returns how to stop. */
  start(): () => void {
    this.#look();
    return this.#roster.onChange((change) => {
      this.#lookAtAdministrators(change);
      this.#look();
    });
  }

  #lookAtAdministrators({ added, dropped, rivals }: RosterChange): void {
    for (const { body, hash, signatures } of rivals) {
      const signers = signatures.map(({ signer }) => toHex(signer));
      this.#log.error("administrators-forked", { number: body.number, id: toHex(hash), signers });
    }
    if (!added.some(({ type }) => type === "administrators")) return;
    const { number, keys, threshold } = this.#roster.administrators();
    const administrators = keys.map(toHex);
    this.#log.warn("administrators-changed", { number, administrators, threshold, dropped: dropped.length });
  }

  #look(): void {
    this.#lookAtPending();
    this.#lookAtRemoved();
    this.#lookAtSites();
  }

  #lookAtPending(): void {
    const pending = new Map(this.#roster.pending().map((one) => [toHex(one.hash), one]));
    for (const [id, one] of pending) {
      const before = this.#pending.get(id);
      if (before?.effectiveMs === one.effectiveMs) continue;
      const { peer, signatures } = one;
      const effectiveAt = new Date(one.effectiveMs).toISOString();
      const common = { id, peer, name: this.#nameOf(peer), effectiveAt, signatures };
      if (one.kind === "removal") {
        const { reason, barsOwner } = one;
        this.#log.warn("removal-announced", { ...common, reason, barsOwner });
      } else this.#log.warn("certificate-announced", { ...common, from: one.from, to: one.to });
    }
    for (const [id, { kind, peer }] of this.#pending) {
      if (pending.has(id) || !this.#roster.isWithdrawn(id)) continue;
      this.#log.warn("decision-withdrawn", { id, kind, peer, name: this.#nameOf(peer) });
    }
    this.#pending = pending;
  }

  #lookAtRemoved(): void {
    const removed = this.#removedNow();
    for (const { peer, name, site } of this.#roster.former()) {
      if (removed.has(peer) && !this.#removed.has(peer))
        this.#log.warn("member-removed", { peer, name, site });
    }
    this.#removed = removed;
  }

  #lookAtSites(): void {
    const sites = this.#sitesNow();
    for (const [peer, to] of sites) {
      const from = this.#sites.get(peer);
      if (from === undefined || from === to) continue;
      this.#log.warn("member-moved", { peer, name: this.#nameOf(peer), from, to });
    }
    this.#sites = sites;
  }

  #removedNow(): Set<PeerId> {
    const removed = this.#roster.former().filter(({ state }) => state === "removed");
    return new Set(removed.map(({ peer }) => peer));
  }

  #sitesNow(): Map<PeerId, string> {
    return new Map(this.#roster.members().map(({ peer, site }) => [peer, site]));
  }

  #nameOf(peer: PeerId): string {
    return this.#roster.member(peer)?.name ?? peer;
  }
}
