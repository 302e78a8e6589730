import { createGuest, createLibp2pNode, type Guest } from "../adapters/libp2p/index.ts";
import { systemClock } from "../adapters/system.ts";
import { calmLog } from "../base/calm-log.ts";
import { isFault, messageOf } from "../base/fault.ts";
import { type PeerId, parsePeerId, peerIdOf, publicKeyOfPeer } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { signerFromSeed } from "../crypto/sign.ts";
import type { Roster } from "../membership/index.ts";
import type { Directory, Network, PeerRole } from "../ports/index.ts";
import type { HomeKeys, HomeSettings } from "./runtime-home.ts";

/** The network end that a home's daemon works with. */
export interface DaemonNetwork {
  readonly network: Network;
  readonly directory: Directory;
  /** Nobody is heard and nobody dialled before. */
  start(): Promise<void>;
  stop(): Promise<void>;
  listenAddresses(): string[];
}

/** A member's: it listens, finds others by kad-dht and keeps connections to them. */
export async function memberNetwork(
  init: { settings: HomeSettings; keys: HomeKeys; roster: Roster; log: Log },
  datastoreDirectory: string,
): Promise<DaemonNetwork> {
  const { settings, keys, roster, log } = init;
  const self = peerIdOf(signerFromSeed(keys.nodeSeed).publicKey);
  const libp2p = await createLibp2pNode({
    seed: keys.nodeSeed,
    datastoreDirectory,
    listen: settings.listen,
    ...(settings.announce === undefined ? {} : { announce: settings.announce }),
    roleOf: roleNoting(roster, log),
    members: () => roster.members().map((member) => member.peer),
    isFormer: () => roster.roleOf(self) === "former",
    log,
  });
  return {
    network: libp2p.network,
    directory: libp2p.directory,
    start: async () => {
      await libp2p.start();
      for (const { peer, addresses } of settings.firstPeers) {
        const id = parsePeerId(peer);
        if (id !== undefined && roster.member(id) !== undefined) await libp2p.directory.learn(id, addresses);
      }
    },
    stop: () => libp2p.stop(),
    listenAddresses: () => libp2p.listenAddresses(),
  };
}

/** Roles as the roster has them. Somebody who knocks with words that were replaced is worth a line: who has them still? */
function roleNoting(roster: Roster, log: Log): (peer: PeerId) => PeerRole {
  const calm = calmLog(log, () => systemClock.monotonicMs());
  return (peer) => {
    const role = roster.roleOf(peer);
    const ended = role === "stranger" ? roster.rotations.ending(publicKeyOfPeer(peer)) : undefined;
    if (ended !== undefined)
      calm.warn("replaced-recovery-key-used", { owner: ended.body.owner, guest: peer });
    return role;
  };
}

const REDIAL_MS = 10_000;

/**
 * A read-only home's: the recovery identity dials the members that were found when the home was made, again and again
 * while they are away. It listens nowhere and is in nobody's routing table.
 */
export async function guestNetwork(init: {
  settings: HomeSettings;
  keys: HomeKeys;
  log: Log;
}): Promise<DaemonNetwork> {
  const { settings, keys, log } = init;
  const guest = await createGuest({ seed: keys.nodeSeed, log });
  let timer: NodeJS.Timeout | undefined;
  let dialling: Promise<void> | undefined;
  let isStopped = false;
  const dial = (): void => {
    dialling = dialMissing(guest, settings.firstPeers, log).finally(() => {
      if (!isStopped) timer = setTimeout(dial, REDIAL_MS);
    });
  };
  return {
    network: guest.network,
    directory: NO_DIRECTORY,
    start: async () => {
      dial();
      await dialling;
    },
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await guest.stop();
      await dialling;
    },
    listenAddresses: () => [],
  };
}

async function dialMissing(guest: Guest, peers: HomeSettings["firstPeers"], log: Log): Promise<void> {
  const connected = new Set<string>(guest.network.connected());
  const missing = peers.filter(({ peer }) => !connected.has(peer));
  await Promise.all(
    missing.map(async ({ peer, addresses }) => {
      for (const address of addresses) {
        try {
          await guest.dial(`${address}/p2p/${peer}`);
          return;
        } catch (error) {
          if (!isFault(error)) throw error;
          log.debug("guest-dial-failed", { peer, address, why: messageOf(error) });
        }
      }
    }),
  );
}

/** A guest asks no DHT: kad-dht is for members. */
const NO_DIRECTORY: Directory = {
  addresses: async () => [],
  learn: async () => {},
  ownAddresses: () => [],
  find: async () => [],
  announce: async () => {},
  withdraw: async () => {},
  pool: async () => [],
};
