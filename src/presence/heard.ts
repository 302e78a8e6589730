import { type PeerId, peerIdOf } from "../base/ids.ts";
import type { Signed } from "../crypto/signed.ts";
import type { Clock } from "../ports/index.ts";
import type { Liveness, Observation } from "../upkeep/index.ts";
import { type NodeStatus, nodeStatusCodec } from "../wire/membership.ts";
import { type SilenceBody, silenceBody } from "../wire/silence.ts";

/**
 * What was observed since the last look, the newest of each kind from each peer: what a peer sends bounds nothing, the
 * roster does.
 */
export class Heard {
  readonly #clock: Pick<Clock, "wallMs">;
  readonly #contactMs = new Map<PeerId, number>();
  readonly #beats = new Map<PeerId, Extract<Observation, { kind: "beat" }>>();
  readonly #reports = new Map<PeerId, readonly Observation[]>();
  readonly #overfull = new Set<PeerId>();

  constructor(clock: Pick<Clock, "wallMs">) {
    this.#clock = clock;
  }

  contact(peer: PeerId): void {
    this.#contactMs.set(peer, this.#clock.wallMs());
  }

  /** Whether the record says something of its signer's future that was not known. */
  record(record: Signed, known: Liveness): boolean {
    const signer = peerIdOf(record.signer);
    if (record.type === "silence") {
      this.#reports.set(signer, this.#reportsOf(signer, silenceBody.decode(record.body), known));
      return false;
    }
    const status = nodeStatusCodec.decode(record.body);
    this.#beats.set(signer, this.#beatOf(signer, record.epoch, status));
    if (status.usedBytes > status.capacityBytes) this.#overfull.add(signer);
    else this.#overfull.delete(signer);
    const before = known.hearings.get(signer);
    const isLeaving = before?.drainingSinceMs !== undefined;
    return isLeaving !== (status.draining === true) || before?.outage?.untilMs !== status.outageUntilMs;
  }

  /** It holds more than it offers. */
  isOverfull(peer: PeerId): boolean {
    return this.#overfull.has(peer);
  }

  take(nowMs: number): Observation[] {
    const contacts = [...this.#contactMs].map(
      // A clock that was set back in between must not make a contact one of the future.
      ([peer, atMs]): Observation => ({ kind: "contact", peer, atMs: Math.min(atMs, nowMs) }),
    );
    const taken = [...contacts, ...this.#beats.values(), ...[...this.#reports.values()].flat()];
    this.#contactMs.clear();
    this.#beats.clear();
    this.#reports.clear();
    return taken;
  }

  #beatOf(peer: PeerId, epoch: number, status: NodeStatus): Extract<Observation, { kind: "beat" }> {
    const { timeMs: sentMs, draining, outageUntilMs } = status;
    const receivedMs = this.#clock.wallMs();
    return {
      kind: "beat",
      peer,
      epoch,
      sentMs,
      receivedMs,
      draining: draining === true,
      outageUntilMs,
    };
  }

  /** An observer whose clock is ahead is taken to speak of now. */
  #reportsOf(observer: PeerId, { timeMs, silent }: SilenceBody, known: Liveness): Observation[] {
    const aheadMs = Math.max(0, timeMs - this.#clock.wallMs());
    const atMs = timeMs - aheadMs;
    const said = silent.map(
      ({ peer, sinceMs }): Observation => ({
        kind: "silence",
        target: peer,
        observer,
        silentSinceMs: Math.max(0, sinceMs - aheadMs),
        atMs,
      }),
    );
    const targets = new Set(silent.map(({ peer }) => peer));
    const over = [...known.hearings].flatMap(([target, { reports }]): Observation[] =>
      reports.some((report) => report.observer === observer) && !targets.has(target)
        ? [{ kind: "silence-over", target, observer, atMs }]
        : [],
    );
    return [...over, ...said];
  }
}
