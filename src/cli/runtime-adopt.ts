import { lockHome } from "../adapters/home/index.ts";
import { createGuest } from "../adapters/libp2p/index.ts";
import { openFileSpool, openLevelMetaStore } from "../adapters/store/index.ts";
import { systemClock, systemRng } from "../adapters/system.ts";
import { toHex } from "../base/bytes.ts";
import { Fault, isFault } from "../base/fault.ts";
import { SILENT_LOG } from "../base/log.ts";
import { guestSeed, parseToken, type TokenContent } from "../membership/index.ts";
import {
  type Founded,
  type Identity,
  identityOf,
  joinAgain,
  joinedAgain,
  newOwnerSecrets,
  pendingSnapshots,
  replaceRepository,
} from "../node/index.ts";
import type { MetaStore, Spool } from "../ports/index.ts";
import type { AdoptOptions, AdoptReport } from "./local-operations.ts";
import {
  dropStaged,
  endAdoption,
  installKeys,
  stageAdmission,
  stageAdoption,
  stagedAdoption,
} from "./runtime-adoption.ts";
import { dialByToken } from "./runtime-dial.ts";
import {
  type HomeSettings,
  homePaths,
  JOIN_REFUSALS,
  readHomeToAdopt,
  writeSettings,
} from "./runtime-home.ts";
import { reportOf } from "./runtime-report.ts";

/**
 * Makes a fenced or removed home a node of its own again: its key and the shards that it holds stay, owner, recovery
 * key and repository are new. Everything but the last step, `completeAdoption`: until then the same words are shown by
 * whoever runs it again, and the daemon does not start.
 */
export async function adoptHome(options: AdoptOptions): Promise<AdoptReport> {
  process.umask(0o077);
  const { home } = options;
  readHomeToAdopt(home);
  const lock = lockHome(home);
  try {
    const { settings, nodeSeed } = readHomeToAdopt(home);
    if (settings.readOnly === true) {
      const reason = "this home was made with recover --read-only and never was a node; delete it instead";
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    const meta = await openLevelMetaStore(homePaths(home).meta, SILENT_LOG);
    try {
      const spool = await openFileSpool({ directory: homePaths(home).spool });
      return await adopt(options, { settings, nodeSeed, meta, spool });
    } finally {
      await meta.close();
    }
  } finally {
    lock.release();
  }
}

/** When the recovery key has been handed over. */
export async function completeAdoption(home: string): Promise<void> {
  const lock = lockHome(home);
  try {
    await endAdoption(home);
  } finally {
    lock.release();
  }
}

interface AdoptedHome {
  readonly settings: HomeSettings;
  readonly nodeSeed: Uint8Array;
  readonly meta: MetaStore;
  readonly spool: Spool;
}

async function adopt(options: AdoptOptions, parts: AdoptedHome): Promise<AdoptReport> {
  const { home } = options;
  const { settings, nodeSeed, meta, spool } = parts;
  const token = parseToken(options.token);
  const staged = stagedAdoption(home);
  if (staged?.slot === undefined && !options.discardPending) await requireNothingPending(parts);
  const secrets = staged?.secrets ?? newOwnerSecrets(systemRng);
  const identity = identityOf({ nodeSeed, ...secrets });
  const founded =
    staged?.slot === undefined
      ? await enterAgain(options, parts, identity, token, staged === undefined)
      : await joinedAgain({ meta, clock: systemClock }, identity, staged.slot);
  await replaceRepository({ meta, spool, clock: systemClock, rng: systemRng }, identity);
  await installKeys(home, secrets, founded.slot);
  return { ...reportOf(identity, founded, settings), members: founded.members };
}

async function enterAgain(
  { home }: AdoptOptions,
  { settings, meta }: AdoptedHome,
  identity: Identity,
  token: TokenContent,
  isFirst: boolean,
): Promise<Founded> {
  const guest = await createGuest({ seed: guestSeed(token, 0), log: SILENT_LOG });
  try {
    const via = await dialByToken(guest, token);
    if (isFirst) await stageAdoption(home, { root: identity.root, entropy: identity.entropy });
    const { name, host, capacityBytes } = settings;
    const founded = await joinAgain(
      { meta, clock: systemClock, rng: systemRng, network: guest.network, via },
      identity,
      { token, name, host, capacityBytes, signal: new AbortController().signal },
    );
    const firstPeers = token.addresses.map(({ peer, address }) => ({ peer, addresses: [address] }));
    await writeSettings(home, { ...settings, firstPeers });
    await stageAdmission(home, founded.slot);
    return founded;
  } catch (error) {
    if (isFirst && isFault(error, ...JOIN_REFUSALS)) dropStaged(home);
    throw error;
  } finally {
    await guest.stop();
  }
}

/** Throws `NOT_ALLOWED` naming the snapshots that would be lost with this home's repository. */
async function requireNothingPending({ meta, spool }: AdoptedHome): Promise<void> {
  const pending = await pendingSnapshots({ meta, spool });
  if (pending.length === 0) return;
  const named = pending
    .slice(-5)
    .map(({ id, timeMs }) => `${toHex(id).slice(0, 12)} of ${new Date(timeMs).toISOString()}`);
  const reason =
    `${pending.length} snapshot(s) of this home are whole nowhere else (${named.join(", ")}); restore from them what you ` +
    "need, while the daemon runs, or give them up with --discard-pending";
  throw new Fault({ code: "NOT_ALLOWED", reason });
}
