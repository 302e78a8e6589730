import { type Fault, isFault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { Fence } from "../exchange/index.ts";
import {
  faultOfStanding,
  type NodeStanding,
  type StandingEvidence,
  type StandingInit,
  standingOf,
} from "./node-standing.ts";

export interface StandingKeeperComponents {
  readonly evidence: () => StandingEvidence;
  readonly self: () => StandingInit;
  readonly fence: Fence;
  /** What writes. */
  readonly repository: { suspend(why: Fault): Promise<void>; resume(): Promise<void> };
  readonly log: Log;
}

/**
 * Notices when this node is fenced, removed, or a member again, says so once, and has the rest of the node act on it.
 * `review` is to be called whenever some of the evidence may have changed.
 */
export class StandingKeeper {
  readonly #c: StandingKeeperComponents;
  #standing: NodeStanding;
  #applying: Promise<void> = Promise.resolve();

  constructor(components: StandingKeeperComponents) {
    this.#c = components;
    this.#standing = standingOf(components.evidence(), components.self());
    if (this.why !== undefined) components.fence.raise(this.why);
  }

  get standing(): NodeStanding {
    return this.#standing;
  }

  get why(): Fault | undefined {
    return faultOfStanding(this.#standing, this.#c.self().owner);
  }

  /** After a start: what was so before is so again, and is said again. */
  begin(): void {
    if (this.why !== undefined) this.#say();
  }

  review(): void {
    const standing = standingOf(this.#c.evidence(), this.#c.self());
    const before = this.#standing;
    this.#standing = standing;
    if (standing.state === before.state) return;
    this.#say();
    const { why } = this;
    // At once: what is under way ends later, but signs nothing more.
    if (why !== undefined) this.#c.fence.raise(why);
    this.#applying = this.#applying.then(() => this.#apply(why));
  }

  /** Resolves when what was begun by a change is done. */
  async idle(): Promise<void> {
    await this.#applying;
  }

  async #apply(why: Fault | undefined): Promise<void> {
    const { fence, repository } = this.#c;
    try {
      if (why !== undefined) return await repository.suspend(why);
      if (this.why !== undefined) return;
      fence.lower();
      await repository.resume();
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#c.log.error("standing-not-applied", { state: this.#standing.state, why: messageOf(error) });
    }
  }

  #say(): void {
    const ids = this.#c.self();
    const standing = this.#standing;
    const { why } = this;
    if (why === undefined) {
      this.#c.log.info("unfenced", { ...ids });
      return;
    }
    const ended =
      "sinceMs" in standing ? { since: new Date(standing.sinceMs).toISOString(), by: standing.by } : {};
    this.#c.log.error("fenced", { ...ids, state: standing.state, ...ended, reason: why.message });
  }
}
