import { isFault, messageOf } from "../base/fault.ts";
import { type ShardId, shardKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import {
  type Clock,
  type Compute,
  type QuarantinedShard,
  type Rng,
  type ShardStore,
  type StoredShard,
  sampleOf,
} from "../ports/index.ts";
import { type BadKind, checkShard } from "./check-shard.ts";
import { isDiskFailing } from "./pace.ts";
import type { StoreWatch } from "./store-watch.ts";

export interface JudgeComponents {
  readonly shards: ShardStore;
  readonly compute: Pick<Compute, "roots">;
  readonly watch: StoreWatch;
  readonly clock: Pick<Clock, "wallMs">;
  readonly rng: Pick<Rng, "float">;
  readonly log: Log;
  /** Called when something was set aside. */
  readonly onSetAside?: () => void;
}

export type Outcome =
  | { readonly corrupt: boolean; readonly quarantined: boolean }
  /** The disk is not there, or takes no changes: nothing was decided. */
  | "held-up";

const FINE: Outcome = { corrupt: false, quarantined: false };
/** Other shards that are tried when one cannot be read. */
const PROBES = 8;
const PROBE_BYTES = 4096;
const PAGE = 500;

/** Decides about one shard, and acts: what is bad is set aside, unless it is the disk that is bad. */
export class ShardJudge {
  readonly #c: JudgeComponents;

  constructor(components: JudgeComponents) {
    this.#c = components;
  }

  async judge(shard: StoredShard): Promise<Outcome> {
    if ((await checkShard(this.#c, shard)).good) return FINE;
    // Once more: a wire or a memory cell may have lied.
    const verdict = await checkShard(this.#c, shard);
    if (verdict.good) return FINE;
    if (await this.#isDisk(shard, verdict.kind)) return "held-up";
    const { clock, shards, log } = this.#c;
    const { kind, reason } = verdict;
    try {
      const why = { reason: `${kind}: ${reason}`, timeMs: clock.wallMs() };
      // Replaced or deleted while it was read: what is held now is another writing.
      if (!(await shards.quarantine(shard.id, shard.version, why))) return FINE;
    } catch (error) {
      if (!isFault(error)) throw error;
      log.warn("shard-not-quarantined", { shard: shardKey(shard.id), kind, why: messageOf(error) });
      return "held-up";
    }
    log.warn("shard-quarantined", { shard: shardKey(shard.id), kind, reason, bytes: shard.bytes });
    this.#c.onSetAside?.();
    return { corrupt: true, quarantined: true };
  }

  /** Everything that is kept aside. */
  async *setAside(): AsyncGenerator<QuarantinedShard> {
    let after: ShardId | undefined;
    for (;;) {
      const page = await this.#c.shards.quarantined(after, PAGE);
      yield* page;
      after = page.at(-1)?.id;
      if (page.length < PAGE) return;
    }
  }

  /** A copy that is kept aside has no use once the shard is held again, and was read as it should be. */
  async dropReplaced(): Promise<void> {
    const { shards, log } = this.#c;
    for await (const { id } of this.setAside()) {
      const held = shards.stat(id);
      if (held === undefined || !(await checkShard(this.#c, held)).good) continue;
      await shards.dropQuarantined(id);
      log.info("shard-replaced", { shard: shardKey(id) });
    }
  }

  async #isDisk(shard: StoredShard, kind: BadKind): Promise<boolean> {
    const { watch } = this.#c;
    if ((await watch.look()).state === "gone") return true;
    if (kind !== "unreadable") return false;
    const unreadable = [shard.id];
    let readable = 0;
    for (const id of await this.#others(shard.id)) {
      if (await this.#isReadable(id)) readable++;
      else unreadable.push(id);
    }
    if (!isDiskFailing({ readable, unreadable: unreadable.length })) return false;
    const reason = `of ${readable + unreadable.length} shards ${unreadable.length} cannot be read`;
    watch.fail(reason, async () => {
      for (const id of unreadable) if (await this.#isReadable(id)) return true;
      return false;
    });
    return true;
  }

  /** Of what follows and of what comes first: enough of a sample, and no walk through the whole index. */
  async #others(id: ShardId): Promise<ShardId[]> {
    const { shards, rng } = this.#c;
    const pages = await Promise.all([shards.list(id, PAGE), shards.list(undefined, PAGE)]);
    const others = new Map(pages.flat().map((one) => [shardKey(one.id), one.id]));
    others.delete(shardKey(id));
    return sampleOf(rng, [...others.values()], PROBES);
  }

  /** A file that is not there can be told, too: the disk answers. */
  async #isReadable(id: ShardId): Promise<boolean> {
    try {
      await this.#c.shards.read(id, 0, PROBE_BYTES);
      return true;
    } catch (error) {
      if (!isFault(error, "DISK_FAILED")) throw error;
      return false;
    }
  }
}
