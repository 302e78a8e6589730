import { calmLog } from "../base/calm-log.ts";
import { isFault, messageOf } from "../base/fault.ts";
import { type PeerId, peerIdOf, publicKeyOfPeer } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { MINUTE_MS, SECOND_MS } from "../base/units.ts";
import type { Signer } from "../crypto/sign.ts";
import type { Signed } from "../crypto/signed.ts";
import type { RecordStore, Roster } from "../membership/index.ts";
import type { Clock, MetaOp, MetaStore, Rng } from "../ports/index.ts";
import type { TickBook } from "../ticks/index.ts";
import {
  checkEveryMs,
  type Hearings,
  type Holder,
  type Liveness,
  NOTHING_HEARD,
  type NodeLiveness,
  resumeListening,
  type SilenceWitness,
  settlingMs,
  silencesToReport,
  startListening,
  stepLiveness,
  type Trust,
  type UpkeepMember,
  type UpkeepSettings,
  type Weather,
  weatherOf,
} from "../upkeep/index.ts";
import { encodeSigned } from "../wire/signed.ts";
import { silenceBody } from "../wire/silence.ts";
import { Heard } from "./heard.ts";
import { Intentions } from "./intentions.ts";
import { Journal, type PresenceCounts } from "./journal.ts";
import { SilenceReporter } from "./reporter.ts";
import { forgetOp, type KnownNode, knownOp, loadKnown } from "./state.ts";

export interface PresenceView {
  /** Of every member, newest judgement. */
  nodes(): ReadonlyMap<PeerId, NodeLiveness>;
  /** Liveness and trust of every member that may hold shards. */
  holders(): ReadonlyMap<PeerId, Holder>;
  weather(): Weather;
  /** Signed silence records about this peer, in their envelopes, that count now: what a repair record carries as witnesses. */
  witnesses(peer: PeerId): readonly Witnessed[];
  hearings(peer: PeerId): Hearings;
  /** Called when somebody's state, an announced outage or the weather is another one. Returns how to stop. */
  onChange(listener: () => void): () => void;
}

export interface Witnessed {
  readonly witness: SilenceWitness;
  readonly envelope: Uint8Array;
}

export interface PresenceComponents {
  /** A namespace of its own. */
  readonly store: MetaStore;
  readonly roster: Roster;
  readonly records: RecordStore;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly rng: Pick<Rng, "float">;
  readonly log: Log;
  readonly trust: (peer: PeerId) => Trust;
  readonly ticks: Pick<TickBook, "onTick">;
}

/** What was heard is on disk at least so often; whose state has changed is at once. */
const SAVE_EVERY_MS = 10 * MINUTE_MS;
/** After a start, until it has heard half of the swarm: before that nothing is repaired, also when somebody asks for it. */
const FINDING_EVERY_MS = 5 * SECOND_MS;
/** Who checks a repair record refuses witnesses that are dated later than it; this much earlier than they would be. */
const WITNESS_AHEAD_MS = 15 * MINUTE_MS;
const AT_ONCE_EVERY_MS = SECOND_MS;
/** A clock that goes back by more than this was set. */
const SET_BACK_MS = MINUTE_MS;

/**
 * Who is up, as far as this node can tell: own contact, beats and others' reports go in, judgements of src/upkeep come
 * out. It also says whom this node does not hear, and keeps all of it over restarts.
 */
export class Presence implements PresenceView {
  /** What this node says of its own future. */
  readonly own: Intentions;
  readonly #c: PresenceComponents;
  readonly #settings: UpkeepSettings;
  readonly #me: PeerId;
  readonly #journal: Journal;
  readonly #heard: Heard;
  readonly #reporter: SilenceReporter;
  readonly #listeners = new Set<() => void>();
  readonly #unsubscribe: (() => void)[] = [];
  readonly #stopping = new AbortController();
  readonly #saved: Map<PeerId, KnownNode>;
  #loop: Promise<void> | undefined;
  #liveness: Liveness;
  #weather: Weather = { kind: "cut-off", seen: 0, of: 0 };
  #steppedMs: number;
  #savedAllMs = Number.NEGATIVE_INFINITY;

  private constructor(
    components: PresenceComponents,
    settings: UpkeepSettings,
    known: Map<PeerId, KnownNode>,
  ) {
    const { clock, store, roster, signer, log } = components;
    this.#c = components;
    this.#settings = settings;
    this.#me = peerIdOf(signer.publicKey);
    this.own = new Intentions(store, clock, settings.liveness);
    const calm = calmLog(log, () => clock.monotonicMs());
    this.#journal = new Journal(calm, (peer) => roster.member(peer)?.name);
    this.#reporter = new SilenceReporter(components, settings.liveness);
    this.#saved = known;
    this.#steppedMs = clock.wallMs();
    this.#liveness = resumeListening(livenessOf(known, this.#me), this.#steppedMs);
    this.#heard = new Heard(clock);
  }

  static async open(components: PresenceComponents, settings: UpkeepSettings): Promise<Presence> {
    return new Presence(components, settings, await loadKnown(components.store));
  }

  /** This node has exchanged something with a peer, now. */
  heard(peer: PeerId): void {
    if (this.#c.roster.member(peer) !== undefined) this.#heard.contact(peer);
  }

  start(): void {
    const { records, roster, ticks } = this.#c;
    this.#unsubscribe.push(
      ticks.onTick((tick) => this.#heard.tick(tick)),
      records.onChange(({ record }) => this.#recordChanged(record)),
      roster.onChange(() => {
        this.#heard.forgetAllBut(new Set(roster.members().map(({ peer }) => peer)));
        this.#step();
      }),
    );
    for (const type of ["status", "silence"] as const)
      for (const record of records.ofType(type)) this.#heard.record(record, this.#liveness);
    this.#step();
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const end of this.#unsubscribe.splice(0)) end();
    await this.#loop;
    if (this.#loop !== undefined) await this.#tryTo("presence-not-saved", () => this.#save(true));
  }

  nodes(): ReadonlyMap<PeerId, NodeLiveness> {
    return this.#liveness.nodes;
  }

  holders(): ReadonlyMap<PeerId, Holder> {
    const { nodes } = this.#liveness;
    return new Map(
      this.#c.roster.members().flatMap(({ peer, site, host, holder }) => {
        const liveness = nodes.get(peer);
        if (!holder || liveness === undefined) return [];
        const isOverfull = this.#heard.isOverfull(peer);
        return [[peer, { peer, site, host, liveness, trust: this.#c.trust(peer), isOverfull }]];
      }),
    );
  }

  weather(): Weather {
    return this.#weather;
  }

  hearings(peer: PeerId): Hearings {
    return this.#liveness.hearings.get(peer) ?? NOTHING_HEARD;
  }

  witnesses(target: PeerId): readonly Witnessed[] {
    const { clock, records } = this.#c;
    const { reportValidMs, unreachableAfterMs } = this.#settings.liveness;
    const observers = [this.#me, ...this.hearings(target).reports.map(({ observer }) => observer)];
    return [...new Set(observers)].flatMap((observer): Witnessed[] => {
      const record = records.get({ type: "silence", signer: publicKeyOfPeer(observer) });
      if (record === undefined) return [];
      const { silent, timeMs: atMs } = silenceBody.decode(record.body);
      const silentSinceMs = silent.find(({ peer }) => peer === target)?.sinceMs;
      if (silentSinceMs === undefined || atMs - silentSinceMs < unreachableAfterMs) return [];
      const ageMs = clock.wallMs() - atMs;
      if (ageMs > reportValidMs || ageMs < -WITNESS_AHEAD_MS) return [];
      return [{ witness: { observer, target, silentSinceMs, atMs }, envelope: encodeSigned(record) }];
    });
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  counts(): PresenceCounts {
    return this.#journal.counts();
  }

  /** Whether it has listened for long enough to have heard everybody who is up. */
  get isSettled(): boolean {
    return this.#c.clock.wallMs() - this.#liveness.startedMs >= settlingMs(this.#settings);
  }

  async #run(): Promise<void> {
    const { clock, rng } = this.#c;
    const { signal } = this.#stopping;
    const everyMs = checkEveryMs(this.#settings);
    while (!signal.aborted) {
      await this.#tryTo("silence-not-said", () => this.#report());
      await this.#tryTo("presence-not-saved", () => this.#save(false));
      try {
        const isFinding = this.#weather.kind === "cut-off" && !this.isSettled;
        const waitMs = isFinding ? Math.min(everyMs, FINDING_EVERY_MS) : everyMs;
        await clock.sleep(waitMs * (0.75 + rng.float() / 2), signal);
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      this.#step();
    }
  }

  async #tryTo(event: string, what: () => Promise<void>): Promise<void> {
    try {
      await what();
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#c.log.warn(event, { why: messageOf(error) });
    }
  }

  #recordChanged(record: Signed): void {
    if (record.type !== "status" && record.type !== "silence") return;
    const isLeaving = this.#heard.record(record, this.#liveness);
    // What a node says of its own leaving is to be known at once, not a minute later; but one that says something else
    // all the time does not make everybody judge everybody all the time.
    const agoMs = Math.abs(this.#c.clock.wallMs() - this.#steppedMs);
    if (isLeaving && agoMs >= AT_ONCE_EVERY_MS) this.#step();
  }

  #step(): void {
    const { clock, roster } = this.#c;
    if (roster.member(this.#me) === undefined) return;
    const nowMs = clock.wallMs();
    this.#listenAnew(nowMs);
    const before = this.#liveness.nodes;
    const members = membersOf(roster);
    this.#liveness = stepLiveness(this.#liveness, {
      me: this.#me,
      roster: members,
      observations: this.#heard.take(nowMs),
      nowMs,
      rules: this.#settings.liveness,
    });
    this.#weather = weatherOf(this.#liveness.nodes, members, nowMs, this.#settings.storm);
    this.#tell(before);
  }

  /** Who did not run, or whose clock was set, cannot say of anybody that it was silent meanwhile. */
  #listenAnew(nowMs: number): void {
    const passedMs = nowMs - this.#steppedMs;
    this.#steppedMs = nowMs;
    if (passedMs >= -SET_BACK_MS && passedMs <= this.#settings.liveness.unreachableAfterMs / 2) return;
    this.#c.log.info("presence-resumed", { passedMs });
    this.#liveness = resumeListening(this.#liveness, nowMs);
  }

  #tell(before: ReadonlyMap<PeerId, NodeLiveness>): void {
    let hasChanged = this.#journal.nodes(before, this.#liveness.nodes);
    if (this.#weather.kind !== "cut-off" || this.isSettled)
      hasChanged = this.#journal.weather(this.#weather) || hasChanged;
    if (hasChanged) for (const listener of [...this.#listeners]) listener();
  }

  async #report(): Promise<void> {
    const { clock, roster } = this.#c;
    if (roster.member(this.#me) === undefined) return;
    const silent = silencesToReport({
      me: this.#me,
      roster: membersOf(roster),
      liveness: this.#liveness,
      nowMs: clock.wallMs(),
      rules: this.#settings.liveness,
    });
    await this.#reporter.say(silent);
  }

  async #save(everything: boolean): Promise<void> {
    const nowMs = this.#c.clock.monotonicMs();
    const isDue = everything || nowMs - this.#savedAllMs >= SAVE_EVERY_MS;
    const { nodes, hearings } = this.#liveness;
    const ops: MetaOp[] = [];
    const written = new Map<PeerId, KnownNode>();
    for (const [peer, { state, sinceMs, isDeclaredLost }] of nodes) {
      const saved = this.#saved.get(peer);
      const declared = isDeclaredLost === undefined ? {} : { isDeclaredLost };
      const known = { hearings: hearings.get(peer) ?? NOTHING_HEARD, state, sinceMs, ...declared };
      const isNew = saved?.state !== state || (isDue && saved.hearings !== known.hearings);
      if (!isNew) continue;
      ops.push(knownOp(peer, known));
      written.set(peer, known);
    }
    const forgotten = [...this.#saved.keys()].filter((peer) => nodes.size > 0 && !nodes.has(peer));
    ops.push(...forgotten.map(forgetOp));
    if (ops.length > 0) await this.#c.store.write(ops, { sync: false });
    for (const [peer, known] of written) this.#saved.set(peer, known);
    for (const peer of forgotten) this.#saved.delete(peer);
    if (isDue) this.#savedAllMs = nowMs;
  }
}

/** Whom administrators declared gone is lost from their word on, though it is shut out only when its day has come. */
function membersOf(roster: Roster): UpkeepMember[] {
  const declaredMs = new Map(
    roster.pending().flatMap((one) => (one.kind === "removal" ? [[one.peer, one.issuedMs]] : [])),
  );
  return roster.members().map(({ peer, site, since: sinceMs }) => {
    return { peer, site, sinceMs, declaredLostMs: declaredMs.get(peer) };
  });
}

/** As it was when it was written. Of itself a node knows better. */
function livenessOf(known: ReadonlyMap<PeerId, KnownNode>, me: PeerId): Liveness {
  const hearings = new Map([...known].map(([peer, node]) => [peer, node.hearings]));
  const nodes = new Map<PeerId, NodeLiveness>();
  for (const [peer, { hearings: _, ...node }] of known) {
    if (peer !== me) nodes.set(peer, { ...node, plannedUntilMs: undefined, isHeard: false });
  }
  return { ...startListening(0), hearings, nodes };
}
