import { must } from "../base/assert.ts";
import { equalBytes, toHex } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import { Fault, isFault } from "../base/fault.ts";
import type { OwnerId, PeerId, SwarmId } from "../base/ids.ts";
import { DAY_MS } from "../base/units.ts";
import type { Clock, MetaStore, PeerRole } from "../ports/index.ts";
import type { GenesisBody } from "../wire/membership.ts";
import { type AdministratorSet, compareChanges } from "./authority.ts";
import { compareForReplay, type KnownEntry, RosterBook, replayRank, replayTurn } from "./book.ts";
import type { PendingDecision } from "./decisions.ts";
import { Displaced } from "./displaced.ts";
import {
  type AdministratorsEntry,
  type CertificateEntry,
  type DelegationEntry,
  decodeEntry,
  type RosterEntry,
} from "./entry.ts";
import { ITEM_KEY_BYTES, ItemSet, type SetItem } from "./item-set.ts";
import { Rivals } from "./rivals.ts";
import { readBook, writeEntries } from "./roster-disk.ts";
import type { KnownRotations } from "./rotations.ts";
import { CLOCK_SKEW_MS } from "./rules.ts";
import { entriesToKeep } from "./succession.ts";
import { type FormerMember, type Member, type RosterView, viewOf } from "./view.ts";

export interface RosterComponents {
  /** Keys below `roster/` are the roster's. */
  readonly store: MetaStore;
  readonly clock: Pick<Clock, "wallMs">;
  /** Reads what is stored. @default decodeEntry */
  readonly decode?: (bytes: Uint8Array) => RosterEntry;
}

export interface RosterChange {
  readonly added: readonly RosterEntry[];
  readonly dropped: readonly RosterEntry[];
  /** Changes of the administrators of which another one with their number counts, heard of for the first time. */
  readonly rivals: readonly AdministratorsEntry[];
}

/** A change of the administrators beside the one with its number that counts here. */
export interface AdministratorsFork {
  readonly rival: AdministratorsEntry;
  /** When this node met it, or gave it up for the other. */
  readonly seenMs: number;
  /**
   * Nodes that met it in time may go by it: one of the two was final before the other was heard of. Where not, everybody
   * who hears of both goes by the one that counts here.
   */
  readonly isApart: boolean;
}

export type ApplyOutcome = "added" | "known" | Fault;

/** What one `applyAll` does. */
interface Batch {
  readonly added: Map<string, KnownEntry>;
  readonly dropped: Map<string, RosterEntry>;
  readonly rivals: AdministratorsEntry[];
}

function itemOf(entry: RosterEntry): SetItem {
  return {
    key: entry.hash.subarray(0, ITEM_KEY_BYTES),
    epoch: replayTurn(entry),
    rank: replayRank(entry),
    hash: entry.hash,
  };
}

/**
 * Nodes that were cut off from each other may hear of two changes of the administrators; for so long all of them end with
 * the same one. After that a change stays: whoever has a former administrator's key cannot rewrite what came since.
 */
export const CHANGE_FINAL_MS = DAY_MS;

/**
 * Who is in the swarm, on this node's disk. An entry is verified once, when it comes in, and counts as applied once
 * it is synced to disk. What the entries mean for `members` and roles also depends on the clock (removals wait a day).
 */
export class Roster {
  readonly #store: MetaStore;
  readonly #clock: Pick<Clock, "wallMs">;
  readonly #writing = new Semaphore(1);
  readonly #listeners = new Set<(change: RosterChange) => void>();
  readonly #items = new ItemSet();
  readonly #displaced: Displaced;
  readonly #rivals: Rivals;
  #book: RosterBook;
  #view: RosterView | undefined;
  #timeChanged = false;
  #formerBy:
    | { readonly of: readonly FormerMember[]; readonly byPeer: ReadonlyMap<PeerId, FormerMember> }
    | undefined;

  private constructor(
    { store, clock }: RosterComponents,
    book: RosterBook,
    { displaced, rivals }: { displaced: Displaced; rivals: Rivals },
  ) {
    this.#displaced = displaced;
    this.#rivals = rivals;
    this.#store = store;
    this.#clock = clock;
    this.#book = book;
    for (const { entry } of book.entries()) this.#items.put(itemOf(entry));
  }

  /**
   * A roster from its genesis and, where there are any, the entries of another node in the order in which they
   * were handed out (a removal among them counts from its own date: it is old to the swarm). Synced to disk.
   * Throws what `apply` throws for the first entry that cannot be applied, and `NOT_ALLOWED` over a store that
   * holds another swarm's.
   */
  static async create(
    components: RosterComponents,
    init: { readonly genesis: Uint8Array; readonly entries?: readonly Uint8Array[] },
  ): Promise<Roster> {
    const known = await Roster.open(components);
    const genesis = decodeEntry(init.genesis);
    if (genesis.type !== "genesis") {
      throw new Fault({ code: "FORMAT_INVALID", what: "genesis", reason: `it is a ${genesis.type}` });
    }
    const book = new RosterBook(genesis, components.clock.wallMs());
    if (known !== undefined && known.swarm !== book.swarm) {
      throw new Fault({ code: "NOT_ALLOWED", reason: "this home belongs to another swarm" });
    }
    const fresh = { displaced: new Displaced(), rivals: new Rivals() };
    const roster = known ?? new Roster(components, book, fresh);
    if (known === undefined) await writeEntries(components.store, book.entries(), []);
    const outcomes = await roster.applyAll(init.entries ?? [], { replay: true });
    for (const outcome of outcomes) if (outcome instanceof Fault) throw outcome;
    return roster;
  }

  /** `undefined` when the store has none. Throws `FORMAT_INVALID` when what it has was damaged. */
  static async open(components: RosterComponents): Promise<Roster | undefined> {
    const book = await readBook(components.store, components.decode);
    if (book === undefined) return undefined;
    const { store } = components;
    const besides = { displaced: await Displaced.open(store), rivals: await Rivals.open(store) };
    return new Roster(components, book, besides);
  }

  get swarm(): SwarmId {
    return this.#book.swarm;
  }

  get genesis(): GenesisBody {
    return this.#book.genesis.body;
  }

  get genesisBytes(): Uint8Array {
    return this.#book.genesis.bytes;
  }

  administrators(): AdministratorSet {
    return this.#book.authority.set;
  }

  /** All sets that there were, from the genesis' to the present one. */
  administratorSets(): readonly AdministratorSet[] {
    return this.#book.authority.sets;
  }

  /** Changes of the administrators in the last 30 days that had a number with another one, which counts. */
  administratorForks(): AdministratorsFork[] {
    const { sets } = this.#book.authority;
    return this.#rivals.list(this.#clock.wallMs()).flatMap(({ entry: rival, seenMs }) => {
      const before = sets[rival.body.number - 1];
      const counting = this.#book.get(sets[rival.body.number]?.hash ?? rival.hash);
      if (before === undefined || counting?.entry.type !== "administrators") return [];
      if (equalBytes(counting.entry.hash, rival.hash)) return [];
      // Met when the other one was final here, it may have been final where it comes from, whichever goes before the other.
      const isLate = seenMs - counting.seenMs >= CHANGE_FINAL_MS;
      // One that followed another set fell with that one.
      const isApart =
        equalBytes(rival.body.previous, before.hash) &&
        (isLate || compareChanges(rival, counting.entry, before) < 0);
      return [{ rival, seenMs, isApart }];
    });
  }

  /** Entries in effect that would fall if others were administrators. */
  entriesToKeep(next: Pick<AdministratorSet, "keys" | "threshold">): RosterEntry[] {
    return entriesToKeep(this.#book, this.#current(), next, this.#clock.wallMs());
  }

  /** The hex of the keys of present administrators that stand behind an entry. */
  supporters(entry: RosterEntry): ReadonlySet<string> {
    return this.#book.authority.supporters(entry);
  }

  /** Whether administrators took the entry of this hash, in hex, back. */
  isWithdrawn(hash: string): boolean {
    return this.#book.isWithdrawn(hash);
  }

  /** What administrators have decided and what has not come into effect yet, the next first. */
  pending(): readonly PendingDecision[] {
    return this.#current().pending;
  }

  /** Throws the fault that says why the entry is refused; resolves once it is on disk. */
  async apply(entry: Uint8Array | RosterEntry): Promise<"added" | "known"> {
    const [outcome] = await this.applyAll([entry]);
    if (outcome instanceof Fault) throw outcome;
    return must(outcome, "outcome of one entry");
  }

  /**
   * As `apply`, with one synced write for all; outcomes in the order of the entries. With `replay` the entries
   * are taken as known to the swarm for long: removals are not delayed anew.
   */
  applyAll(
    entries: readonly (Uint8Array | RosterEntry)[],
    options: { readonly replay?: boolean } = {},
  ): Promise<ApplyOutcome[]> {
    return this.#writing.run(async () => {
      const batch: Batch = { added: new Map(), dropped: new Map(), rivals: [] };
      const outcomes = entries.map((offered) => this.#add(offered, options.replay === true, batch));
      const nowMs = this.#clock.wallMs();
      const { rivals, ops } = this.#rivals.fresh(
        batch.rivals.map((entry) => ({ entry, seenMs: nowMs })),
        nowMs,
      );
      if (batch.added.size === 0 && rivals.length === 0) return outcomes;
      const puts = [...batch.added.values()];
      const drops = [...batch.dropped.values()];
      const displaced = drops.flatMap((entry) => {
        return entry.type === "certificate" ? [{ entry, seenMs: nowMs }] : [];
      });
      try {
        await writeEntries(this.#store, puts, drops, [...ops, ...this.#displaced.opsFor(displaced)]);
      } catch (error) {
        // Memory must not be ahead of the disk: what was not written was not applied.
        this.#book = must(await readBook(this.#store), "the roster on disk");
        this.#view = undefined;
        throw error;
      }
      this.#displaced.note(displaced);
      this.#rivals.note(rivals, nowMs);
      for (const entry of drops) this.#items.remove(itemOf(entry));
      for (const { entry } of puts) this.#items.put(itemOf(entry));
      const added = puts.map(({ entry }) => entry);
      this.#notify({ added, dropped: drops, rivals: rivals.map(({ entry }) => entry) });
      return outcomes;
    });
  }

  members(): readonly Member[] {
    return this.#current().members;
  }

  /** Nodes that were replaced by a recovery or removed. */
  former(): readonly FormerMember[] {
    return this.#current().former;
  }

  /** The node as it was last a member; `undefined` for one that is a member, or never was. */
  formerMember(peer: PeerId): FormerMember | undefined {
    const { former } = this.#current();
    if (this.#formerBy?.of !== former) {
      // Of several certificates of one owner the best comes first.
      const byPeer = new Map([...former].reverse().map((one) => [one.peer, one]));
      this.#formerBy = { of: former, byPeer };
    }
    return this.#formerBy.byPeer.get(peer);
  }

  /**
   * Of a node that was a member here until another use of its token turned out to count: the certificate that does.
   * `undefined` for everybody else, and for one that has become a member again.
   */
  displacedBy(peer: PeerId): CertificateEntry | undefined {
    const own = this.#displaced.certificateOf(peer);
    if (own === undefined || this.member(peer) !== undefined) return undefined;
    return own.body.by === "delegation" ? this.#book.useOf(own.body.delegation) : undefined;
  }

  member(peer: PeerId): Member | undefined {
    return this.#current().byPeer.get(peer);
  }

  memberOfOwner(owner: OwnerId): Member | undefined {
    return this.#current().byOwner.get(owner);
  }

  /** The owner whose recovery identity has this public key; one that was removed too. */
  memberByRecovery(publicKey: Uint8Array): Member | FormerMember | undefined {
    return this.#current().byRecovery.get(toHex(publicKey));
  }

  /** Which recovery keys have taken the place of which. */
  get rotations(): KnownRotations {
    return this.#book.rotations;
  }

  /** Whether administrators keep this owner out for good, whatever its recovery identity signs. */
  isBarred(owner: OwnerId): boolean {
    return this.#current().barred.has(owner);
  }

  /**
   * What a peer may do here. The guests of a token keep their role until it expires, used or not: a newcomer whose
   * answer was lost asks again, and one that is too late is told so.
   */
  roleOf(peer: PeerId): PeerRole {
    const view = this.#current();
    if (view.byPeer.has(peer)) return "member";
    if (view.recoveryGuests.has(peer)) return "recovery-guest";
    const delegation = view.joinGuests.get(peer);
    if (delegation !== undefined && this.#clock.wallMs() <= delegation.body.expiresMs + CLOCK_SKEW_MS)
      return "join-guest";
    const wasMember = this.formerMember(peer) ?? this.#displaced.certificateOf(peer);
    return wasMember === undefined ? "stranger" : "former";
  }

  /** The delegation that lets this guest in, expired or not. */
  delegationOfGuest(guest: PeerId): DelegationEntry | undefined {
    return this.#current().joinGuests.get(guest);
  }

  delegations(): readonly DelegationEntry[] {
    return [...this.#book.delegations()];
  }

  delegation(hash: Uint8Array): DelegationEntry | undefined {
    return this.#book.delegation(hash);
  }

  /** The certificate that used a delegation. */
  useOf(delegation: Uint8Array): CertificateEntry | undefined {
    return this.#book.useOf(delegation);
  }

  /** All certificates of an owner, the best first. */
  certificatesOf(owner: OwnerId): readonly CertificateEntry[] {
    return this.#book.certificatesOf(owner);
  }

  /** All sites that a certificate or a delegation names. */
  sites(): ReadonlySet<string> {
    const sites = new Set<string>();
    for (const [, certificates] of this.#book.owners()) {
      for (const { body } of certificates) sites.add(body.site);
    }
    for (const { body } of this.#book.delegations()) sites.add(body.site);
    return sites;
  }

  /** Without the genesis, in an order in which `create` can apply them. */
  entries(): Uint8Array[] {
    return this.#book.entries().flatMap(({ entry }) => (entry.type === "genesis" ? [] : [entry.bytes]));
  }

  entry(hash: Uint8Array): RosterEntry | undefined {
    return this.#book.get(hash)?.entry;
  }

  /** In replay order, genesis left out. */
  sortedEntries(): RosterEntry[] {
    return this.#book.entries().flatMap(({ entry }) => (entry.type === "genesis" ? [] : [entry]));
  }

  /** What of the roster another node must have to apply this entry, and the entry: a delegation or certificate first. */
  withDependencies(entry: RosterEntry): RosterEntry[] {
    if (entry.type === "rotation") return this.#withRoots(entry, entry.body.owner);
    if (entry.type !== "certificate") return [entry];
    const { by, owner } = entry.body;
    if (by === "delegation") {
      const delegation = this.#book.delegation(entry.body.delegation);
      return delegation === undefined ? [entry] : [delegation, entry];
    }
    return by === "administrators" ? [entry] : this.#withRoots(entry, owner);
  }

  #withRoots(entry: RosterEntry, owner: OwnerId): RosterEntry[] {
    const roots = this.certificatesOf(owner).filter(({ body }) => body.by !== "recovery");
    const rotations = this.rotations.of(owner).filter(({ hash }) => !equalBytes(hash, entry.hash));
    return [...roots.flatMap((root) => this.withDependencies(root)), ...rotations, entry].sort(
      compareForReplay,
    );
  }

  /** 32 bytes, equal on nodes with the same entries. */
  digest(): Uint8Array {
    return this.#items.digest();
  }

  /** For comparing with another node's; changed by the roster alone. */
  get items(): Pick<ItemSet, "digest" | "bucketHashes" | "list"> {
    return this.#items;
  }

  /** Called after entries are on disk, and by `tick` with nothing added. Returns how to stop. */
  onChange(listener: (change: RosterChange) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Tells the listeners when time alone changed who is a member. To be called now and then. */
  tick(): void {
    this.#current();
    if (!this.#timeChanged) return;
    this.#timeChanged = false;
    this.#notify({ added: [], dropped: [], rivals: [] });
  }

  #current(): RosterView {
    const nowMs = this.#clock.wallMs();
    if (this.#view !== undefined && nowMs >= this.#view.changesMs) {
      this.#timeChanged = true;
      this.#view = undefined;
    }
    return (this.#view ??= viewOf(this.#book, nowMs));
  }

  #add(offered: Uint8Array | RosterEntry, replay: boolean, { added, dropped, rivals }: Batch): ApplyOutcome {
    let entry: RosterEntry | undefined;
    try {
      entry = offered instanceof Uint8Array ? decodeEntry(offered) : offered;
      const seenMs = replay ? 0 : this.#clock.wallMs();
      const result = this.#book.add(entry, seenMs, {
        isFinal: (change) => this.#clock.wallMs() - change.seenMs >= CHANGE_FINAL_MS,
      });
      if (result.outcome === "added") {
        this.#view = undefined;
        added.set(toHex(entry.hash), { entry, seenMs });
      }
      for (const gone of result.dropped) {
        if (gone.type === "administrators") rivals.push(gone);
        // What this very batch brought and took away again never was on disk.
        if (!added.delete(toHex(gone.hash))) dropped.set(toHex(gone.hash), gone);
      }
      return result.outcome;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      // Its signatures hold: they are looked at before it is compared.
      if (isFault(error, "ADMINISTRATORS_FORKED") && entry?.type === "administrators") rivals.push(entry);
      return error;
    }
  }

  #notify(change: RosterChange): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}
