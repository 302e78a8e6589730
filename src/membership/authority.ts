import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { EndorsementEntry, GenesisEntry, RosterEntry } from "./entry.ts";

/** The administrators at a moment. */
export interface AdministratorSet {
  /** 0 is the genesis'. */
  readonly number: number;
  /** Public keys, the longest-serving first. */
  readonly keys: readonly Uint8Array[];
  /** How many of them must sign. */
  readonly threshold: number;
}

/**
 * Who the administrators are, and which of them stand behind an entry: those that signed it, and those that endorsed it
 * afterwards, each in an entry of its own. Signatures are never added to an entry that is known, so that two nodes that
 * hold the same entries see the same signatures.
 */
export class Authority {
  readonly #set: AdministratorSet;
  readonly #current: ReadonlySet<string>;
  /** By the hex of the entry's hash: the hex of the keys that endorsed it. */
  readonly #endorsers = new Map<string, Set<string>>();

  constructor(genesis: GenesisEntry) {
    const { administrators, threshold } = genesis.body;
    this.#set = { number: 0, keys: administrators, threshold };
    this.#current = new Set(administrators.map(toHex));
  }

  get set(): AdministratorSet {
    return this.#set;
  }

  isAdministrator(key: Uint8Array): boolean {
    return this.#current.has(toHex(key));
  }

  /** The hex of the keys of present administrators that stand behind an entry. */
  supporters(entry: Pick<RosterEntry, "hash" | "signatures">): Set<string> {
    const signers = entry.signatures.map(({ signer }) => toHex(signer));
    const endorsers = this.#endorsers.get(toHex(entry.hash)) ?? [];
    return new Set([...signers, ...endorsers].filter((key) => this.#current.has(key)));
  }

  /** At least a threshold of the administrators stand behind the entry, and nobody else signed it. */
  check(entry: RosterEntry): void {
    const signers = entry.signatures.map(({ signer }) => toHex(signer));
    if (!signers.every((key) => this.#current.has(key))) {
      refuse(`the ${entry.type} is signed by a key that is no administrator's`);
    }
    if (new Set(signers).size < signers.length) {
      throw new Fault({ code: "SIGNATURE_INVALID", what: entry.type, reason: "one key signed twice" });
    }
    const { size } = this.supporters(entry);
    const { threshold } = this.#set;
    if (size < threshold) {
      refuse(`the ${entry.type} is signed by ${size} of the ${threshold} administrators it needs`);
    }
  }

  checkEndorsement({ body, signatures }: EndorsementEntry): void {
    const key = toHex(body.administrator);
    const [first] = signatures;
    if (signatures.length !== 1 || first === undefined || toHex(first.signer) !== key) {
      refuse("the endorsement is not signed by its administrator alone");
    }
    if (!this.#current.has(key)) refuse("the endorsement is of a key that is no administrator's");
  }

  addEndorsement({ body }: EndorsementEntry): void {
    const key = toHex(body.administrator);
    for (const hash of body.entries) {
      const name = toHex(hash);
      const known = this.#endorsers.get(name);
      if (known === undefined) this.#endorsers.set(name, new Set([key]));
      else known.add(key);
    }
  }
}

function refuse(reason: string): never {
  throw new Fault({ code: "NOT_ALLOWED", reason });
}
