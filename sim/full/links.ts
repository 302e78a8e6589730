import { Fault } from "../../src/base/fault.ts";
import type { PeerId } from "../../src/base/ids.ts";
import { SECOND_MS } from "../../src/base/units.ts";
import type { SimDelivery, SimNetworks } from "../network.ts";
import type { SeededRng } from "../rng.ts";
import type { Scheduler } from "../scheduler.ts";

/** What the links of one machine are like. */
export interface LinkEnd {
  readonly peer: PeerId;
  readonly site: string;
  readonly bytesPerSecond: number;
  /** Multiplies every time. */
  slowness: number;
  /** Of requests from and to it. */
  losesRequests: number;
  losesAnswers: number;
}

/** What is sent later than that has found its connection dead before. */
const QUEUE_MAX_MS = 30 * SECOND_MS;
const SLOWNESS_MAX = 200;
/** Within one building. */
const LOCAL_MS = 0.3;
/** A connection in which nothing arrives any more is given up after about so long. */
const GIVEN_UP_MS = 90 * SECOND_MS;

/** Latency, bandwidth, loss and silence of all links; cuts are the network's own. */
export class Links {
  readonly #scheduler: Scheduler;
  readonly #networks: SimNetworks;
  readonly #rng: SeededRng;
  readonly #latencyMs: number;
  readonly #ends = new Map<PeerId, LinkEnd>();
  /** Randomness of each directed link, so that what happens on one changes nothing on the others. */
  readonly #draws = new Map<string, SeededRng>();
  /** When the uplink is free again. */
  readonly #busyUntilMs = new Map<PeerId, number>();
  /** Directed links on which nothing arrives, and how often that was asked for. */
  readonly #silent = new Map<string, number>();
  readonly #cuts = new Map<string, number>();

  constructor(scheduler: Scheduler, networks: SimNetworks, rng: SeededRng, latencyMs: number) {
    this.#scheduler = scheduler;
    this.#networks = networks;
    this.#rng = rng;
    this.#latencyMs = latencyMs;
    networks.intercept((delivery) => this.#carryRequest(delivery));
    networks.interceptAnswers((delivery, answer) => this.#carryAnswer(delivery, answer.body.length));
  }

  add(end: LinkEnd): void {
    this.#ends.set(end.peer, end);
  }

  end(peer: PeerId | undefined): LinkEnd | undefined {
    return peer === undefined ? undefined : this.#ends.get(peer);
  }

  /** Both directions; returns how to end it. Cuts of the same pair add up. */
  cut(a: PeerId, b: PeerId): () => void {
    const key = a < b ? `${a} ${b}` : `${b} ${a}`;
    this.#cuts.set(key, (this.#cuts.get(key) ?? 0) + 1);
    this.#networks.cut(a, b);
    return () => {
      const left = (this.#cuts.get(key) ?? 1) - 1;
      this.#cuts.set(key, left);
      if (left === 0) this.#networks.heal(a, b);
    };
  }

  /** One direction. After a while the connection is found to be dead, and comes back when something arrives again. */
  silence(from: PeerId, to: PeerId): () => void {
    const key = `${from} ${to}`;
    this.#silent.set(key, (this.#silent.get(key) ?? 0) + 1);
    let heal: (() => void) | undefined;
    let isOver = false;
    this.#scheduler.after(GIVEN_UP_MS, () => {
      if (!isOver) heal = this.cut(from, to);
    });
    return () => {
      isOver = true;
      this.#silent.set(key, (this.#silent.get(key) ?? 1) - 1);
      heal?.();
    };
  }

  async #carryRequest(delivery: SimDelivery): Promise<void> {
    const { from, to, message } = delivery;
    this.#scheduler.trace.mixBytes(message.head);
    this.#scheduler.trace.mix(message.body.length);
    await this.#carry(from, to, message.head.length + message.body.length);
    if (this.#isLost(from, to, "losesRequests")) throw broken(to);
  }

  async #carryAnswer({ from, to }: SimDelivery, bytes: number): Promise<void> {
    await this.#carry(to, from, bytes);
    if (this.#isLost(to, from, "losesAnswers")) throw broken(to);
  }

  /** From one machine to another; what is lost on the way never arrives. */
  async #carry(from: PeerId, to: PeerId, bytes: number): Promise<void> {
    const nowMs = this.#scheduler.nowMs;
    const [sender, receiver] = [this.#ends.get(from), this.#ends.get(to)];
    const slowness = Math.min(SLOWNESS_MAX, (sender?.slowness ?? 1) * (receiver?.slowness ?? 1));
    const busyUntilMs = Math.min(this.#busyUntilMs.get(from) ?? 0, nowMs + QUEUE_MAX_MS);
    const freeAtMs = Math.max(nowMs, busyUntilMs);
    const sentAtMs = freeAtMs + (bytes / (sender?.bytesPerSecond ?? 1e9)) * SECOND_MS * slowness;
    this.#busyUntilMs.set(from, sentAtMs);
    const baseMs = sender?.site === receiver?.site ? LOCAL_MS : this.#latencyMs;
    // A long tail without logarithms, which differ between machines in their last bit.
    const late = this.#drawOf(from, to).float() ** 8 * 20;
    await this.#scheduler.sleep(sentAtMs - nowMs + baseMs * slowness * (1 + late));
    if ((this.#silent.get(`${from} ${to}`) ?? 0) > 0) await new Promise<never>(() => {});
  }

  #isLost(from: PeerId, to: PeerId, what: "losesRequests" | "losesAnswers"): boolean {
    const share = Math.max(this.#ends.get(from)?.[what] ?? 0, this.#ends.get(to)?.[what] ?? 0);
    return share > 0 && this.#drawOf(from, to).chance(share);
  }

  #drawOf(from: PeerId, to: PeerId): SeededRng {
    const key = `${from} ${to}`;
    const known = this.#draws.get(key) ?? this.#rng.fork(key);
    this.#draws.set(key, known);
    return known;
  }
}

function broken(peer: PeerId): Fault {
  return new Fault({ code: "PEER_UNREACHABLE", peer, reason: "the connection broke" });
}
