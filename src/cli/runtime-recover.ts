import type { Guest } from "../adapters/libp2p/index.ts";
import { systemClock, systemRng } from "../adapters/system.ts";
import { Fault } from "../base/fault.ts";
import { type Incarnation, type PeerId, peerIdOf } from "../base/ids.ts";
import { SILENT_LOG } from "../base/log.ts";
import type { RecoveryKeys } from "../crypto/index.ts";
import { SEED_BYTES, signerFromSeed } from "../crypto/sign.ts";
import { RecordStore, Roster } from "../membership/index.ts";
import { type FoundHead, importCatalog, type PoolFindings, pickHead, Recovery } from "../node/index.ts";
import type { Compute, MetaStore, Spool } from "../ports/index.ts";
import type { RecoverOptions, RecoverReport } from "./local-operations.ts";
import type { HomeKeys, HomeSettings } from "./runtime-home.ts";

export interface RecoverIntoComponents {
  readonly guest: Guest;
  /** The catalog's namespace. */
  readonly meta: MetaStore;
  /** The namespace of roster and records. */
  readonly roster: MetaStore;
  readonly spool: Spool;
  readonly compute: Compute;
}

export interface RecoverIntoInit {
  readonly recovery: RecoveryKeys;
  readonly via: PeerId;
  readonly options: RecoverOptions;
  readonly settings: HomeSettings;
}

/** Everything of `cairn recover` once a member has let the recovery identity in. */
export async function recoverInto(
  components: RecoverIntoComponents,
  init: RecoverIntoInit,
): Promise<{
  keys: HomeKeys;
  firstPeers: HomeSettings["firstPeers"];
  readOnly: boolean;
  result: RecoverReport;
}> {
  const { guest } = components;
  const { options, settings, via } = init;
  const recovery = await Recovery.begin(
    {
      network: guest.network,
      dial: (address) => guest.dial(address),
      clock: systemClock,
      rng: systemRng,
      log: SILENT_LOG,
    },
    init.recovery,
    via,
  );
  const pool = await recovery.askPool((answered, asked) =>
    options.onProgress({ type: "progress", phase: "recover", segments: answered, segmentsTotal: asked }),
  );
  const head = chooseHead(pool, options, recovery);
  const payload = recovery.open(head);
  const incarnation = options.readOnly ? undefined : recovery.newIncarnation();
  const { catalog, bytesFetched } = await importCatalog(
    { ...components, store: components.meta, client: recovery.client, clock: systemClock, log: SILENT_LOG },
    {
      swarm: recovery.swarm,
      owner: recovery.slot.owner,
      keys: recovery.keys,
      head: head.signed,
      keepers: head.keepers,
      payload,
      maps: pool.maps,
      incarnation,
      signal: options.signal,
      onProgress: ({ done, total }) =>
        options.onProgress({ type: "progress", phase: "recover", segments: done, segmentsTotal: total }),
    },
  );
  const home =
    incarnation === undefined
      ? await lookOnly(components, recovery, init.recovery)
      : await enter(components, recovery, incarnation, options, settings);
  const { root, administratorSeed } = recovery.slot;
  return {
    keys: {
      nodeSeed: home.nodeSeed,
      root,
      slot: recovery.slotRecord,
      ...(administratorSeed === undefined || options.readOnly ? {} : { administratorSeed }),
    },
    readOnly: options.readOnly,
    firstPeers: pool.peers.map(({ peer, addresses }) => ({ peer, addresses: [...addresses] })),
    result: {
      ownerId: recovery.slot.owner,
      peerId: peerIdOf(signerFromSeed(home.nodeSeed).publicKey),
      site: home.site,
      members: { asked: pool.asked, answered: pool.answered },
      head: describe(head),
      snapshots: (await catalog.snapshots()).length,
      readOnly: options.readOnly,
      warnings: warningsOf(pool, head),
      bytesFetched,
    },
  };
}

/** A member again, under a new node key and in a new life that fences the old one. */
async function enter(
  components: RecoverIntoComponents,
  recovery: Recovery,
  incarnation: Incarnation,
  options: RecoverOptions,
  settings: HomeSettings,
): Promise<{ nodeSeed: Uint8Array; site: string }> {
  const nodeSeed = systemRng.bytes(SEED_BYTES);
  const { name, host, capacityBytes } = settings;
  const entered = await recovery.enter(signerFromSeed(nodeSeed), incarnation, {
    name,
    host,
    capacityBytes,
    ...(options.site === undefined ? {} : { site: options.site }),
  });
  const roster = await Roster.create({ store: components.roster, clock: systemClock }, entered);
  const records = await RecordStore.open({ store: components.roster, roster, log: SILENT_LOG });
  await records.put(entered.incarnation);
  return { nodeSeed, site: entered.site };
}

/** No member: this home dials the swarm as the recovery identity, which may read and no more. Nobody is fenced. */
async function lookOnly(
  components: RecoverIntoComponents,
  recovery: Recovery,
  keys: RecoveryKeys,
): Promise<{ nodeSeed: Uint8Array; site: string }> {
  await Roster.create({ store: components.roster, clock: systemClock }, recovery.roster());
  return { nodeSeed: keys.identitySeed, site: "-" };
}

/** The newest by the rules, or the one asked for; refused where too few of the pool answered to know which that is. */
function chooseHead(pool: PoolFindings, options: RecoverOptions, recovery: Recovery): FoundHead {
  const [newest] = pool.heads;
  if (newest === undefined) {
    const { asked, answered } = pool;
    throw new Fault({ code: "REPOSITORY_NOT_FOUND", owner: recovery.slot.owner, asked, answered });
  }
  if (options.acceptHead !== undefined) return pickHead(pool.heads, options.acceptHead);
  const { members, answered } = pool.pool;
  if (answered * 2 <= members) {
    const reason =
      `only ${answered} of the ${members} peers that keep this repository answered, so there may be a newer state than ` +
      `${newest.id.slice(0, 12)} of ${new Date(newest.body.timeMs).toISOString()}; ` +
      `bring more of them back, or go on with --accept-head ${newest.id.slice(0, 12)}`;
    throw new Fault({ code: "NOT_ALLOWED", reason });
  }
  return options.head === undefined ? newest : pickHead(pool.heads, options.head);
}

function describe(head: FoundHead): RecoverReport["head"] {
  const { incarnation, epoch } = head.signed;
  return { id: head.id, time: new Date(head.body.timeMs).toISOString(), incarnation, epoch };
}

function warningsOf(pool: PoolFindings, chosen: FoundHead): string[] {
  const warnings: string[] = [];
  if (pool.answered < pool.asked) {
    warnings.push(`${pool.asked - pool.answered} of ${pool.asked} members did not answer.`);
  }
  const newer = pool.heads.filter((head) => head.body.timeMs > chosen.body.timeMs);
  if (newer.length > 0) warnings.push(`${newer.length} head(s) found are newer than the one chosen.`);
  const forks = pool.heads.filter(
    ({ id, signed }) =>
      id !== chosen.id &&
      signed.incarnation === chosen.signed.incarnation &&
      signed.epoch === chosen.signed.epoch,
  );
  if (forks.length > 0)
    warnings.push("There are two different states of the same moment: the repository was forked.");
  return warnings;
}
