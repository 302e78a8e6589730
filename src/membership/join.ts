import { equalBytes } from "../base/bytes.ts";
import { Fault, isFault } from "../base/fault.ts";
import { ownerIdOf, type PeerId, peerIdOf } from "../base/ids.ts";
import { SECOND_MS } from "../base/units.ts";
import type { Signer } from "../crypto/sign.ts";
import type { Clock, Network } from "../ports/index.ts";
import {
  type JoinAnswer,
  type JoinRequest,
  joinAnswerCodec,
  joinRequestCodec,
  type RosterPageRequest,
  type TokenContent,
} from "../wire/membership.ts";
import { RosterBook } from "./book.ts";
import { type CertificateEntry, type DelegationEntry, decodeEntry, signCertificate } from "./entry.ts";
import { faultOf } from "./refusal.ts";
import { collectPages } from "./roster-pages.ts";
import { guestSigner } from "./token.ts";

export interface Admission {
  /** Encoded, as `Roster.create` takes them; the certificate is among the entries. */
  readonly genesis: Uint8Array;
  readonly entries: readonly Uint8Array[];
  readonly certificate: CertificateEntry;
}

export interface JoinInit {
  /** A network end whose identity is one of the token's guests (`guestSeed`; any use of the token will do). */
  readonly network: Pick<Network, "request">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly via: PeerId;
  readonly token: TokenContent;
  /** All three sign the certificate: nobody gets in under a key that is not its own. */
  readonly node: Signer;
  readonly owner: Signer;
  readonly recovery: Signer;
  readonly name: string;
  readonly host: string;
  readonly capacityBytes: number;
  readonly signal?: AbortSignal;
}

const IDLE_TIMEOUT_MS = 30 * SECOND_MS;

/**
 * Gets a new node into the swarm through one member. Everything it sends is verified before it is believed: the
 * token's swarm id pins the genesis, that the administrators, and they the rest. When a use of the token is taken
 * meanwhile, the next free one is tried. Running it again after a lost answer gives the same admission, as long as the
 * same keys and details are given.
 *
 * Throws `TOKEN_EXPIRED`, `TOKEN_USED`, `NOT_ALLOWED`, `SIGNATURE_INVALID` or what the network throws.
 */
export async function joinSwarm(init: JoinInit): Promise<Admission> {
  try {
    return await new Newcomer(init).join();
  } catch (error) {
    // An expired guest is not let through the handshake, so that it cannot be told; our own clock has to do.
    if (isFault(error, "PEER_UNREACHABLE", "PEER_PROTOCOL") && init.clock.wallMs() > init.token.expiresMs) {
      const expiredAt = new Date(init.token.expiresMs).toISOString();
      throw new Fault({ code: "TOKEN_EXPIRED", expiredAt }, { cause: error });
    }
    throw error;
  }
}

class Newcomer {
  readonly #init: JoinInit;

  constructor(init: JoinInit) {
    this.#init = init;
  }

  async join(): Promise<Admission> {
    const { token } = this.#init;
    const { book, nowMs, freeUses } = await this.#hello();
    const earlier = this.#earlierCertificate(book);
    if (earlier !== undefined) return this.#submit(earlier);
    for (const useIndex of freeUses) {
      const delegation = this.#delegation(book, useIndex);
      if (delegation === undefined) continue;
      try {
        return await this.#submit(this.#certificate(delegation, nowMs));
      } catch (error) {
        if (!isFault(error, "TOKEN_USED")) throw error;
      }
    }
    if (nowMs > token.expiresMs) {
      throw new Fault({ code: "TOKEN_EXPIRED", expiredAt: new Date(token.expiresMs).toISOString() });
    }
    throw new Fault({ code: "TOKEN_USED" });
  }

  async #hello(): Promise<{ book: RosterBook; nowMs: number; freeUses: readonly number[] }> {
    const welcome = await this.#welcome({});
    const entries = await collectPages(this.#init.via, welcome.page, (page) => this.#page(page));
    const book = this.#verify(welcome.page.genesis, entries);
    return { book, nowMs: welcome.nowMs, freeUses: welcome.freeUses };
  }

  async #page(request: RosterPageRequest) {
    return (await this.#welcome(request)).page;
  }

  async #welcome(page: RosterPageRequest): Promise<Extract<JoinAnswer, { kind: "welcome" }>> {
    const answer = await this.#ask({ v: 1, kind: "hello", page });
    if (answer.kind === "welcome") return answer;
    throw this.#unexpected(answer);
  }

  async #submit(certificate: CertificateEntry): Promise<Admission> {
    const answer = await this.#ask({ v: 1, kind: "submit", certificate: certificate.bytes });
    if (answer.kind !== "accepted") throw this.#unexpected(answer);
    const { genesis } = answer.accepted.page;
    const entries = await collectPages(this.#init.via, answer.accepted.page, (page) => this.#page(page));
    const book = this.#verify(genesis, entries);
    // The page may have been cut before our certificate; it goes in last, and must fit.
    book.add(certificate, 0);
    const rest = book.entries().flatMap(({ entry }) => (entry.type === "genesis" ? [] : [entry.bytes]));
    return { genesis, entries: rest, certificate };
  }

  #verify(genesisBytes: Uint8Array, entries: readonly Uint8Array[]): RosterBook {
    return verifyRoster(genesisBytes, entries, (book) => {
      if (book.swarm !== this.#init.token.swarm) {
        throw new Fault({ code: "SIGNATURE_INVALID", what: "genesis", reason: "it is of another swarm" });
      }
    });
  }

  #delegation(book: RosterBook, useIndex: number): DelegationEntry | undefined {
    const { publicKey } = guestSigner(this.#init.token, useIndex);
    for (const delegation of book.delegations()) {
      if (equalBytes(delegation.body.guest, publicKey)) return delegation;
    }
    return undefined;
  }

  /** Our certificate of a first attempt whose answer never came. */
  #earlierCertificate(book: RosterBook): CertificateEntry | undefined {
    const { owner, node } = this.#init;
    const peer = peerIdOf(node.publicKey);
    return book
      .certificatesOf(ownerIdOf(owner.publicKey))
      .find(({ body }) => body.by === "delegation" && body.peer === peer);
  }

  #certificate(delegation: DelegationEntry, nowMs: number): CertificateEntry {
    const { token, node, owner, recovery, name, host, capacityBytes } = this.#init;
    const { quotaBytes, useIndex, nodeNumber, site } = delegation.body;
    return signCertificate(
      token.swarm,
      {
        v: 1,
        by: "delegation",
        delegation: delegation.hash,
        peer: peerIdOf(node.publicKey),
        owner: ownerIdOf(owner.publicKey),
        recovery: recovery.publicKey,
        site,
        name,
        host,
        capacityBytes,
        ...(quotaBytes === undefined ? {} : { quotaBytes }),
        nodeNumber,
        generation: 0,
        holder: true,
        issuedMs: nowMs,
      },
      [guestSigner(token, useIndex), node, owner, recovery],
    );
  }

  async #ask(request: JoinRequest): Promise<JoinAnswer> {
    const { network, via, signal } = this.#init;
    const message = { head: joinRequestCodec.encode(request), body: new Uint8Array(0) };
    const options = { idleTimeoutMs: IDLE_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) };
    const answer = await network.request(via, "join", message, options);
    return joinAnswerCodec.decode(answer.head);
  }

  #unexpected(answer: JoinAnswer): Fault {
    if (answer.kind === "refused") return faultOf(this.#init.via, answer);
    return new Fault({ code: "PEER_PROTOCOL", peer: this.#init.via, reason: `it answered ${answer.kind}` });
  }
}

/** A book of entries that a peer sent, each verified. Throws the fault of the first that is not in order. */
export function verifyRoster(
  genesisBytes: Uint8Array,
  entries: readonly Uint8Array[],
  checkSwarm: (book: RosterBook) => void = () => {},
): RosterBook {
  const genesis = decodeEntry(genesisBytes);
  if (genesis.type !== "genesis") {
    throw new Fault({ code: "FORMAT_INVALID", what: "genesis", reason: `it is a ${genesis.type}` });
  }
  const book = new RosterBook(genesis, 0);
  checkSwarm(book);
  for (const bytes of entries) book.add(decodeEntry(bytes), 0);
  return book;
}
