import { z } from "zod";
import { equalBytes } from "../base/bytes.ts";
import { mapLimit } from "../base/concurrency.ts";
import { isFault } from "../base/fault.ts";
import { type Incarnation, idBytes, type OwnerId, type PeerId, type SwarmId } from "../base/ids.ts";
import { type Catalog, type SegmentRef, stateKeyOf } from "../catalog/index.ts";
import { sha256 } from "../crypto/hash.ts";
import { checkSigned } from "../crypto/signed.ts";
import type { PeerClient } from "../exchange/index.ts";
import { LiveSet } from "../gc/index.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { bytesUpTo, codec, incarnation, OWN_SHAPE } from "../wire/codec.ts";
import { LIVE_LIST_BYTES_MAX, LIVES_MAX, liveList, liveSetBody } from "../wire/live-set.ts";
import { decodeSigned } from "../wire/signed.ts";

const KEY = stateKeyOf("past-live-sets");
/** Each may have another one, or none; the highest epoch counts. */
const PEERS_ASKED_MAX = 16;
const ASK_LIMIT = 8;

/** What earlier lives had said that they want, newest life last. */
export const pastLiveSets = codec(
  "live sets of earlier lives",
  z
    .object({
      v: z.literal(1),
      sets: z.array(z.object({ incarnation, list: bytesUpTo(LIVE_LIST_BYTES_MAX) }).strict()).max(LIVES_MAX),
    })
    .strict(),
  OWN_SHAPE,
);

/**
 * What a recovered owner knows of the live sets that its earlier lives signed: of a segment that was omitted it is no loss that nobody
 * has it. It says nothing about what is there: what can still be had of it is wanted like anything else.
 */
export class PastLive {
  readonly #lives: readonly Incarnation[];
  /** Newest life first. */
  readonly #sets: readonly LiveSet[];

  private constructor(lives: readonly Incarnation[], sets: readonly LiveSet[]) {
    this.#lives = lives;
    this.#sets = sets;
  }

  static load(catalog: {
    readonly store: Pick<MetaStore, "get">;
    readonly state: Catalog["state"];
  }): PastLive {
    const value = catalog.store.get(KEY);
    const sets = value === undefined ? [] : pastLiveSets.decode(value).sets;
    const opened = sets.map(({ list }) => new LiveSet(liveList.decode(list)));
    return new PastLive(catalog.state.incarnations, opened.toReversed());
  }

  /** The last word about it was that it is not wanted. */
  omits({ incarnation: position, number }: SegmentRef): boolean {
    const life = this.#lives[position];
    if (life === undefined) return false;
    for (const set of this.#sets) {
      const standing = set.standing({ incarnation: life, number });
      if (standing !== "not-covered") return standing === "omitted";
    }
    return false;
  }
}

/** Asks members for the newest live set of each of these lives, oldest first; to be written into the recovered catalog. */
export async function askPastLive(
  client: Pick<PeerClient, "live">,
  of: { readonly swarm: SwarmId; readonly owner: OwnerId; readonly lives: readonly Incarnation[] },
  peers: readonly PeerId[],
  signal: AbortSignal,
): Promise<MetaOp[]> {
  const sets: { incarnation: Incarnation; list: Uint8Array }[] = [];
  for (const life of of.lives.slice(-LIVES_MAX)) {
    let newest: { epoch: number; list: Uint8Array } | undefined;
    await mapLimit(peers.slice(0, PEERS_ASKED_MAX), ASK_LIMIT, async (peer) => {
      const said = await askOne(client, of, life, peer, signal);
      if (said !== undefined && said.epoch > (newest?.epoch ?? 0)) newest = said;
    });
    if (newest !== undefined) sets.push({ incarnation: life, list: newest.list });
  }
  if (sets.length === 0) return [];
  return [{ type: "put", key: KEY, value: pastLiveSets.encode({ v: 1, sets }) }];
}

async function askOne(
  client: Pick<PeerClient, "live">,
  { swarm, owner }: { readonly swarm: SwarmId; readonly owner: OwnerId },
  life: Incarnation,
  peer: PeerId,
  signal: AbortSignal,
): Promise<{ epoch: number; list: Uint8Array } | undefined> {
  try {
    const said = await client.live(peer, owner, life, signal);
    if (said === undefined) return undefined;
    const record = decodeSigned(said.record);
    checkSigned(record, { type: "live-set", swarm, signer: idBytes(owner) });
    const { hash, bytes } = liveSetBody.decode(record.body);
    const isIt = bytes === said.list.length && equalBytes(hash, sha256(said.list));
    if (!isIt || record.incarnation !== life) return undefined;
    new LiveSet(liveList.decode(said.list));
    return { epoch: record.epoch, list: said.list };
  } catch (error) {
    signal.throwIfAborted();
    // One that is of an older version, lies or is gone is one that says nothing.
    if (!isFault(error)) throw error;
    return undefined;
  }
}
