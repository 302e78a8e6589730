import { hostname } from "node:os";
import { type HomeLock, lockHome } from "../adapters/home/index.ts";
import { createGuest } from "../adapters/libp2p/index.ts";
import { openFileSpool, openLevelMetaStore } from "../adapters/store/index.ts";
import { systemClock, systemRng } from "../adapters/system.ts";
import { createWorkerCompute } from "../adapters/workers/index.ts";
import { Fault, isFault } from "../base/fault.ts";
import { SILENT_LOG } from "../base/log.ts";
import { deriveRecoveryKeys, parseRecoveryKey } from "../crypto/index.ts";
import { guestSeed, parseToken } from "../membership/index.ts";
import {
  type Founded,
  foundSwarm,
  type Identity,
  identityOf,
  joinExisting,
  NAMESPACE,
  newIdentity,
} from "../node/index.ts";
import { type MetaStore, prefixed } from "../ports/index.ts";
import type {
  InitOptions,
  InitReport,
  JoinOptions,
  JoinReport,
  RecoverOptions,
  RecoverReport,
} from "./local-operations.ts";
import { addressesOf, dialByToken } from "./runtime-dial.ts";
import {
  clearLeftovers,
  defaultCapacity,
  fillHome,
  type HomeKeys,
  type HomeSettings,
  homePaths,
  JOIN_REFUSALS,
  JOINING,
  prepareHome,
} from "./runtime-home.ts";
import { dropJoin, finishHome, stagedJoin, stageJoin } from "./runtime-joining.ts";
import { chooseListen } from "./runtime-listen.ts";
import { recoverInto } from "./runtime-recover.ts";
import { reportOf } from "./runtime-report.ts";

export { exportAdministratorKey, importAdministratorKey } from "./runtime-admin.ts";
export { adoptHome, completeAdoption } from "./runtime-adopt.ts";
export { runDaemon } from "./runtime-daemon.ts";
export { checkKey, identityOfHome, membersOfHome } from "./runtime-key.ts";
export { combineKey, keysOfHome, sealKey, splitKey, unsealKey } from "./runtime-key-copies.ts";
export { keepNewSlot, newRotation } from "./runtime-rotation.ts";
export { checkTrailFile } from "./runtime-trail.ts";

/** A new swarm with this machine's node as its first member: all but the last step, `completeNewHome`. */
export async function initHome(options: InitOptions): Promise<InitReport> {
  return withNewHome(options, [], async ({ meta, settings }) => {
    const identity = newIdentity(systemRng);
    const { name, host, capacityBytes } = settings;
    const description = { site: options.site, name, host, capacityBytes };
    const founded = await foundSwarm({ meta, clock: systemClock, rng: systemRng }, identity, description);
    return { keys: keysOf(identity, founded), firstPeers: [], result: reportOf(identity, founded, settings) };
  });
}

/**
 * A member of the swarm that the token leads to: all but the last step, `completeNewHome`. Run again after a crash or a
 * lost answer, it is the same node with the same words.
 */
export async function joinHome(options: JoinOptions): Promise<JoinReport> {
  const token = parseToken(options.token);
  if (options.site !== undefined && options.site !== token.site) {
    throw new Fault({
      code: "TOKEN_INVALID",
      reason: `it is for site "${token.site}", not "${options.site}"`,
    });
  }
  const expired = token.expiresMs < systemClock.wallMs();
  if (expired) throw new Fault({ code: "TOKEN_EXPIRED", expiredAt: new Date(token.expiresMs).toISOString() });
  return withNewHome(options, [JOINING], async ({ home, meta, settings }) => {
    const guest = await createGuest({ seed: guestSeed(token, 0), log: SILENT_LOG });
    const staged = stagedJoin(home);
    try {
      const via = await dialByToken(guest, token);
      const identity = staged === undefined ? newIdentity(systemRng) : identityOf(staged);
      if (staged === undefined) await stageJoin(home, identity);
      const { name, host, capacityBytes } = settings;
      const founded = await joinExisting(
        { meta, clock: systemClock, rng: systemRng, network: guest.network, via },
        identity,
        { token, name, host, capacityBytes, signal: new AbortController().signal },
      );
      const result = { ...reportOf(identity, founded, settings), members: founded.members };
      const firstPeers = token.addresses.map(({ peer, address }) => ({ peer, addresses: [address] }));
      return { keys: keysOf(identity, founded), firstPeers, result };
    } catch (error) {
      if (staged === undefined && isFault(error, ...JOIN_REFUSALS)) dropJoin(home);
      throw error;
    } finally {
      await guest.stop();
    }
  });
}

/** The repository of a lost machine, on this one. */
export async function recoverHome(options: RecoverOptions): Promise<RecoverReport> {
  const recovery = deriveRecoveryKeys(parseRecoveryKey(options.words.join(" ")));
  const peers =
    options.token === undefined
      ? options.peers
      : [...options.peers, ...addressesOf(parseToken(options.token))];
  const report = await withNewHome(options, [], async ({ home, meta, settings }) => {
    const guest = await createGuest({ seed: recovery.identitySeed, log: SILENT_LOG });
    const compute = createWorkerCompute();
    try {
      const spool = await openFileSpool({ directory: homePaths(home).spool });
      return await recoverInto(
        {
          guest,
          meta: prefixed(meta, NAMESPACE.catalog),
          roster: prefixed(meta, NAMESPACE.membership),
          spool,
          compute,
        },
        { recovery, peers, options, settings },
      );
    } finally {
      await compute.close();
      await guest.stop();
    }
  });
  await completeNewHome(options.home);
  return report;
}

/** When the recovery key of a new home has been handed over. */
export async function completeNewHome(home: string): Promise<void> {
  const lock = lockHome(home);
  try {
    finishHome(home);
  } finally {
    lock.release();
  }
}

interface NewHome {
  readonly home: string;
  readonly meta: MetaStore;
  readonly settings: HomeSettings;
}

interface MadeHome<T> {
  readonly keys: HomeKeys;
  /** Whom to dial first. */
  readonly firstPeers: HomeSettings["firstPeers"];
  /** Nothing is written from this home. */
  readonly readOnly?: boolean;
  /** What this node is called, where that is not what the settings say. */
  readonly name?: string;
  readonly result: T;
}

/** Runs `make` under the lock of a home that is none before all of it has succeeded. `kept`: parts of an earlier try. */
async function withNewHome<T>(
  options: Pick<InitOptions, "home" | "name" | "listen" | "capacityBytes">,
  kept: readonly string[],
  make: (components: NewHome) => Promise<MadeHome<T>>,
): Promise<T> {
  process.umask(0o077);
  const { home } = options;
  prepareHome(home);
  const lock: HomeLock = lockHome(home);
  try {
    prepareHome(home);
    clearLeftovers(home, kept);
    const settings: HomeSettings = {
      version: 1,
      name: options.name,
      host: hostname(),
      listen: await chooseListen(options.listen),
      firstPeers: [],
      capacityBytes: options.capacityBytes ?? defaultCapacity(home),
    };
    const meta = await openLevelMetaStore(homePaths(home).meta, SILENT_LOG);
    let made: MadeHome<T>;
    try {
      made = await make({ home, meta, settings });
    } finally {
      await meta.close();
    }
    const { firstPeers, readOnly, name = settings.name } = made;
    const complete = { ...settings, name, firstPeers, ...(readOnly === true ? { readOnly } : {}) };
    await fillHome(home, { settings: complete, keys: made.keys });
    return made.result;
  } finally {
    lock.release();
  }
}

function keysOf(identity: Identity, founded: Founded): HomeKeys {
  const { nodeSeed, root } = identity;
  const { slot, administratorSeed } = founded;
  return { nodeSeed, root, slot, ...(administratorSeed === undefined ? {} : { administratorSeed }) };
}
