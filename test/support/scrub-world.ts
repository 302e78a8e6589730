import { VirtualClock } from "../../sim/clock.ts";
import { SimDisk } from "../../sim/disk.ts";
import { createInlineCompute } from "../../sim/inline-compute.ts";
import { SimMetaDisk } from "../../sim/meta-store.ts";
import { SeededRng } from "../../sim/rng.ts";
import { SimShardDisk } from "../../sim/shard-store.ts";
import { createFileOpener } from "../../src/adapters/files/index.ts";
import { must } from "../../src/base/assert.ts";
import { incarnationOf, type ShardId, swarmIdOf } from "../../src/base/ids.ts";
import type { Log } from "../../src/base/log.ts";
import { GIB } from "../../src/base/units.ts";
import { signStatement } from "../../src/crypto/signed.ts";
import { createReferenceCodec, shardRoot } from "../../src/erasure/index.ts";
import type { ShardStore } from "../../src/ports/index.ts";
import { Scrubber, type ScrubInit, StoreWatch } from "../../src/scrub/index.ts";
import { shardNote } from "../../src/wire/data.ts";
import { descriptorCodec } from "../../src/wire/descriptor.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { type Life, mortal } from "./mortal.ts";
import { noise, ownerKeys } from "./segments.ts";

const SHARD_BYTES = 1000;
const keys = ownerKeys(1);
const life = incarnationOf(new Uint8Array(16).fill(1));

export const heldId = (number: number): ShardId => ({
  owner: keys.owner,
  incarnation: life,
  number,
  index: number % 3,
});

/** One holder's disks, and a scrub over them that can be stopped, crashed and started again. */
export class ScrubWorld {
  readonly clock = new VirtualClock();
  readonly rng = new SeededRng("scrub");
  readonly disk = new SimDisk({
    clock: this.clock,
    rng: this.rng.fork("disk"),
    totalBytes: GIB,
    readMs: 1,
    syncMs: 1,
  });
  readonly data = new SimShardDisk(this.disk, { capacityBytes: GIB });
  readonly meta = new SimMetaDisk(this.disk);
  readonly log: { event: string; fields: Readonly<Record<string, unknown>> }[] = [];
  /** Keys of segment numbers in the order in which they were read. */
  readonly read: number[] = [];
  /** When each segment number was put or read last. */
  readonly seenMs = new Map<number, number>();
  #life: Life = { isOver: false };
  shards: ShardStore = this.#open();
  watch: StoreWatch = this.#watch();

  /** @param receivedMs what the notes say */
  async hold(numbers: readonly number[], receivedMs = this.clock.wallMs()): Promise<void> {
    for (const number of numbers) {
      const bytes = noise(SHARD_BYTES, number);
      const { note } = noteOf(heldId(number), bytes, receivedMs);
      await this.run(this.shards.put(heldId(number), bytes, note));
      this.seenMs.set(number, this.clock.wallMs());
    }
  }

  scrubber(init: ScrubInit = {}): Scrubber {
    const { clock, shards, watch } = this;
    const compute = createInlineCompute(createFileOpener(), createReferenceCodec());
    const log = this.#logger();
    const store = mortal(this.meta.open(), this.#life);
    return new Scrubber({ shards, store, compute, watch, clock, rng: this.rng, log }, init);
  }

  scrubNow(scrubber: Scrubber): ReturnType<Scrubber["now"]> {
    return this.run(scrubber.now(new AbortController().signal, () => {}));
  }

  /** Lets time pass until it is done: from one sleeper to the next, when nothing else is left to do. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (settled) return promise;
      const next = must(this.clock.nextWakeMs(), "somebody who sleeps");
      await this.clock.advance(Math.max(0, next - this.clock.monotonicMs()));
    }
  }

  /** Of what was not read for longest. */
  oldestAgeMs(): number {
    return this.clock.wallMs() - Math.min(...this.seenMs.values());
  }

  pass(ms: number): Promise<void> {
    return this.run(this.clock.sleep(ms));
  }

  /** The power goes; what was not synced may be lost. */
  crash(): void {
    this.#life.isOver = true;
    this.#life = { isOver: false };
    this.disk.losePower();
    this.shards = this.#open();
    this.watch = this.#watch();
  }

  /** Segment numbers that are set aside, with the kind of the reason. */
  async setAside(): Promise<[number, string][]> {
    const all = await this.run(this.shards.quarantined(undefined, 1000));
    return all.map(({ id, reason }) => [id.number, reason.replace(/:.*/s, "")]);
  }

  logged(event: string): Readonly<Record<string, unknown>>[] {
    return this.log.filter((line) => line.event === event).map(({ fields }) => fields);
  }

  #open(): ShardStore {
    const shards = mortal(this.data.open(), this.#life);
    return new Proxy(shards, {
      get: (target, name) => {
        if (name !== "read") return Reflect.get(target, name);
        return (id: ShardId, offset: number, length: number) => {
          this.read.push(id.number);
          this.seenMs.set(id.number, this.clock.wallMs());
          return target.read(id, offset, length);
        };
      },
    });
  }

  #watch(): StoreWatch {
    return new StoreWatch({ shards: this.shards, clock: this.clock, log: this.#logger() });
  }

  #logger(): Log {
    const at = (event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      this.log.push({ event, fields });
    };
    return { debug: at, info: at, warn: at, error: at };
  }
}

export function noteOf(id: ShardId, bytes: Uint8Array, receivedMs: number): { note: Uint8Array } {
  const root = shardRoot(bytes, id.index, 64);
  const other = new Uint8Array(32);
  const body = descriptorCodec.encode({
    v: 1,
    codec: 1,
    k: 2,
    m: 1,
    class: 0,
    segmentBytes: 2 * bytes.length,
    shardBytes: bytes.length,
    leafBytes: 64,
    roots: [0, 1, 2].map((index) => (index === id.index ? root : other)),
    lockMs: 0,
    createdMs: 0,
  });
  const swarm = swarmIdOf(new Uint8Array(32).fill(7));
  const { incarnation, number } = id;
  const statement = { type: "descriptor", swarm, incarnation, epoch: number, body } as const;
  const descriptor = encodeSigned(signStatement(statement, keys.signer));
  return { note: shardNote.encode({ v: 1, root, descriptor, receivedMs }) };
}
