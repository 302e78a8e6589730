import { assert } from "../src/base/assert.ts";
import { chooseDrain, type Drain, fromEventLoop } from "./drain.ts";
import { EventHeap } from "./event-heap.ts";
import { TraceHash } from "./trace-hash.ts";

/** Names something that is to happen, to cancel it. */
export type Timer = number;

/** Events between two looks of the real event loop: signals and the output of the process get their turn. */
const EVENTS_PER_TURN = 10_000;
/** A slot's number takes the lower bits of a `Timer`, how often the slot was used the upper ones. */
const SLOTS_MAX = 2 ** 24;

export interface SchedulerInit {
  /** Of what the machine can do unless told: see `Drain`. */
  readonly prefer?: "at-once" | "by-turns";
}

/**
 * Virtual time in one thread. Events happen one after the other, in order of time, then of being asked for; what an event
 * sets going is followed to where it waits for another event before the next one happens. The same calls give the same
 * sequence on every machine, and `trace` is its fingerprint.
 */
export class Scheduler {
  readonly trace = new TraceHash();
  readonly #heap = new EventHeap();
  readonly #drain: Drain;
  #nowMs = 0;
  #events = 0;
  #isStopped = false;
  #isRunning = false;
  // What is to be done by slot; `undefined` after it was cancelled.
  readonly #tasks: ((() => void) | undefined)[] = [];
  readonly #uses: number[] = [];
  readonly #freeSlots: number[] = [];

  private constructor(drain: Drain) {
    this.#drain = drain;
  }

  static async create(init: SchedulerInit = {}): Promise<Scheduler> {
    return new Scheduler(await chooseDrain(init.prefer));
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** That have happened. */
  get events(): number {
    return this.#events;
  }

  /** An event is happening right now: code of the core may be running. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  get drainKind(): Drain["kind"] {
    return this.#drain.kind;
  }

  /** To happen at a time; now, if that is past. */
  at(timeMs: number, task: () => void): Timer {
    const slot = this.#freeSlots.pop() ?? this.#newSlot();
    this.#tasks[slot] = task;
    this.#heap.push(Math.max(timeMs, this.#nowMs), slot);
    return (this.#uses[slot] ?? 0) * SLOTS_MAX + slot;
  }

  after(ms: number, task: () => void): Timer {
    return this.at(this.#nowMs + ms, task);
  }

  cancel(timer: Timer): void {
    const slot = timer % SLOTS_MAX;
    if (this.#uses[slot] === (timer - slot) / SLOTS_MAX) this.#tasks[slot] = undefined;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve));
  }

  /** Ends `run` after the event that is happening now. */
  stop(): void {
    this.#isStopped = true;
  }

  /**
   * Lets time pass until then, or until `stop`, or until nothing is to happen any more.
   * @param mayGoOn asked between turns of the real event loop
   */
  async run(untilMs: number, mayGoOn: () => boolean = () => true): Promise<void> {
    assert(!this.#isRunning, "one run at a time");
    this.#isStopped = false;
    const drain = this.#drain;
    while (this.#isDue(untilMs) && mayGoOn()) {
      if (drain.kind === "at-once") await fromEventLoop(() => this.#turn(untilMs, drain.drain));
      else await this.#slowTurn(untilMs, drain.drain);
    }
    if (!this.#isStopped && this.#nowMs < untilMs && Number.isFinite(untilMs)) this.#nowMs = untilMs;
  }

  #isDue(untilMs: number): boolean {
    return !this.#isStopped && this.#heap.length > 0 && this.#heap.firstTime <= untilMs;
  }

  #turn(untilMs: number, drain: () => void): void {
    this.#isRunning = true;
    try {
      for (let left = EVENTS_PER_TURN; left > 0 && this.#isDue(untilMs); left--) if (this.#happen()) drain();
    } finally {
      this.#isRunning = false;
    }
  }

  async #slowTurn(untilMs: number, drain: () => Promise<void>): Promise<void> {
    this.#isRunning = true;
    try {
      for (let left = EVENTS_PER_TURN; left > 0 && this.#isDue(untilMs); left--)
        if (this.#happen()) await drain();
    } finally {
      this.#isRunning = false;
    }
  }

  /** False where what was to happen had been cancelled. */
  #happen(): boolean {
    const timeMs = this.#heap.firstTime;
    const slot = this.#heap.pop();
    const task = this.#tasks[slot];
    this.#tasks[slot] = undefined;
    this.#uses[slot] = (this.#uses[slot] ?? 0) + 1;
    this.#freeSlots.push(slot);
    if (task === undefined) return false;
    this.#nowMs = timeMs;
    this.#events++;
    this.trace.mixNumber(timeMs);
    task();
    return true;
  }

  #newSlot(): number {
    const slot = this.#tasks.length;
    assert(slot < SLOTS_MAX, "what is waited for has a bound");
    this.#tasks.push(undefined);
    this.#uses.push(0);
    return slot;
  }
}
