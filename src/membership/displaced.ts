import { concatBytes, toHex, utf8 } from "../base/bytes.ts";
import type { PeerId } from "../base/ids.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import type { KnownEntry } from "./book.ts";
import { type CertificateEntry, decodeEntry, type RosterEntry } from "./entry.ts";
import { storedEntryCodec } from "./roster-disk.ts";

const PREFIX = utf8("displaced/");
const PREFIX_END = utf8("displaced0");
/** A token used twice is a rare accident, and whoever makes it happen on purpose needs a token for each. */
export const DISPLACED_MAX = 256;

function storeKey(entry: RosterEntry): Uint8Array {
  return concatBytes(PREFIX, entry.hash);
}

/**
 * Certificates that gave way to another use of their token, with what was rooted in them. No part of the roster: each
 * node keeps those that it saw itself, so that their nodes can be told what became of them.
 */
export class Displaced {
  readonly #known = new Map<string, KnownEntry<CertificateEntry>>();
  readonly #byPeer = new Map<PeerId, CertificateEntry>();

  static async open(store: MetaStore): Promise<Displaced> {
    const displaced = new Displaced();
    for await (const [, value] of store.scan({ from: PREFIX, to: PREFIX_END })) {
      const { seenMs, entry: bytes } = storedEntryCodec.decode(value);
      const entry = decodeEntry(bytes);
      if (entry.type === "certificate") displaced.#remember({ entry, seenMs });
    }
    return displaced;
  }

  certificateOf(peer: PeerId): CertificateEntry | undefined {
    return this.#byPeer.get(peer);
  }

  /** What has to be written for these to be remembered, the oldest making room for them. */
  opsFor(entries: readonly KnownEntry<CertificateEntry>[]): MetaOp[] {
    const fresh = entries.filter(({ entry }) => !this.#known.has(toHex(entry.hash))).slice(0, DISPLACED_MAX);
    const excess = this.#known.size + fresh.length - DISPLACED_MAX;
    const oldest = [...this.#known.values()]
      .sort((a, b) => a.seenMs - b.seenMs)
      .slice(0, Math.max(0, excess));
    return [
      ...oldest.map(({ entry }): MetaOp => ({ type: "delete", key: storeKey(entry) })),
      ...fresh.map(({ entry, seenMs }): MetaOp => {
        return {
          type: "put",
          key: storeKey(entry),
          value: storedEntryCodec.encode({ v: 1, seenMs, entry: entry.bytes }),
        };
      }),
    ];
  }

  /** Once those operations are on disk. */
  note(entries: readonly KnownEntry<CertificateEntry>[]): void {
    for (const known of entries) this.#remember(known);
    const oldestFirst = [...this.#known.values()].sort((a, b) => a.seenMs - b.seenMs);
    for (const { entry } of oldestFirst.slice(0, Math.max(0, this.#known.size - DISPLACED_MAX))) {
      this.#known.delete(toHex(entry.hash));
      if (this.#byPeer.get(entry.body.peer) === entry) this.#byPeer.delete(entry.body.peer);
    }
  }

  #remember(known: KnownEntry<CertificateEntry>): void {
    if (this.#known.has(toHex(known.entry.hash))) return;
    this.#known.set(toHex(known.entry.hash), known);
    this.#byPeer.set(known.entry.body.peer, known.entry);
  }
}
