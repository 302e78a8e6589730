import { must } from "../base/assert.ts";
import { compareBytes, equalBytes, toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { OwnerId, SwarmId } from "../base/ids.ts";
import { Authority, checkChange, compareChanges } from "./authority.ts";
import {
  type AdministratorsEntry,
  type CertificateEntry,
  checkSignatures,
  type DelegationEntry,
  type GenesisEntry,
  type RemovalEntry,
  type RosterEntry,
  type RotationEntry,
  swarmIdOfGenesis,
} from "./entry.ts";
import { checkCarried, type KnownRotations, Rotations } from "./rotations.ts";
import { checkDelegated, checkDelegationTimes, checkGenesis, checkRecoverySigners } from "./rules.ts";

/** An entry and when this node first saw it: the delay of removals counts from there. */
export interface KnownEntry<Entry extends RosterEntry = RosterEntry> {
  readonly entry: Entry;
  readonly seenMs: number;
}

export interface AddOutcome {
  readonly outcome: "added" | "known";
  /**
   * Entries that gave way: the other use of a delegation, old recoveries, and what was rooted in them; with other
   * administrators, what nobody of them stands behind.
   */
  readonly dropped: readonly RosterEntry[];
}

export interface AddOptions {
  /** Leaves out the signatures: for entries of the own disk that were verified before. */
  readonly trusted?: boolean;
  /** Whether a change of the administrators has been known for so long that no other takes its place. */
  readonly isFinal?: (change: KnownEntry) => boolean;
}

/** A swarm of 5,000 with ten delegations, certificates and removals for each. */
export const ROSTER_ENTRIES_MAX = 100_000;

/** How many certificates signed by one recovery identity are kept: whoever has its key cannot fill our disks. */
export const RECOVERIES_KEPT = 4;

/** Best first: the higher generation, then the lower hash. */
export function compareCertificates(a: CertificateEntry, b: CertificateEntry): number {
  return b.body.generation - a.body.generation || compareBytes(a.hash, b.hash);
}

/**
 * The set of verified entries, in memory. Which entries it holds depends only on which were offered, not on
 * their order (as far as each came after those that it builds on): that is what makes rosters converge. So no rule
 * here looks at a clock; those that do are applied at the door (`RosterBook.add` is not told the time).
 */
export class RosterBook {
  readonly genesis: GenesisEntry;
  readonly swarm: SwarmId;
  readonly #known = new Map<string, KnownEntry>();
  readonly #delegations = new Map<string, DelegationEntry>();
  readonly #uses = new Map<string, CertificateEntry>();
  readonly #byOwner = new Map<OwnerId, CertificateEntry[]>();
  readonly #removals = new Map<string, RemovalEntry>();
  readonly #withdrawn = new Set<string>();
  readonly #rotations = new Rotations();
  #changes: readonly AdministratorsEntry[] = [];
  #authority: Authority;

  /** Throws `SIGNATURE_INVALID` or `FORMAT_INVALID` if it is no proper genesis. */
  constructor(genesis: GenesisEntry, seenMs: number) {
    this.swarm = swarmIdOfGenesis(genesis.bodyBytes);
    checkSignatures(genesis, this.swarm);
    checkGenesis(genesis);
    this.genesis = genesis;
    this.#authority = new Authority(genesis, []);
    this.#known.set(toHex(genesis.hash), { entry: genesis, seenMs });
  }

  get size(): number {
    return this.#known.size;
  }

  get(hash: Uint8Array): KnownEntry | undefined {
    return this.#known.get(toHex(hash));
  }

  delegation(hash: Uint8Array): DelegationEntry | undefined {
    return this.#delegations.get(toHex(hash));
  }

  delegations(): Iterable<DelegationEntry> {
    return this.#delegations.values();
  }

  /** The certificate that used a delegation. */
  useOf(delegation: Uint8Array): CertificateEntry | undefined {
    return this.#uses.get(toHex(delegation));
  }

  /** Best first. */
  certificatesOf(owner: OwnerId): readonly CertificateEntry[] {
    return this.#byOwner.get(owner) ?? [];
  }

  owners(): Iterable<readonly [OwnerId, readonly CertificateEntry[]]> {
    return this.#byOwner.entries();
  }

  removals(): Iterable<RemovalEntry> {
    return this.#removals.values();
  }

  get rotations(): KnownRotations {
    return this.#rotations;
  }

  get authority(): Pick<Authority, "set" | "sets" | "supporters" | "supportedSince" | "isKept"> {
    return this.#authority;
  }

  /** Whether administrators took a removal or a change of site back; by the hex of its hash. */
  isWithdrawn(hash: string): boolean {
    return this.#withdrawn.has(hash);
  }

  /** In an order in which another book can add them. */
  entries(): KnownEntry[] {
    return [...this.#known.values()].sort((a, b) => compareForReplay(a.entry, b.entry));
  }

  /**
   * Verifies and adds. Throws `SIGNATURE_INVALID` (forged, another swarm), `NOT_ALLOWED` (with the rule that it breaks),
   * `TOKEN_EXPIRED`, `TOKEN_USED`, `RECORD_STALE` (a recovery older than those kept) or `ADMINISTRATORS_FORKED`.
   */
  add(entry: RosterEntry, seenMs: number, options: AddOptions = {}): AddOutcome {
    const name = toHex(entry.hash);
    if (entry.swarm === this.swarm && this.#known.has(name)) return { outcome: "known", dropped: [] };
    if (this.#known.size >= ROSTER_ENTRIES_MAX) refuse("the roster is full");
    // The cheap rules come first, so that a flood of entries that cannot be added costs no verification.
    if (entry.swarm !== this.swarm) {
      throw new Fault({ code: "SIGNATURE_INVALID", what: entry.type, reason: "it is of another swarm" });
    }
    const verify = (): void => {
      if (options.trusted !== true) checkSignatures(entry, this.swarm);
    };
    const dropped =
      entry.type === "administrators"
        ? this.#placeChange(entry, verify, options.isFinal ?? (() => false))
        : this.#place(entry, seenMs, verify);
    for (const gone of dropped) this.#known.delete(toHex(gone.hash));
    this.#known.set(name, { entry, seenMs });
    return { outcome: "added", dropped };
  }

  #placeChange(
    entry: AdministratorsEntry,
    verify: () => void,
    isFinal: (change: KnownEntry) => boolean,
  ): RosterEntry[] {
    const { number, keeps } = entry.body;
    const before = this.#authority.sets[number - 1];
    if (before === undefined) return refuse("the administrators that it follows are not known");
    checkChange(entry, before);
    if (keeps.some((hash) => this.get(hash)?.entry.type !== "endorsement")) {
      refuse("a list of what it keeps is not known");
    }
    verify();
    const other = this.#changes[number - 1];
    if (other !== undefined) {
      const isLater = compareChanges(entry, other, before) > 0;
      if (isLater || isFinal(must(this.get(other.hash), "known change"))) {
        throw new Fault({ code: "ADMINISTRATORS_FORKED", number });
      }
    }
    const displaced = this.#changes.slice(number - 1);
    this.#changes = [...this.#changes.slice(0, number - 1), entry];
    return [...displaced, ...this.#placeAnew(displaced)];
  }

  /** Under other administrators: everything again, as a new node would hear it. Returns what does not stand any more. */
  #placeAnew(displaced: readonly RosterEntry[]): RosterEntry[] {
    this.#authority = new Authority(this.genesis, this.#changes);
    const indexes = [
      this.#delegations,
      this.#uses,
      this.#byOwner,
      this.#removals,
      this.#withdrawn,
      this.#rotations,
    ];
    for (const index of indexes) index.clear();
    const dropped: RosterEntry[] = [];
    for (const { entry, seenMs } of this.entries()) {
      if (entry.type === "genesis" || entry.type === "administrators" || displaced.includes(entry)) continue;
      try {
        dropped.push(...this.#place(entry, seenMs, () => {}));
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        dropped.push(entry);
      }
    }
    return dropped;
  }

  #place(
    entry: Exclude<RosterEntry, AdministratorsEntry>,
    seenMs: number,
    verify: () => void,
  ): RosterEntry[] {
    switch (entry.type) {
      case "genesis":
        return refuse("a swarm has one genesis");
      case "delegation":
        this.#authority.check(entry);
        checkDelegationTimes(entry);
        verify();
        this.#delegations.set(toHex(entry.hash), entry);
        return [];
      case "removal":
        this.#authority.check(entry);
        verify();
        this.#removals.set(toHex(entry.hash), entry);
        return [];
      case "endorsement":
        this.#authority.checkEndorsement(entry);
        verify();
        this.#authority.addEndorsement(entry, seenMs);
        return [];
      case "withdrawal":
        this.#authority.check(entry);
        verify();
        this.#withdrawn.add(toHex(entry.body.entry));
        return [];
      case "certificate":
        return this.#placeCertificate(entry, verify);
      case "rotation":
        return this.#placeRotation(entry, verify);
    }
  }

  #placeRotation(entry: RotationEntry, verify: () => void): RosterEntry[] {
    const { owner } = entry.body;
    const given = this.#rotations.place(entry, this.#anchorOf(entry), () => {
      verify();
      checkCarried(entry);
    });
    // What the old key signed for lives after this one, and what a key signed that this one does not lead to.
    const fallen = this.certificatesOf(owner).filter((known) => !isRoot(known) && !this.#isBorneOut(known));
    for (const gone of fallen) this.#take(gone);
    return [...given, ...fallen];
  }

  #anchorOf({ body }: RotationEntry): CertificateEntry | undefined {
    return this.certificatesOf(body.owner).find(({ hash }) => equalBytes(hash, body.certificate));
  }

  /** Whether what a recovery identity signed counts: by a certificate that names the key, or by a rotation that brought it. */
  #isBorneOut(entry: CertificateEntry): boolean {
    const { owner, recovery, generation } = entry.body;
    const ended = this.#rotations.retiring(owner, recovery);
    if (ended !== undefined && generation >= ended.body.generation) return false;
    return this.certificatesOf(owner).some((root) => isRoot(root) && this.#carries(root, entry));
  }

  #carries(root: CertificateEntry, entry: CertificateEntry): boolean {
    if (entry.body.by !== "recovery" || entry.body.rotation === undefined) return carries(root, entry);
    const rotation = this.#rotationOf(entry.body.owner, entry.body.rotation);
    return (
      rotation !== undefined &&
      equalBytes(rotation.body.recovery, entry.body.recovery) &&
      rotation.body.generation < entry.body.generation &&
      root.body.quotaBytes === entry.body.quotaBytes &&
      root.body.generation < entry.body.generation
    );
  }

  #rotationOf(owner: OwnerId, hash: Uint8Array): RotationEntry | undefined {
    const known = this.get(hash)?.entry;
    if (known?.type !== "rotation" || known.body.owner !== owner) return undefined;
    return this.#rotations.retiring(owner, known.body.retires) === known ? known : undefined;
  }

  #placeCertificate(entry: CertificateEntry, verify: () => void): RosterEntry[] {
    switch (entry.body.by) {
      case "administrators":
        this.#authority.check(entry);
        verify();
        this.#insert(entry);
        return [];
      case "delegation":
        return this.#placeDelegated(entry, entry.body.delegation, verify);
      case "recovery":
        return this.#placeRecovery(entry, verify);
    }
  }

  #placeDelegated(entry: CertificateEntry, hash: Uint8Array, verify: () => void): RosterEntry[] {
    const delegation = this.#delegations.get(toHex(hash));
    if (delegation === undefined) return refuse("the delegation that it uses is not known");
    checkDelegated(entry, delegation);
    const other = this.#uses.get(toHex(hash));
    if (other !== undefined && compareBytes(other.hash, entry.hash) < 0)
      throw new Fault({ code: "TOKEN_USED" });
    verify();
    const dropped = other === undefined ? [] : this.#evict(other);
    this.#uses.set(toHex(hash), entry);
    this.#insert(entry);
    return dropped;
  }

  #placeRecovery(entry: CertificateEntry, verify: () => void): RosterEntry[] {
    checkRecoverySigners(entry);
    const { owner, recovery, generation } = entry.body;
    const rooted = this.certificatesOf(owner).filter(isRoot);
    if (rooted.length === 0) return refuse("its owner is not known in this swarm");
    const ended = this.#rotations.retiring(owner, recovery);
    if (ended !== undefined && generation >= ended.body.generation)
      return refuse("its recovery key was replaced by another one");
    const isBrought = entry.body.by === "recovery" && entry.body.rotation !== undefined;
    const named = rooted.filter((root) => isBrought || equalBytes(root.body.recovery, recovery));
    if (named.length === 0) return refuse("its owner has another recovery identity");
    const older = named.filter((root) => root.body.generation < generation);
    if (older.length === 0) return refuse("its generation is not above the certificate that it follows");
    if (!older.some((root) => this.#carries(root, entry)))
      return refuse(
        isBrought
          ? "the rotation that it names does not bear it out"
          : "its quota is not the one its owner had",
      );
    // Counted for each identity and quota alone: what falls with one root then never took another's place.
    const kept = this.certificatesOf(owner).filter((known) => !isRoot(known) && isAlike(known, entry));
    const last = kept[RECOVERIES_KEPT - 1];
    if (last !== undefined && compareCertificates(last, entry) < 0) {
      const knownEpoch = last.body.generation;
      throw new Fault({ code: "RECORD_STALE", what: "certificate", epoch: generation, knownEpoch });
    }
    verify();
    this.#insert(entry);
    const dropped = last === undefined ? [] : [last];
    for (const gone of dropped) this.#take(gone);
    return dropped;
  }

  #evict(entry: CertificateEntry): RosterEntry[] {
    this.#take(entry);
    const rotations = this.#rotations.dropOrphans((rotation) => this.#anchorOf(rotation) !== undefined);
    const orphans = this.certificatesOf(entry.body.owner).filter(
      (known) => !isRoot(known) && !this.#isBorneOut(known),
    );
    for (const orphan of orphans) this.#take(orphan);
    return [entry, ...rotations, ...orphans];
  }

  #insert(entry: CertificateEntry): void {
    const list = [...this.certificatesOf(entry.body.owner), entry].sort(compareCertificates);
    this.#byOwner.set(entry.body.owner, list);
  }

  #take(entry: CertificateEntry): void {
    const list = must(this.#byOwner.get(entry.body.owner), "certificates of an owner").filter(
      (known) => known !== entry,
    );
    if (list.length === 0) this.#byOwner.delete(entry.body.owner);
    else this.#byOwner.set(entry.body.owner, list);
  }
}

/** A certificate that stands by itself; one by a recovery identity needs another to name that identity. */
function isRoot(entry: CertificateEntry): boolean {
  return entry.body.by !== "recovery";
}

function isAlike(a: CertificateEntry, b: CertificateEntry): boolean {
  return equalBytes(a.body.recovery, b.body.recovery) && a.body.quotaBytes === b.body.quotaBytes;
}

function carries(root: CertificateEntry, recovery: CertificateEntry): boolean {
  return isAlike(root, recovery) && root.body.generation < recovery.body.generation;
}

/** Later ranks build on earlier ones. */
export function replayRank(entry: RosterEntry): number {
  switch (entry.type) {
    case "genesis":
      return 0;
    case "administrators":
    case "endorsement":
      return 1;
    case "delegation":
      return 2;
    case "certificate":
      if (isRoot(entry)) return 3;
      return entry.body.by === "recovery" && entry.body.rotation !== undefined ? 8 : 4;
    case "removal":
      return 5;
    case "withdrawal":
      return 6;
    case "rotation":
      return 7;
  }
}

/** Within a rank: a set of administrators, what was endorsed under it, the next set; a rotation, the next. 0 where any order will do. */
export function replayTurn(entry: RosterEntry): number {
  if (entry.type === "administrators") return 2 * entry.body.number;
  if (entry.type === "rotation") return entry.body.number;
  return entry.type === "endorsement" ? 2 * entry.body.set + 1 : 0;
}

export function compareForReplay(a: RosterEntry, b: RosterEntry): number {
  return replayRank(a) - replayRank(b) || replayTurn(a) - replayTurn(b) || compareBytes(a.hash, b.hash);
}

function refuse(reason: string): never {
  throw new Fault({ code: "NOT_ALLOWED", reason });
}
