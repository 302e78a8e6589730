import { join } from "node:path";
import { LevelDatastore } from "datastore-level";
import { Level } from "level";
import { Fault, messageOf } from "../../base/fault.ts";
import type { Log } from "../../base/log.ts";
import { KIB, MIB } from "../../base/units.ts";
import { type AddressStore, levelAddresses, memoryAddresses } from "./address-book.ts";

/** What a node knows of where others are, on disk as far as that can be. */
export interface PeerStorage {
  /** For libp2p's own records; `undefined`: it keeps them in memory. */
  readonly datastore: LevelDatastore | undefined;
  readonly addresses: AddressStore;
  close(): Promise<void>;
}

/**
 * Opens or creates the database of addresses and DHT records. All of it can be found again, so one that cannot be opened
 * keeps no node from starting: LevelDB writes when it opens, and fails on a disk that is full to the last block, where
 * what the node holds has to be served all the same. It then lives in memory until the next start. Fault:
 * `HOME_LOCKED`, when another process has it open.
 */
export async function openPeerStorage(directory: string, log: Log): Promise<PeerStorage> {
  const path = join(directory, "libp2p.level");
  const database = new Level<string, Uint8Array>(path, {
    keyEncoding: "utf8",
    valueEncoding: "view",
    // Addresses and provider records, a few hundred bytes each and seldom read: the defaults, 8 and 4 MiB, are for more.
    cacheSize: MIB,
    writeBufferSize: 256 * KIB,
  });
  // libp2p neither opens nor closes it.
  const datastore = new LevelDatastore(database);
  try {
    // By itself, because the datastore keeps the reason to itself when it fails.
    await database.open();
    await datastore.open();
    return { datastore, addresses: levelAddresses(database), close: () => datastore.close() };
  } catch (error) {
    await database.close().catch(() => {});
    const cause = rootCause(error);
    if (cause instanceof Error && "code" in cause && cause.code === "LEVEL_LOCKED") {
      throw new Fault({ code: "HOME_LOCKED", home: directory }, { cause: error });
    }
    log.error("addresses-not-on-disk", { where: path, why: messageOf(cause) });
    return { datastore: undefined, addresses: memoryAddresses(), close: async () => {} };
  }
}

/** The system's own words lie below those of the library. */
function rootCause(error: unknown): unknown {
  let cause = error;
  while (cause instanceof Error && cause.cause !== undefined) cause = cause.cause;
  return cause;
}
