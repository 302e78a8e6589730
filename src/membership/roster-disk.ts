import { z } from "zod";
import { concatBytes, toHex, utf8 } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { bytesUpTo, codec, count } from "../wire/codec.ts";
import { ENTRY_BYTES_MAX } from "../wire/membership.ts";
import { compareForReplay, type KnownEntry, RosterBook } from "./book.ts";
import { decodeEntry, type RosterEntry } from "./entry.ts";

const storedSchema = z.object({ v: z.literal(1), seenMs: count, entry: bytesUpTo(ENTRY_BYTES_MAX) }).strict();
export const storedEntryCodec = codec("stored roster entry", storedSchema);

const PREFIX = utf8("roster/");
const PREFIX_END = utf8("roster0");

function storeKey(entry: RosterEntry): Uint8Array {
  return concatBytes(PREFIX, entry.hash);
}

/** Atomic, and on disk when it resolves. */
export async function writeEntries(
  store: MetaStore,
  puts: readonly KnownEntry[],
  drops: readonly RosterEntry[],
  /** Written with them. */
  others: readonly MetaOp[] = [],
): Promise<void> {
  const ops: MetaOp[] = [
    ...others,
    ...drops.map((entry): MetaOp => ({ type: "delete", key: storeKey(entry) })),
  ];
  for (const { entry, seenMs } of puts) {
    const value = storedEntryCodec.encode({ v: 1, seenMs, entry: entry.bytes });
    ops.push({ type: "put", key: storeKey(entry), value });
  }
  await store.write(ops, { sync: true });
}

/**
 * `undefined` when there is no roster. Signatures were verified before the entries were written.
 * @param decode where many rosters with the same entries are read in one process, one that decodes each of them once
 */
export async function readBook(
  store: MetaStore,
  decode: (bytes: Uint8Array) => RosterEntry = decodeEntry,
): Promise<RosterBook | undefined> {
  const stored: KnownEntry[] = [];
  for await (const [key, value] of store.scan({ from: PREFIX, to: PREFIX_END })) {
    const { seenMs, entry: bytes } = storedEntryCodec.decode(value);
    const entry = decode(bytes);
    if (toHex(storeKey(entry)) !== toHex(key)) {
      throw new Fault({
        code: "FORMAT_INVALID",
        what: "stored roster entry",
        reason: "its hash does not match",
      });
    }
    stored.push({ entry, seenMs });
  }
  if (stored.length === 0) return undefined;
  stored.sort((a, b) => compareForReplay(a.entry, b.entry));
  const [first, ...rest] = stored;
  if (first?.entry.type !== "genesis") {
    throw new Fault({ code: "FORMAT_INVALID", what: "stored roster", reason: "it has no genesis" });
  }
  const book = new RosterBook(first.entry, first.seenMs);
  for (const { entry, seenMs } of rest) book.add(entry, seenMs, { trusted: true });
  return book;
}
