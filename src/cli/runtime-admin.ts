import { lockHome } from "../adapters/home/index.ts";
import { openLevelMetaStore } from "../adapters/store/index.ts";
import { systemClock, systemRng } from "../adapters/system.ts";
import { equalBytes, toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { peerIdOf } from "../base/ids.ts";
import { SILENT_LOG } from "../base/log.ts";
import {
  administratorSeedOf,
  exportAdministrator,
  importAdministrator,
  PASSPHRASE_SLOT_RANDOM_BYTES,
} from "../crypto/index.ts";
import { signerFromSeed } from "../crypto/sign.ts";
import { Roster } from "../membership/index.ts";
import { NAMESPACE, readSlot } from "../node/index.ts";
import { prefixed } from "../ports/index.ts";
import type { ExportKeyOptions, ImportKeyOptions, ImportKeyReport } from "./local-operations.ts";
import { type HomeKeys, homePaths, readHome, writeAdministratorKey } from "./runtime-home.ts";

/** The key of this home that has the public half asked for, sealed with a passphrase. */
export async function exportAdministratorKey({ home, key, passphrase }: ExportKeyOptions): Promise<string> {
  const { keys } = readHome(home);
  const seed = seedsOf(keys).find((one) => toHex(signerFromSeed(one).publicKey) === key);
  if (seed === undefined) throw new Fault({ code: "NOT_ALLOWED", reason: "the key is not in this home" });
  const { swarm } = readSlot(keys.slot);
  const random = systemRng.bytes(PASSPHRASE_SLOT_RANDOM_BYTES);
  return exportAdministrator(seed, { swarm, passphrase, random });
}

/** Puts an exported key into a home whose daemon is not running. Refused unless it is an administrator's right now. */
export async function importAdministratorKey(options: ImportKeyOptions): Promise<ImportKeyReport> {
  const { home, text, passphrase } = options;
  const { keys, settings } = readHome(home);
  if (settings.readOnly === true)
    throw new Fault({ code: "NOT_ALLOWED", reason: "a read-only home is no member of the swarm" });
  const lock = lockHome(home);
  try {
    const { swarm } = readSlot(keys.slot);
    const seed = importAdministrator(text, { swarm, passphrase });
    const { publicKey } = signerFromSeed(seed);
    const administrators = await administratorsOf(home, keys.nodeSeed);
    const isAdministrator = (one: Uint8Array): boolean =>
      administrators.some((key) => equalBytes(key, signerFromSeed(one).publicKey));
    if (!isAdministrator(seed)) {
      throw new Fault({ code: "NOT_ALLOWED", reason: "the key is no administrator's of this swarm" });
    }
    const known = keys.administratorSeed;
    if (known !== undefined && !equalBytes(known, seed) && isAdministrator(known)) {
      throw new Fault({ code: "USAGE", reason: "This home has an administrator's key of its own already." });
    }
    await writeAdministratorKey(home, seed);
    return { key: toHex(publicKey) };
  } finally {
    lock.release();
  }
}

function seedsOf({ administratorSeed, root }: HomeKeys): Uint8Array[] {
  return [...(administratorSeed === undefined ? [] : [administratorSeed]), administratorSeedOf(root)];
}

/** Throws for a home whose node is no member any more: it would decide nothing with the key. */
async function administratorsOf(home: string, nodeSeed: Uint8Array): Promise<readonly Uint8Array[]> {
  const meta = await openLevelMetaStore(homePaths(home).meta, SILENT_LOG);
  try {
    const roster = await Roster.open({ store: prefixed(meta, NAMESPACE.membership), clock: systemClock });
    if (roster === undefined) throw new Fault({ code: "HOME_MISSING", home });
    if (roster.member(peerIdOf(signerFromSeed(nodeSeed).publicKey)) === undefined) {
      const reason =
        'this node was recovered elsewhere or removed, and decides nothing; "cairn adopt" makes it a member again';
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    return roster.administrators().keys;
  } finally {
    await meta.close();
  }
}
