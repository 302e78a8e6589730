/**
 * What knowing who is up costs a node: bytes a second, computed from encoded sizes and the protocol, and measured with
 * real services of so many nodes in one process, on simulated ports and time; and the processor time of that.
 *
 *   node bench/gossip.ts [nodes in the process] [nodes to compute for]
 *
 * Counted are messages of protocol sync, in and out together, and 500 bytes in each direction for every request: stream
 * negotiation, frames, encryption, TCP and IP. Not counted: pings of open connections, and data.
 */

import { VirtualClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { SimMetaDisk } from "../sim/meta-store.ts";
import { createSimNetworks } from "../sim/network.ts";
import { SeededRng } from "../sim/rng.ts";
import { must } from "../src/base/assert.ts";
import { SILENT_LOG } from "../src/base/log.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../src/base/units.ts";
import { FORMAT_VERSIONS, RecordStore, type Roster, SyncService } from "../src/membership/index.ts";
import { StatusBeat } from "../src/node/status-beat.ts";
import { type Network, prefixed } from "../src/ports/index.ts";
import { listening, Presence } from "../src/presence/index.ts";
import { TickBook, TickGossip } from "../src/ticks/index.ts";
import { TRUSTED, UPKEEP_SETTINGS } from "../src/upkeep/index.ts";
import { syncRequestCodec } from "../src/wire/sync.ts";
import { PACKED_TICK_BYTES } from "../src/wire/ticks.ts";
import { type Keys, largeSwarm } from "../test/support/large-swarm.ts";

const REQUEST_OVERHEAD_BYTES = 500;
const MEASURED_MS = HOUR_MS;
const WARM_UP_MS = 20 * MINUTE_MS;
const STATUS_EVERY_MS = DAY_MS;

/** Bytes sent, by kind of request; each is received by somebody, too. */
class Meter {
  readonly bytes = new Map<string, number>();
  readonly requests = new Map<string, number>();

  clear(): void {
    this.bytes.clear();
    this.requests.clear();
  }

  count(kind: string, bytes: number): void {
    this.bytes.set(kind, (this.bytes.get(kind) ?? 0) + bytes);
    this.requests.set(kind, (this.requests.get(kind) ?? 0) + 1);
  }

  /** In and out of one node of so many, with what the network adds. */
  bytesPerSecond(kind: string, nodes: number, durationMs: number): number {
    const sent = (this.bytes.get(kind) ?? 0) + 2 * REQUEST_OVERHEAD_BYTES * (this.requests.get(kind) ?? 0);
    return (2 * sent * 1000) / durationMs / nodes;
  }

  get kinds(): string[] {
    return [...this.bytes.keys()].sort();
  }
}

function metered(inner: Network, meter: Meter): Network {
  return {
    ...inner,
    async request(peer, protocol, message, options) {
      const answer = await inner.request(peer, protocol, message, options);
      const { kind } = syncRequestCodec.decode(message.head);
      meter.count(kind, message.head.length + answer.head.length);
      return answer;
    },
  };
}

interface BenchNode {
  readonly presence: Presence;
  readonly stop: () => Promise<void>;
}

interface Shared {
  readonly clock: VirtualClock;
  readonly networks: ReturnType<typeof createSimNetworks>;
  readonly roster: Roster;
  readonly meter: Meter;
}

/** The services of a node that know who is up. The roster is the same for all and does not change. */
async function startNode(keys: Keys, { clock, networks, roster, meter }: Shared): Promise<BenchNode> {
  const rng = new SeededRng(keys.peer);
  const sim = networks.add({ self: keys.peer, roleOf: (peer) => roster.roleOf(peer) });
  const network = listening(metered(sim.network, meter), (peer) => presence.heard(peer));
  const meta = new SimMetaDisk(new SimDisk({ clock, rng: rng.fork("disk"), totalBytes: 1e12 })).open();
  const records = await RecordStore.open({
    store: prefixed(meta, Uint8Array.of(1)),
    roster,
    clock,
    log: SILENT_LOG,
  });
  const common = { network, directory: sim.directory, roster, records, clock, rng, log: SILENT_LOG };
  const book = new TickBook({ records, roster });
  const presence = await Presence.open(
    {
      ...common,
      ticks: book,
      store: prefixed(meta, Uint8Array.of(2)),
      signer: keys.node,
      trust: () => TRUSTED,
    },
    UPKEEP_SETTINGS,
  );
  const { beatEveryMs } = UPKEEP_SETTINGS;
  const gossip = new TickGossip({ ...common, book }, { beatEveryMs });
  const sync = new SyncService({
    ...common,
    ticks: (from, fresh, packed) => gossip.answer(from, fresh, packed),
  });
  const beat = new StatusBeat(
    {
      ...common,
      ticks: book,
      own: presence.own,
      shards: {
        space: async () => ({ capacityBytes: 4e12, usedBytes: 1e12, freeBytes: 3e12, stagedBytes: 0 }),
      },
      unmet: { review: async () => {}, list: () => [] },
      signer: keys.node,
      administrator: () => keys.owner.publicKey,
    },
    { programVersion: "cairn 0.1.0", formats: FORMAT_VERSIONS, everyMs: beatEveryMs },
  );
  presence.start();
  sync.start();
  await beat.start();
  gossip.start();
  return {
    presence,
    stop: async () => {
      await beat.stop();
      await gossip.stop();
      await sync.stop();
      await presence.stop();
      book.stop();
    },
  };
}

/** All nodes sign a new status, one after the other within the time that is measured. */
async function announceAll(nodes: readonly BenchNode[], clock: VirtualClock): Promise<void> {
  for (const { presence } of nodes) {
    await presence.own.announceOutage(HOUR_MS);
    await clock.advance(MEASURED_MS / nodes.length);
  }
}

const kbits = (bytesPerSecond: number): string => `${((bytesPerSecond * 8) / 1000).toFixed(2)} kbit/s`;

async function measure(count: number, computedFor: number): Promise<void> {
  const clock = new VirtualClock();
  const { keys, roster } = await largeSwarm(count, clock);
  const shared = { clock, networks: createSimNetworks({ clock }), roster, meter: new Meter() };
  const nodes: BenchNode[] = [];
  for (const own of keys) nodes.push(await startNode(own, shared));
  await clock.advance(WARM_UP_MS);
  const { meter } = shared;

  meter.clear();
  const from = process.cpuUsage();
  await clock.advance(MEASURED_MS);
  const { user, system } = process.cpuUsage(from);
  const quiet = new Map(meter.kinds.map((kind) => [kind, meter.bytesPerSecond(kind, count, MEASURED_MS)]));
  const quietPush = meter.bytesPerSecond("push", count, MEASURED_MS);
  const share = (user + system) / 1000 / MEASURED_MS / count;
  const unheard = nodes.flatMap(({ presence }) =>
    [...presence.nodes().values()].filter(({ state }) => state !== "alive"),
  );
  if (unheard.length > 0) throw new Error(`${unheard.length} judgements are not "alive"`);

  meter.clear();
  await announceAll(nodes, clock);
  // Each status that changes costs pushes, and comparisons that find the sets differ for a moment.
  const busy = meter.kinds.reduce((sum, kind) => sum + meter.bytesPerSecond(kind, count, MEASURED_MS), 0);
  const calm = [...quiet.values()].reduce((sum, one) => sum + one, 0);
  const statusPerNode = ((busy - calm) * MEASURED_MS) / 1000 / count;
  await Promise.all(nodes.map((node) => node.stop()));

  console.log(`${count} nodes in one process, an hour in which nothing happens (in + out, with overhead):`);
  for (const [kind, rate] of quiet) console.log(`  ${kind.padEnd(10)} ${kbits(rate)}`);
  console.log(`  together   ${kbits(calm)}, of it news ${kbits(quietPush)}`);
  console.log(`  a status that is signed anew costs every node ${Math.round(statusPerNode)} bytes`);
  console.log(`  processor: ${(share * 100).toFixed(4)} % of a core for each node`);

  const ticks = must(quiet.get("ticks"), "ticks");
  // Sent and received; a link that is new, one an hour, is told everything.
  const tickPayload =
    2 * PACKED_TICK_BYTES * count * ((3 * 1000) / UPKEEP_SETTINGS.beatEveryMs + 1000 / HOUR_MS);
  console.log(
    `  ticks computed: ${kbits(tickPayload)} without overhead (3 links a node, ${PACKED_TICK_BYTES} bytes each)`,
  );
  const grown = tickPayload * (computedFor / count);
  const rarer = Math.min(4, Math.max(1, computedFor / 100)) / Math.min(4, Math.max(1, count / 100));
  const fixed = Math.max(0, ticks - tickPayload) + must(quiet.get("compare"), "comparisons") / rarer;
  const statuses = (statusPerNode * computedFor * 1000) / STATUS_EVERY_MS;
  console.log(`${computedFor} nodes, computed:`);
  console.log(`  ticks      ${kbits(grown)}`);
  console.log(`  exchanges and comparisons ${kbits(fixed)}`);
  console.log(`  statuses   ${kbits(statuses)} (each once a day)`);
  console.log(`  together   ${kbits(grown + fixed + statuses)} in + out`);
}

const [, , nodes = "200", computed = "1000"] = process.argv;
await measure(Number(nodes), Number(computed));
