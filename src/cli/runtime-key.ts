import { lockHome } from "../adapters/home/index.ts";
import { openLevelMetaStore } from "../adapters/store/index.ts";
import { systemClock } from "../adapters/system.ts";
import { equalBytes } from "../base/bytes.ts";
import { Fault, isFault } from "../base/fault.ts";
import { peerIdOf } from "../base/ids.ts";
import { SILENT_LOG } from "../base/log.ts";
import { deriveRecoveryKeys, parseRecoveryKey } from "../crypto/index.ts";
import { signerFromSeed } from "../crypto/sign.ts";
import { RecordStore, Roster } from "../membership/index.ts";
import { NAMESPACE, openSlot, RosterView, readSlot } from "../node/index.ts";
import { prefixed } from "../ports/index.ts";
import type { HomeIdentity, KeyCheckOptions, SheetMember } from "./local-operations.ts";
import { type HomeSettings, homePaths, readHome } from "./runtime-home.ts";

/** Throws `WRONG_KEY`, with what is wrong where the words are no key at all. Reads two files and changes nothing. */
export async function checkKey({ home, text }: KeyCheckOptions): Promise<HomeIdentity> {
  const { keys } = readHome(home);
  const recovery = deriveRecoveryKeys(entropyOf(text));
  const identity = await identityOfHome(home);
  if (!equalBytes(readSlot(keys.slot).recovery, recovery.identity.publicKey))
    throw new Fault({ code: "WRONG_KEY", what: "recovery key" });
  // The identity alone says that the words are the right ones; that the slot opens says that they still lead to the data.
  const { root } = openSlot(recovery, keys.slot);
  if (!equalBytes(root, keys.root)) {
    const reason = "the slot that it opens holds another owner's key than this home has";
    throw new Fault({ code: "FORMAT_INVALID", what: "keys/recovery.slot", reason });
  }
  return identity;
}

export function entropyOf(text: string): Uint8Array {
  try {
    return parseRecoveryKey(text);
  } catch (error) {
    if (!isFault(error, "WRONG_KEY") || !(error.cause instanceof Error)) throw error;
    throw new Fault(
      { code: "WRONG_KEY", what: "recovery key", reason: error.cause.message },
      { cause: error },
    );
  }
}

/** Whose home it is; needs no lock. */
export async function identityOfHome(home: string): Promise<HomeIdentity> {
  const { settings, keys } = readHome(home);
  const { swarm, owner } = readSlot(keys.slot);
  const peerId = peerIdOf(signerFromSeed(keys.nodeSeed).publicKey);
  return { swarmId: swarm, ownerId: owner, peerId, name: settings.name };
}

/** The other members, as far as this home knows them. Throws `HOME_LOCKED` while a daemon runs, which then knows more. */
export async function membersOfHome(home: string): Promise<SheetMember[]> {
  const { settings } = readHome(home);
  const { peerId } = await identityOfHome(home);
  const lock = lockHome(home);
  try {
    const meta = await openLevelMetaStore(homePaths(home).meta, SILENT_LOG);
    try {
      const store = prefixed(meta, NAMESPACE.membership);
      const roster = await Roster.open({ store, clock: systemClock });
      if (roster === undefined) throw new Fault({ code: "HOME_MISSING", home });
      const records = await RecordStore.open({ store, roster, log: SILENT_LOG });
      const network = { self: NOBODY, connected: () => [] };
      const view = new RosterView({ roster, records, network, clock: systemClock });
      return roster.members().flatMap(({ peer, name, site }): SheetMember[] => {
        if (peer === peerId) return [];
        const addresses = view.statusOf(peer)?.addresses ?? firstAddresses(settings, peer);
        return [{ peerId: peer, name, site, addresses, isAlive: false }];
      });
    } finally {
      await meta.close();
    }
  } finally {
    lock.release();
  }
}

const NOBODY = peerIdOf(new Uint8Array(32));

function firstAddresses({ firstPeers }: HomeSettings, peer: string): readonly string[] {
  return firstPeers.find((one) => one.peer === peer)?.addresses ?? [];
}
