import { utf8 } from "../base/bytes.ts";
import { type Fault, isFault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { Fence } from "../exchange/index.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import {
  faultOfStanding,
  type NodeStanding,
  type StandingEvidence,
  type StandingInit,
  standingOf,
} from "./node-standing.ts";

const REMOVED_KEY = utf8("removed");

export interface StandingKeeperComponents {
  /** A key of its own in a namespace: whether this node was removed when it last looked. */
  readonly store: MetaStore;
  readonly evidence: () => Omit<StandingEvidence, "wasRemoved">;
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
    this.#standing = this.#look();
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
    const standing = this.#look();
    const before = this.#standing;
    this.#standing = standing;
    if (standing.state === before.state) return;
    this.#say();
    const { why } = this;
    // At once: what is under way ends later, but signs nothing more.
    if (why !== undefined) this.#c.fence.raise(why);
    this.#applying = this.#applying.then(() => this.#apply(why));
  }

  #look(): NodeStanding {
    const wasRemoved = this.#c.store.get(REMOVED_KEY) !== undefined;
    return standingOf({ ...this.#c.evidence(), wasRemoved }, this.#c.self());
  }

  async #remember(isRemoved: boolean): Promise<void> {
    if (isRemoved === (this.#c.store.get(REMOVED_KEY) !== undefined)) return;
    const op: MetaOp = isRemoved
      ? { type: "put", key: REMOVED_KEY, value: Uint8Array.of(1) }
      : { type: "delete", key: REMOVED_KEY };
    await this.#c.store.write([op], { sync: true });
  }

  /** Resolves when what was begun by a change is done. */
  async idle(): Promise<void> {
    await this.#applying;
  }

  async #apply(why: Fault | undefined): Promise<void> {
    const { fence, repository } = this.#c;
    try {
      await this.#remember(why?.code === "REMOVED");
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
