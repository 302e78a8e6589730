import { Fault, isFault, messageOf } from "../base/fault.ts";
import { type OwnerId, type PeerId, publicKeyOfPeer } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Holder } from "../exchange/index.ts";
import {
  type RecordStore,
  type Roster,
  recoverHello,
  recoveringOwner,
  submitRecovered,
} from "../membership/index.ts";
import { type Clock, type Directory, NET_HEAD_BYTES_MAX, type NetMessage } from "../ports/index.ts";
import { dataRequest, isLiveRequest, isRepairRequest, type RepairRequest } from "../wire/data.ts";
import { ADDRESSES_MAX } from "../wire/membership.ts";
import {
  POOL_PEERS_MAX,
  type RecoverAnswer,
  type RecoverRequest,
  recoverAnswer,
  recoverRequest,
} from "../wire/recover.ts";
import { encodeSigned } from "../wire/signed.ts";
import { answerBytesMax } from "./answer-sizes.ts";
import type { Collection } from "./collection.ts";
import type { RecoveryUses } from "./recovery-uses.ts";
import { statusOf } from "./swarm-view.ts";

export interface RecoverDoorComponents {
  readonly roster: Roster;
  readonly records: RecordStore;
  readonly directory: Pick<Directory, "pool" | "addresses">;
  readonly holder: Holder;
  /** What is known of repairs of the owner. */
  readonly repairs: (from: PeerId, owner: OwnerId, request: RepairRequest) => Promise<NetMessage>;
  /** Shows what its owner had said that it wants. */
  readonly collection: Pick<Collection, "answer">;
  readonly self: PeerId;
  readonly ownAddresses: () => readonly string[];
  /** Tells the owner. */
  readonly uses: Pick<RecoveryUses, "note">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Removed nodes that a recovery is told of: more than leave a swarm while their shards are still needed. */
const REMOVED_TOLD_MAX = 32;
const EMPTY = new Uint8Array(0);

/**
 * The handler of protocol `recover`: an owner's recovery identity learns who is in the swarm, gets its slot, reads its
 * own owner's shards and records, and hands in the key of a new node. Nothing else.
 */
export function recoverDoor(
  components: RecoverDoorComponents,
): (from: PeerId, message: NetMessage) => Promise<NetMessage> {
  return async (from, message) => {
    const own = decodeOwn(message.head);
    if (own !== undefined)
      return { head: recoverAnswer.encode(await answerOrRefuse(components, from, own)), body: EMPTY };
    const owner = recoveringOwner(components.roster, from).owner;
    components.uses.note(owner, publicKeyOfPeer(from), "read");
    const request = dataRequest.decode(message.head);
    if (isRepairRequest(request)) return components.repairs(from, owner, request);
    if (isLiveRequest(request)) return components.collection.answer(owner, request, message.body, false);
    if (request.t === "lost" || request.t === "promise" || request.t === "lock")
      throw new Fault({ code: "NOT_ALLOWED", reason: "a recovery identity holds no shards" });
    return components.holder.answer(owner, request, message.body, false);
  };
}

/** How large the answer to a request can get. */
export function recoverAnswerBytesMax(
  { roster, holder }: Pick<RecoverDoorComponents, "roster" | "holder">,
  from: PeerId,
  { head }: NetMessage,
): number {
  // Certified lives and pages of the roster come in it.
  if (decodeOwn(head) !== undefined) return NET_HEAD_BYTES_MAX;
  const owner = recoveringOwner(roster, from).owner;
  return answerBytesMax(holder, owner, dataRequest.decode(head));
}

/** `undefined` for a request of the `data` protocol. */
function decodeOwn(head: Uint8Array): RecoverRequest | undefined {
  try {
    return recoverRequest.decode(head);
  } catch (error) {
    if (isFault(error, "FORMAT_INVALID")) return undefined;
    throw error;
  }
}

async function answerOrRefuse(
  components: RecoverDoorComponents,
  from: PeerId,
  request: RecoverRequest,
): Promise<RecoverAnswer> {
  try {
    return await answer(components, from, request);
  } catch (error) {
    if (!isFault(error)) throw error;
    return { t: "refused", v: 1, refusal: error.code, reason: messageOf(error).slice(0, 500) };
  }
}

async function answer(
  components: RecoverDoorComponents,
  from: PeerId,
  request: RecoverRequest,
): Promise<RecoverAnswer> {
  const { roster, records, clock, log, uses } = components;
  switch (request.t) {
    case "hello": {
      const { owner, nowMs, page } = recoverHello({ roster, clock }, from, request.page);
      const identity = publicKeyOfPeer(from);
      // The pages that follow the first are the same hello.
      if (request.page.after === undefined) {
        log.warn("recovery-identity-served", { owner: owner.owner, guest: from });
        uses.note(owner.owner, identity, "hello");
      }
      const slots = records.versions({ type: "slot", signer: identity }).map(encodeSigned);
      const incarnations = [...records.ofType("incarnation", identity)].map(encodeSigned);
      return { t: "welcome", v: 1, owner: owner.owner, nowMs, page, slots, incarnations };
    }
    case "pool":
      return { t: "pool", v: 1, peers: await poolOf(components, from) };
    case "heads": {
      const { owner } = recoveringOwner(roster, from);
      return { t: "heads", v: 1, heads: await components.holder.headsOf(owner, request.incarnation) };
    }
    case "submit": {
      const accepted = await submitRecovered({ roster, clock, log }, from, request.certificate);
      // From here on the old machine's writes are refused; the record spreads with the certificate.
      await records.put(request.incarnation);
      uses.note(recoveringOwner(roster, from).owner, publicKeyOfPeer(from), "submit");
      return { t: "accepted", v: 1, accepted };
    }
  }
}

async function poolOf(
  components: RecoverDoorComponents,
  from: PeerId,
): Promise<{ peer: PeerId; addresses: string[] }[]> {
  const { roster, directory } = components;
  const { owner, peer: lost } = recoveringOwner(roster, from);
  const announced = await directory.pool(owner);
  const members = roster.members().map((member) => member.peer);
  // They keep what they hold, and let recovery identities read it.
  const removed = roster
    .former()
    .flatMap(({ peer, state }) => (state === "removed" && peer !== lost ? [peer] : []))
    .slice(0, REMOVED_TOLD_MAX);
  const there = new Set([...members, ...removed]);
  const peers = [...new Set([...announced, ...removed, ...members])].filter(
    (peer) => peer !== lost && there.has(peer),
  );
  return Promise.all(
    peers
      .slice(0, POOL_PEERS_MAX)
      .map(async (peer) => ({ peer, addresses: await addressesOf(components, peer) })),
  );
}

async function addressesOf(components: RecoverDoorComponents, peer: PeerId): Promise<string[]> {
  if (peer === components.self) return [...components.ownAddresses()].slice(0, ADDRESSES_MAX);
  const known = await components.directory.addresses(peer);
  const said = statusOf(components.records, peer)?.addresses ?? [];
  return [...new Set([...known, ...said])].slice(0, ADDRESSES_MAX);
}
