import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../crypto/signed.ts";
import type { RecordStore, Roster } from "../membership/index.ts";
import type { Clock } from "../ports/index.ts";
import type { LivenessRules, SilentNode } from "../upkeep/index.ts";
import { silenceBody } from "../wire/silence.ts";

export interface ReporterComponents {
  readonly records: RecordStore;
  readonly roster: Roster;
  readonly signer: Signer;
  readonly clock: Clock;
}

/** A report is renewed when this part of the time for which it counts is over. */
const RENEW_SHARE = 0.25;
/** However much comes and goes, no more often than this part of the time after which a silence counts. */
const AGAIN_SHARE = 1 / 10;

/** Says, signed, whom this node does not hear; the sync service spreads it. */
export class SilenceReporter {
  readonly #c: ReporterComponents;
  readonly #rules: LivenessRules;
  #said: { readonly names: string; readonly atMs: number } | undefined;

  constructor(components: ReporterComponents, rules: LivenessRules) {
    this.#c = components;
    this.#rules = rules;
    const before = components.records.get({ type: "silence", signer: components.signer.publicKey });
    if (before !== undefined) {
      const { silent } = silenceBody.decode(before.body);
      this.#said = { names: namesOf(silent), atMs: Number.NEGATIVE_INFINITY };
    }
  }

  /** Faults of the store come through. */
  async say(silent: readonly SilentNode[]): Promise<void> {
    const { clock, records, roster, signer } = this.#c;
    const names = namesOf(silent);
    if (!this.#isDue(names, clock.monotonicMs())) return;
    const timeMs = clock.wallMs();
    const body = silenceBody.encode({
      v: 1,
      timeMs,
      silent: silent.map(({ peer, silentSinceMs }) => ({ peer, sinceMs: silentSinceMs })),
    });
    const epoch = records.nextEpoch({ type: "silence", signer: signer.publicKey }, timeMs);
    const statement = {
      type: "silence",
      swarm: roster.swarm,
      incarnation: NO_INCARNATION,
      epoch,
      body,
    } as const;
    await records.put(signStatement(statement, signer));
    this.#said = { names, atMs: clock.monotonicMs() };
  }

  #isDue(names: string, nowMs: number): boolean {
    const said = this.#said;
    if (said === undefined) return names !== "";
    const { unreachableAfterMs, reportValidMs } = this.#rules;
    const sinceMs = nowMs - said.atMs;
    if (said.names !== names) return sinceMs >= unreachableAfterMs * AGAIN_SHARE;
    return names !== "" && sinceMs >= reportValidMs * RENEW_SHARE;
  }
}

function namesOf(silent: readonly { readonly peer: string }[]): string {
  return silent
    .map(({ peer }) => peer)
    .sort()
    .join();
}
