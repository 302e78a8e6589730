import { hostname } from "node:os";
import { type HomeLock, lockHome } from "../adapters/home/index.ts";
import { createGuest } from "../adapters/libp2p/index.ts";
import { openFileSpool, openLevelMetaStore } from "../adapters/store/index.ts";
import { systemClock, systemRng } from "../adapters/system.ts";
import { createWorkerCompute } from "../adapters/workers/index.ts";
import { Fault } from "../base/fault.ts";
import { SILENT_LOG } from "../base/log.ts";
import { deriveRecoveryKeys, parseRecoveryKey } from "../crypto/index.ts";
import { guestSeed, parseToken } from "../membership/index.ts";
import {
  type Founded,
  foundSwarm,
  type Identity,
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
import { addressesOf, dialAny } from "./runtime-dial.ts";
import {
  clearLeftovers,
  completeHome,
  defaultCapacity,
  type HomeKeys,
  type HomeSettings,
  homePaths,
  prepareHome,
} from "./runtime-home.ts";
import { chooseListen } from "./runtime-listen.ts";
import { recoverInto } from "./runtime-recover.ts";

export { exportAdministratorKey, importAdministratorKey } from "./runtime-admin.ts";
export { adoptHome, completeAdoption } from "./runtime-adopt.ts";
export { runDaemon } from "./runtime-daemon.ts";
export { checkKey, identityOfHome, membersOfHome } from "./runtime-key.ts";

/** A new swarm with this machine's node as its first member. */
export async function initHome(options: InitOptions): Promise<InitReport> {
  return withNewHome(options, async ({ meta, settings }) => {
    const identity = newIdentity(systemRng);
    const { name, host, capacityBytes } = settings;
    const description = { site: options.site, name, host, capacityBytes };
    const founded = await foundSwarm({ meta, clock: systemClock, rng: systemRng }, identity, description);
    return { keys: keysOf(identity, founded), firstPeers: [], result: reportOf(identity, founded, settings) };
  });
}

/** A member of the swarm that the token leads to. */
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
  return withNewHome(options, async ({ meta, settings }) => {
    const guest = await createGuest({ seed: guestSeed(token, 0), log: SILENT_LOG });
    try {
      const via = await dialAny(guest, addressesOf(token));
      const identity = newIdentity(systemRng);
      const { name, host, capacityBytes } = settings;
      const founded = await joinExisting(
        { meta, clock: systemClock, rng: systemRng, network: guest.network, via },
        identity,
        { token, name, host, capacityBytes, signal: new AbortController().signal },
      );
      const result = { ...reportOf(identity, founded, settings), members: founded.members };
      const firstPeers = token.addresses.map(({ peer, address }) => ({ peer, addresses: [address] }));
      return { keys: keysOf(identity, founded), firstPeers, result };
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
  return withNewHome(options, async ({ home, meta, settings }) => {
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
  readonly result: T;
}

/** Runs `make` under the lock of a home that becomes one only when all of it has succeeded. */
async function withNewHome<T>(
  options: Pick<InitOptions, "home" | "name" | "listen" | "capacityBytes">,
  make: (components: NewHome) => Promise<MadeHome<T>>,
): Promise<T> {
  process.umask(0o077);
  const { home } = options;
  prepareHome(home);
  const lock: HomeLock = lockHome(home);
  try {
    prepareHome(home);
    clearLeftovers(home);
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
    const { firstPeers, readOnly } = made;
    const complete = { ...settings, firstPeers, ...(readOnly === true ? { readOnly } : {}) };
    await completeHome(home, { settings: complete, keys: made.keys });
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

function reportOf(identity: Identity, founded: Founded, settings: HomeSettings): InitReport {
  return {
    words: identity.words,
    peerId: identity.peer,
    swarmId: founded.swarm,
    ownerId: identity.keys.owner,
    site: founded.site,
    name: settings.name,
    listen: settings.listen,
    capacityBytes: settings.capacityBytes,
  };
}
