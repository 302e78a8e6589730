import { must } from "../base/assert.ts";
import { compareBytes, equalBytes, toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { AdministratorsEntry, EndorsementEntry, GenesisEntry, RosterEntry } from "./entry.ts";

/** The administrators at a moment. */
export interface AdministratorSet {
  /** 0 is the genesis'. */
  readonly number: number;
  /** Public keys, the longest-serving first. */
  readonly keys: readonly Uint8Array[];
  /** How many of them must sign. */
  readonly threshold: number;
  /** Since when. */
  readonly sinceMs: number;
  /** Of the entry that says so. */
  readonly hash: Uint8Array;
}

/**
 * Endorsements of one former administrator that make nothing stand are kept up to so many: where two changes of the
 * administrators compete, the lists of the one that will count must get in while the other one does.
 */
const IDLE_ENDORSEMENTS_MAX = 256;
/**
 * Of one administrator: one key alone must not fill the roster, in which the change that takes it away needs room. Ten
 * signatures a day for a year; a key that goes beyond it makes nodes differ only in whether its own word counts.
 */
const ENDORSEMENTS_MAX = 4096;

/**
 * Who the administrators are, and which of them stand behind an entry: those that signed it, and those that endorsed it
 * afterwards, each in an entry of its own. Signatures are never added to an entry that is known, so that two nodes that
 * hold the same entries see the same signatures.
 *
 * Only present administrators count. What a former one signed stands if it was kept when the set was changed: a change
 * names endorsements whose entries stand from then on.
 */
export class Authority {
  /** From the genesis' to the present one. */
  readonly sets: readonly AdministratorSet[];
  readonly #current: ReadonlySet<string>;
  /** Of every set. */
  readonly #ever: ReadonlySet<string>;
  /** The hex of endorsements that a change of the set names. */
  readonly #keptLists: ReadonlySet<string>;
  readonly #kept = new Set<string>();
  /** How many idle endorsements there are of a key. */
  readonly #idle = new Map<string, number>();
  /** And how many that are not. */
  readonly #busy = new Map<string, number>();
  /** By the hex of the entry's hash: the hex of the keys that endorsed it, and since when. */
  readonly #endorsers = new Map<string, Map<string, number>>();

  constructor(genesis: GenesisEntry, changes: readonly AdministratorsEntry[]) {
    this.sets = [setOfGenesis(genesis), ...changes.map(setOf)];
    this.#current = new Set(this.set.keys.map(toHex));
    this.#ever = new Set(this.sets.flatMap(({ keys }) => keys.map(toHex)));
    this.#keptLists = new Set(changes.flatMap(({ body }) => body.keeps.map(toHex)));
  }

  get set(): AdministratorSet {
    return must(this.sets.at(-1), "administrators");
  }

  /** The hex of the keys of present administrators that stand behind an entry. */
  supporters(entry: Pick<RosterEntry, "hash" | "signatures">): Set<string> {
    const signers = entry.signatures.map(({ signer }) => toHex(signer));
    const endorsers = this.#endorsers.get(toHex(entry.hash))?.keys() ?? [];
    return new Set([...signers, ...endorsers].filter((key) => this.#current.has(key)));
  }

  /**
   * Since when which keys have stood behind an entry that is known since `knownMs`. Behind one that a change of the
   * administrators kept, also those that are none any more: it is worth what it was worth then, and the change adds nothing.
   */
  supportedSince(
    { hash, signatures }: Pick<RosterEntry, "hash" | "signatures">,
    knownMs: number,
  ): Map<string, number> {
    const counting = this.isKept(hash) ? this.#ever : this.#current;
    const since = new Map<string, number>();
    for (const { signer } of signatures) if (counting.has(toHex(signer))) since.set(toHex(signer), knownMs);
    for (const [key, sinceMs] of this.#endorsers.get(toHex(hash)) ?? []) {
      if (counting.has(key) && !since.has(key)) since.set(key, Math.max(knownMs, sinceMs));
    }
    return since;
  }

  /** Whether an entry stands whoever signed it, because a change of the administrators kept it. */
  isKept(hash: Uint8Array): boolean {
    return this.#kept.has(toHex(hash));
  }

  /** At least a threshold of the administrators stand behind the entry, and no stranger signed it. */
  check(entry: RosterEntry): void {
    const signers = entry.signatures.map(({ signer }) => toHex(signer));
    if (!signers.every((key) => this.#ever.has(key))) {
      refuse(`the ${entry.type} is signed by a key that is no administrator's`);
    }
    if (new Set(signers).size < signers.length) {
      throw new Fault({ code: "SIGNATURE_INVALID", what: entry.type, reason: "one key signed twice" });
    }
    if (this.isKept(entry.hash)) return;
    const { size } = this.supporters(entry);
    if (size === 0) refuse(`the ${entry.type} is signed by former administrators only`);
    const { threshold } = this.set;
    if (size < threshold) {
      refuse(`the ${entry.type} is signed by ${size} of the ${threshold} administrators it needs`);
    }
  }

  checkEndorsement({ body, signatures, hash }: EndorsementEntry): void {
    const [first] = signatures;
    if (signatures.length !== 1 || first === undefined || !equalBytes(first.signer, body.administrator)) {
      refuse("the endorsement is not signed by its administrator alone");
    }
    const set = this.sets[body.set];
    if (set === undefined || !includesKey(set.keys, body.administrator)) {
      refuse("the endorsement is of a key that is no administrator's");
    }
    if (this.#keptLists.has(toHex(hash))) return;
    if (!this.#isIdle(body.administrator, hash)) {
      if ((this.#busy.get(toHex(body.administrator)) ?? 0) < ENDORSEMENTS_MAX) return;
      refuse("its administrator has endorsed too often");
    }
    if ((this.#idle.get(toHex(body.administrator)) ?? 0) >= IDLE_ENDORSEMENTS_MAX) {
      refuse("its former administrator has endorsed too often");
    }
  }

  addEndorsement({ body, hash }: EndorsementEntry, seenMs: number): void {
    const key = toHex(body.administrator);
    const counts = this.#isIdle(body.administrator, hash) ? this.#idle : this.#busy;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    const isKeptList = this.#keptLists.has(toHex(hash));
    for (const listed of body.entries) {
      const name = toHex(listed);
      if (isKeptList) this.#kept.add(name);
      const known = this.#endorsers.get(name);
      const sinceMs = Math.max(body.issuedMs, seenMs);
      if (known === undefined) this.#endorsers.set(name, new Map([[key, sinceMs]]));
      else known.set(key, Math.min(sinceMs, known.get(key) ?? sinceMs));
    }
  }

  /** Of a former administrator, and named by no change known: it makes nothing stand, yet. */
  #isIdle(administrator: Uint8Array, hash: Uint8Array): boolean {
    return !this.#current.has(toHex(administrator)) && !this.#keptLists.has(toHex(hash));
  }
}

function setOfGenesis({ body, hash }: GenesisEntry): AdministratorSet {
  const { administrators, threshold, createdMs } = body;
  return { number: 0, keys: administrators, threshold, sinceMs: createdMs, hash };
}

function setOf({ body, hash }: AdministratorsEntry): AdministratorSet {
  const { number, administrators, threshold, issuedMs } = body;
  return { number, keys: administrators, threshold, sinceMs: issuedMs, hash };
}

/** A change of the administrators against the set that it follows: that one's threshold, and nobody else, signed it. */
export function checkChange({ body, signatures }: AdministratorsEntry, before: AdministratorSet): void {
  const { administrators, threshold } = body;
  if (new Set(administrators.map(toHex)).size < administrators.length || threshold > administrators.length) {
    const reason = "its administrators do not make up its threshold";
    throw new Fault({ code: "FORMAT_INVALID", what: "administrators", reason });
  }
  if (!equalBytes(body.previous, before.hash)) refuse("it follows other administrators than those known");
  const signers = new Set(signatures.map(({ signer }) => toHex(signer)));
  if (!signatures.every(({ signer }) => includesKey(before.keys, signer))) {
    refuse("the change of administrators is signed by a key that is no administrator's");
  }
  if (signers.size < before.threshold) {
    refuse(`the change of administrators is signed by ${signers.size} of the ${before.threshold} it needs`);
  }
}

/**
 * Which of two changes of one set counts. Where one signature suffices: that with more of them, then that of the
 * longest-serving administrator, then the lower hash; a hash can be sought at leisure by whoever has one key, signatures
 * and ranks cannot. Where several must sign, the lower hash alone: one change goes about under different choices of its
 * signatures, and every node has to come to the same verdict.
 */
export function compareChanges(
  a: AdministratorsEntry,
  b: AdministratorsEntry,
  before: AdministratorSet,
): number {
  if (before.threshold > 1) return compareBytes(a.hash, b.hash);
  const rank = ({ signatures }: AdministratorsEntry): number =>
    before.keys.findIndex((key) => signatures.some(({ signer }) => equalBytes(signer, key)));
  return b.signatures.length - a.signatures.length || rank(a) - rank(b) || compareBytes(a.hash, b.hash);
}

function includesKey(keys: readonly Uint8Array[], key: Uint8Array): boolean {
  return keys.some((known) => equalBytes(known, key));
}

function refuse(reason: string): never {
  throw new Fault({ code: "NOT_ALLOWED", reason });
}
