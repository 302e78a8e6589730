import { type PeerId, peerIdOf } from "../base/ids.ts";
import type { Signed } from "../crypto/signed.ts";
import type { Clock } from "../ports/index.ts";
import { beatOfStatus, type Tick } from "../ticks/index.ts";
import type { Liveness, Observation } from "../upkeep/index.ts";
import { nodeStatusCodec } from "../wire/membership.ts";
import { type SilenceBody, silenceBody } from "../wire/silence.ts";

type Beat = Extract<Observation, { kind: "beat" }>;

/**
 * What was observed since the last look, the newest of each kind from each peer: what a peer sends bounds nothing, the
 * roster does.
 */
export class Heard {
  readonly #clock: Pick<Clock, "wallMs">;
  readonly #contactMs = new Map<PeerId, number>();
  readonly #beats = new Map<PeerId, Beat>();
  readonly #reports = new Map<PeerId, readonly Observation[]>();
  readonly #said = new Map<PeerId, Pick<Beat, "draining" | "outageUntilMs">>();
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
    const { draining, outageUntilMs } = status;
    this.#said.set(signer, { draining: draining === true, outageUntilMs });
    this.tick({ peer: signer, beat: beatOfStatus(record.epoch), sentMs: status.timeMs });
    if (status.usedBytes > status.capacityBytes) this.#overfull.add(signer);
    else this.#overfull.delete(signer);
    const before = known.hearings.get(signer);
    const isLeaving = before?.drainingSinceMs !== undefined;
    return isLeaving !== (status.draining === true) || before?.outage?.untilMs !== status.outageUntilMs;
  }

  /** What the node's last status says of its future holds on with each tick. */
  tick({ peer, beat, sentMs }: Tick): void {
    const said = this.#said.get(peer);
    if (said === undefined) return;
    const receivedMs = this.#clock.wallMs();
    this.#beats.set(peer, { kind: "beat", peer, epoch: beat, sentMs, receivedMs, ...said });
  }

  /** Of those who are no members any more nothing is kept. */
  forgetAllBut(members: ReadonlySet<PeerId>): void {
    for (const known of [this.#said, this.#overfull])
      for (const peer of known.keys()) if (!members.has(peer)) known.delete(peer);
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
