import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { AddressBook } from "../../../../src/adapters/libp2p/address-book.ts";
import { openPeerStorage } from "../../../../src/adapters/libp2p/datastore.ts";
import { peerIdOf } from "../../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../../src/base/log.ts";
import { scratchDirectories } from "../../../support/scratch.ts";

const scratchDirectory = scratchDirectories();
const PEER = peerIdOf(new Uint8Array(32).fill(7));
const ADDRESS = "/ip4/192.0.2.1/tcp/4001";

async function bookAfter(directory: string, note: boolean): Promise<string[]> {
  const storage = await openPeerStorage(directory, SILENT_LOG);
  const book = await AddressBook.open(storage.addresses, SILENT_LOG);
  if (note) await book.heard(PEER, [ADDRESS]);
  await storage.close();
  return book.addresses(PEER);
}

it("keeps addresses over restarts", async () => {
  const directory = scratchDirectory();
  expect(await bookAfter(directory, true)).toEqual([ADDRESS]);
  expect(await bookAfter(directory, false)).toEqual([ADDRESS]);
});

it("lives in memory where the database cannot be opened, and is on disk again at the next start", async () => {
  const directory = scratchDirectory();
  writeFileSync(join(directory, "libp2p.level"), "no directory");
  expect(await bookAfter(directory, true)).toEqual([ADDRESS]);
  expect(await bookAfter(directory, false)).toEqual([]);
  rmSync(join(directory, "libp2p.level"));
  expect(await bookAfter(directory, true)).toEqual([ADDRESS]);
  expect(await bookAfter(directory, false)).toEqual([ADDRESS]);
});

it("is not shared by two nodes", async () => {
  const directory = scratchDirectory();
  const storage = await openPeerStorage(directory, SILENT_LOG);
  await expect(openPeerStorage(directory, SILENT_LOG)).rejects.toMatchObject({
    detail: { code: "HOME_LOCKED" },
  });
  await storage.close();
});
