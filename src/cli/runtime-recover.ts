import type { Guest } from "../adapters/libp2p/index.ts";
import { systemClock, systemRng } from "../adapters/system.ts";
import { must } from "../base/assert.ts";
import { Fault, isFault } from "../base/fault.ts";
import { type Incarnation, type PeerId, peerIdOf } from "../base/ids.ts";
import { SILENT_LOG } from "../base/log.ts";
import type { RecoveryKeys } from "../crypto/index.ts";
import { SEED_BYTES, signerFromSeed } from "../crypto/sign.ts";
import { RecordStore, Roster } from "../membership/index.ts";
import {
  emptyCatalog,
  type FoundHead,
  foundSnapshots,
  importCatalog,
  type PoolFindings,
  pickHead,
  Recovery,
  viewOfAnswers,
} from "../node/index.ts";
import type { Compute, MetaStore, Spool } from "../ports/index.ts";
import type { RecoverOptions, RecoverReport } from "./local-operations.ts";
import { dialFault } from "./runtime-dial.ts";
import type { HomeKeys, HomeSettings } from "./runtime-home.ts";
import { findingsOf, nothingFound } from "./runtime-recover-report.ts";

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
  /** Addresses of members, tried in order. */
  readonly peers: readonly string[];
  readonly options: RecoverOptions;
  readonly settings: HomeSettings;
}

/** Everything of `cairn recover` from the first dialled member on. */
export async function recoverInto(
  components: RecoverIntoComponents,
  init: RecoverIntoInit,
): Promise<{
  keys: HomeKeys;
  firstPeers: HomeSettings["firstPeers"];
  readOnly: boolean;
  name: string;
  result: RecoverReport;
}> {
  const { options, settings } = init;
  const { recovery, others } = await beginWithAny(components.guest, init);
  const pool = await recovery.askPool(
    (answered, asked) =>
      options.onProgress({ type: "progress", phase: "recover", segments: answered, segmentsTotal: asked }),
    others,
  );
  const { head, readOnlyBecause } = chooseHead(pool, options, recovery);
  const readOnly = readOnlyBecause !== undefined;
  const incarnation = readOnly ? undefined : recovery.newIncarnation();
  const begun = { components, recovery, pool, incarnation, options };
  const found = head === undefined ? await beginEmpty(begun) : await goOnFrom(head, begun);
  const home =
    incarnation === undefined
      ? await lookOnly(components, recovery, init.recovery, settings)
      : await enter(components, recovery, incarnation, options, settings);
  const { root, administratorSeed } = recovery.slot;
  return {
    keys: {
      nodeSeed: home.nodeSeed,
      root,
      slot: recovery.slotRecord,
      ...(administratorSeed === undefined || readOnly ? {} : { administratorSeed }),
    },
    readOnly,
    name: home.name,
    firstPeers: pool.peers.map(({ peer, addresses }) => ({ peer, addresses: [...addresses] })),
    result: {
      ownerId: recovery.slot.owner,
      peerId: peerIdOf(signerFromSeed(home.nodeSeed).publicKey),
      name: home.name,
      site: home.site,
      ...found,
      readOnly,
      ...(readOnlyBecause === undefined ? {} : { readOnlyBecause }),
      warnings: [
        ...(head === undefined ? [] : belowMajority(pool, head, readOnlyBecause)),
        ...(head === undefined ? [] : contested(head, readOnlyBecause)),
        ...found.warnings,
      ],
    },
  };
}

interface Begun {
  readonly components: RecoverIntoComponents;
  readonly recovery: Recovery;
  readonly pool: PoolFindings;
  /** The life that begins; absent where nothing will be written from here. */
  readonly incarnation: Incarnation | undefined;
  readonly options: RecoverOptions;
}

type Found = ReturnType<typeof nothingFound> & Pick<RecoverReport, "bytesFetched">;

async function goOnFrom(
  head: FoundHead,
  { components, recovery, pool, incarnation, options }: Begun,
): Promise<Found> {
  const imported = await importCatalog(
    { ...components, store: components.meta, client: recovery.client, clock: systemClock, log: SILENT_LOG },
    {
      swarm: recovery.swarm,
      owner: recovery.slot.owner,
      keys: recovery.keys,
      head: head.signed,
      keepers: head.keepers,
      payload: recovery.open(head),
      older: recovery.olderThan(head, pool.heads),
      maps: pool.maps,
      answering: pool.answering,
      incarnation,
      signal: options.signal,
      onProgress: ({ done, total }) =>
        options.onProgress({ type: "progress", phase: "recover", segments: done, segmentsTotal: total }),
    },
  );
  const snapshots = await foundSnapshots(imported, {
    view: viewOfAnswers(recovery.book, { nowMs: recovery.nowMs, self: recovery.lostPeer, ...pool }),
    keepers: head.keepers,
    signal: options.signal,
  });
  const findings = findingsOf(pool, head, imported, snapshots, recovery.nowMs);
  return { ...findings, bytesFetched: imported.bytesFetched };
}

/** An owner that has never saved anything comes back too: its node, its place in the swarm, an administrator's key. */
async function beginEmpty({ components, recovery, pool, incarnation }: Begun): Promise<Found> {
  const { owner } = recovery.slot;
  await emptyCatalog(components.meta, {
    owner,
    incarnation: must(incarnation, "life of a home that writes"),
  });
  return { ...nothingFound(pool), bytesFetched: 0 };
}

const DIAL_ADVICE =
  "Is a daemon running there, and does its port let this machine in? The address of any other member does as well.";

/**
 * The first member that answers and shows what belongs to these words. Nobody lets a wrong recovery key in, which
 * looks like not being a member; one that shows another swarm, or nothing, is passed over.
 */
async function beginWithAny(
  guest: Guest,
  { recovery, peers }: RecoverIntoInit,
): Promise<{ recovery: Recovery; others: PeerId[] }> {
  const dial = (address: string): Promise<PeerId> => guest.dial(address);
  const network = guest.network;
  const components = { network, dial, clock: systemClock, rng: systemRng, log: SILENT_LOG };
  const failed: Fault[] = [];
  for (const [at, address] of peers.entries()) {
    try {
      const via = await guest.dial(address);
      const begun = await Recovery.begin(components, recovery, via);
      return { recovery: begun, others: await dialAll(guest, peers.slice(at + 1)) };
    } catch (error) {
      if (!isFault(error)) throw error;
      const isWrongKey = error.code === "NOT_A_MEMBER";
      failed.push(
        isWrongKey ? new Fault({ code: "WRONG_KEY", what: "recovery key" }, { cause: error }) : error,
      );
    }
  }
  throw dialFault(failed, DIAL_ADVICE);
}

/** Whoever answers at these addresses is asked too: one member alone must not say what there is. */
async function dialAll(guest: Guest, addresses: readonly string[]): Promise<PeerId[]> {
  const dialled = await Promise.allSettled(addresses.map((address) => guest.dial(address)));
  return dialled.flatMap((outcome) => {
    if (outcome.status === "fulfilled") return [outcome.value];
    if (!isFault(outcome.reason)) throw outcome.reason;
    return [];
  });
}

interface EnteredHome {
  readonly nodeSeed: Uint8Array;
  readonly name: string;
  readonly site: string;
}

/** A member again, under a new node key and in a new life that fences the old one. */
async function enter(
  components: RecoverIntoComponents,
  recovery: Recovery,
  incarnation: Incarnation,
  options: RecoverOptions,
  settings: HomeSettings,
): Promise<EnteredHome> {
  const nodeSeed = systemRng.bytes(SEED_BYTES);
  const { host, capacityBytes } = settings;
  const name = (options.keepsName ? recovery.lostName : undefined) ?? settings.name;
  const entered = await recovery.enter(signerFromSeed(nodeSeed), incarnation, {
    name,
    host,
    capacityBytes,
    ...(options.site === undefined ? {} : { site: options.site }),
  });
  const roster = await Roster.create({ store: components.roster, clock: systemClock }, entered);
  const records = await RecordStore.open({ store: components.roster, roster, log: SILENT_LOG });
  await records.put(entered.incarnation);
  return { nodeSeed, name, site: entered.site };
}

/** No member: this home dials the swarm as the recovery identity, which may read and no more. Nobody is fenced. */
async function lookOnly(
  components: RecoverIntoComponents,
  recovery: Recovery,
  keys: RecoveryKeys,
  { name }: HomeSettings,
): Promise<EnteredHome> {
  await Roster.create({ store: components.roster, clock: systemClock }, recovery.roster());
  return { nodeSeed: keys.identitySeed, name, site: "-" };
}

type ReadOnlyBecause = RecoverReport["readOnlyBecause"];

/**
 * The newest by the rules, or the one asked for. Where too few of the pool answered to know which is the newest, or two
 * lines of lives stand side by side, this home only looks and restores, unless somebody took the decision by naming one.
 */
function chooseHead(
  pool: PoolFindings,
  options: RecoverOptions,
  recovery: Recovery,
): { head: FoundHead | undefined; readOnlyBecause: ReadOnlyBecause } {
  const all = [...pool.heads, ...pool.leaps];
  const named = options.acceptHead ?? options.head;
  if (all.length === 0 && (named === undefined || options.acceptHead === NO_HEAD))
    return { head: noHead(pool, options, recovery), readOnlyBecause: undefined };
  const head = named === undefined ? pool.heads[0] : pickHead(all, named);
  if (head === undefined) throw notFound(pool, recovery);
  if (options.readOnly) return { head, readOnlyBecause: "asked" };
  if (options.acceptHead !== undefined) return { head, readOnlyBecause: undefined };
  if (!hasMajority(pool)) return { head, readOnlyBecause: "majority" };
  const isOpen = named === undefined && recovery.isContested(head, pool.heads);
  return { head, readOnlyBecause: isOpen ? "lines" : undefined };
}

/** Of `--accept-head`. */
const NO_HEAD = "none";

/**
 * Nobody shows a state: where most of those who would keep one say so, there never was one. There is nothing to look at
 * then, and nothing that a newer state could be hidden behind.
 */
function noHead(pool: PoolFindings, options: RecoverOptions, recovery: Recovery): undefined {
  const isSettled = hasMajority(pool) || options.acceptHead === NO_HEAD;
  if (options.readOnly || !isSettled) throw notFound(pool, recovery);
  return undefined;
}

function notFound({ asked, answered }: PoolFindings, { slot }: Recovery): Fault {
  return new Fault({ code: "REPOSITORY_NOT_FOUND", owner: slot.owner, asked, answered });
}

function hasMajority({ pool }: PoolFindings): boolean {
  return pool.answered * 2 > pool.members;
}

function belowMajority(pool: PoolFindings, head: FoundHead, because: ReadOnlyBecause): string[] {
  if (hasMajority(pool)) return [];
  const { members, answered } = pool.pool;
  const shown = head.id.slice(0, 12);
  const found = `Only ${answered} of the ${members} peers that keep this repository answered: there may be a newer state than ${shown}.`;
  if (because !== "majority") return [found];
  return [
    found,
    "So this home only looks and restores, and the old machine is not fenced. To go on here, remove this home and " +
      `recover again when more of them are back, or with --accept-head ${shown}.`,
  ];
}

function contested(head: FoundHead, because: ReadOnlyBecause): string[] {
  if (because !== "lines") return [];
  return [
    "There are two states of this repository that know nothing of each other, as when somebody else signs with its key. " +
      "So this home only looks and restores, and the old machine is not fenced. To go on from one of them, look at both " +
      `(--read-only --head ID), remove this home and recover again with --accept-head ${head.id.slice(0, 12)} or the other.`,
  ];
}
