import { equalBytes, toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { Signer } from "../crypto/sign.ts";
import type { Fence } from "../exchange/index.ts";
import {
  type AdministratorSet,
  changeAdministrators,
  type Member,
  type Roster,
} from "../membership/index.ts";
import type { Clock } from "../ports/index.ts";
import { ADMINISTRATORS_MAX, type NodeStatus } from "../wire/membership.ts";
import { findMember } from "./find-member.ts";
import type { Deciding, Proposals } from "./proposals.ts";

export interface AdministratorsComponents {
  readonly roster: Roster;
  readonly view: { statusOf(peer: PeerId): NodeStatus | undefined };
  /** A machine whose owner was recovered elsewhere decides nothing any more. */
  readonly fence: Pick<Fence, "check">;
  readonly proposals: Pick<Proposals, "decide">;
  readonly clock: Pick<Clock, "wallMs">;
  /** Made to look and restore only: no member, whatever keys it was made from. */
  readonly isGuest: boolean;
}

export interface AdministratorStanding {
  readonly key: Uint8Array;
  readonly sinceMs: number;
  /** The node that says that it has the key. */
  readonly member: Member | undefined;
  /** Whether this home has it. */
  readonly isOwn: boolean;
}

export interface AdministratorsChanged {
  readonly key: Uint8Array;
  /** `known`: it is so already. `deciding`: what became of it where several must sign. */
  readonly outcome: "added" | "removed" | "known" | "deciding";
  readonly deciding?: Deciding;
  readonly administrators: number;
}

export interface ThresholdChanged {
  /** Absent where it was so before. */
  readonly deciding?: Deciding;
}

/** The beginning of a key that is enough to name it. */
const KEY_PREFIX_HEX_MIN = 8;

/** Who the administrators are, with which key this node is one, and how they are changed. */
export class Administrators {
  readonly #c: AdministratorsComponents;
  readonly #keys: readonly Signer[];

  /** `keys`: those that this home has, whether they are an administrator's or not. */
  constructor(components: AdministratorsComponents, keys: readonly Signer[]) {
    this.#c = components;
    this.#keys = keys;
  }

  get set(): AdministratorSet {
    return this.#c.roster.administrators();
  }

  get includesThisNode(): boolean {
    return this.#findOwn() !== undefined;
  }

  /** To sign with. Throws `NOT_ALLOWED` where this node has no administrator's key. */
  key(): Signer {
    this.#c.fence.check();
    if (this.#c.isGuest) {
      const reason = "this home was made with recover --read-only: it looks and restores, and signs nothing";
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    const key = this.#findOwn();
    if (key !== undefined) return key;
    throw new Fault({ code: "NOT_ALLOWED", reason: "this node has no administrator's key" });
  }

  /** What others add when they make this node an administrator; the key with which it is one, if it is. */
  publicKey(otherwise: Signer): Uint8Array {
    return (this.#findOwn() ?? otherwise).publicKey;
  }

  list(): AdministratorStanding[] {
    const { roster, view } = this.#c;
    const sets = roster.administratorSets();
    const byKey = new Map(
      roster.members().flatMap((member) => {
        const key = view.statusOf(member.peer)?.administrator;
        return key === undefined ? [] : [[toHex(key), member] as const];
      }),
    );
    return this.set.keys.map((key) => {
      const without = sets.findLastIndex(({ keys }) => !includesKey(keys, key));
      return {
        key,
        sinceMs: sets[without + 1]?.sinceMs ?? this.set.sinceMs,
        member: byKey.get(toHex(key)),
        isOwn: this.#keys.some(({ publicKey }) => equalBytes(publicKey, key)),
      };
    });
  }

  /** The administrator's key of a node, if it has one. */
  keyOf(peer: PeerId): Uint8Array | undefined {
    const key = this.#c.view.statusOf(peer)?.administrator;
    return key !== undefined && includesKey(this.set.keys, key) ? key : undefined;
  }

  /** Makes a member's node an administrator, with the key that it published. */
  async add(asked: string): Promise<AdministratorsChanged> {
    const administrator = this.key();
    const member = findMember(this.#c.roster, asked);
    const key = this.#c.view.statusOf(member.peer)?.administrator;
    if (key === undefined) {
      const reason = `${member.name} has not said which key it would sign with; is it on, and of this version`;
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    const { keys, threshold } = this.set;
    if (includesKey(keys, key)) return this.#changed(key, "known");
    if (keys.length >= ADMINISTRATORS_MAX) {
      throw new Fault({ code: "USAGE", reason: `A swarm has at most ${ADMINISTRATORS_MAX} administrators.` });
    }
    return this.#changed(
      key,
      "added",
      await this.#change(administrator, { keys: [...keys, key], threshold }),
    );
  }

  /** By the node that has it, or by the key itself. */
  async remove(asked: string): Promise<AdministratorsChanged> {
    const administrator = this.key();
    const { keys, threshold } = this.set;
    const key = this.#find(asked);
    const left = keys.filter((known) => !equalBytes(known, key));
    if (left.length === 0) {
      const reason = "it is the last administrator; add another one first";
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    if (left.length < threshold) {
      const reason = `${threshold} administrators have to sign, and ${left.length} would be left; lower the threshold first`;
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    return this.#changed(key, "removed", await this.#change(administrator, { keys: left, threshold }));
  }

  /** How many administrators must sign from then on. As many as must now decide it. */
  async setThreshold(threshold: number): Promise<ThresholdChanged> {
    const administrator = this.key();
    const { keys, threshold: before } = this.set;
    if (threshold > keys.length) {
      const reason = `${threshold} could never sign: there ${keys.length === 1 ? "is 1 administrator" : `are ${keys.length} administrators`}.`;
      throw new Fault({ code: "USAGE", reason });
    }
    if (threshold === before) return {};
    return { deciding: await this.#change(administrator, { keys, threshold }) };
  }

  #findOwn(): Signer | undefined {
    const { keys } = this.set;
    return this.#keys.find(({ publicKey }) => includesKey(keys, publicKey));
  }

  #find(asked: string): Uint8Array {
    const { keys } = this.set;
    const prefix = asked.toLowerCase();
    if (/^[0-9a-f]+$/.test(prefix) && prefix.length >= KEY_PREFIX_HEX_MIN) {
      const [found, ...others] = keys.filter((key) => toHex(key).startsWith(prefix));
      if (found !== undefined && others.length === 0) return found;
    }
    const member = findMember(this.#c.roster, asked);
    const key = this.keyOf(member.peer);
    if (key !== undefined) return key;
    throw new Fault({
      code: "USAGE",
      reason: `${member.name} is no administrator; "cairn admin list" lists them.`,
    });
  }

  async #change(
    administrator: Signer,
    next: Pick<AdministratorSet, "keys" | "threshold">,
  ): Promise<Deciding> {
    const { lists, change } = changeAdministrators(this.#c, { administrators: [administrator], ...next });
    return this.#c.proposals.decide([...lists, change], administrator);
  }

  #changed(
    key: Uint8Array,
    outcome: AdministratorsChanged["outcome"],
    deciding: Deciding = { outcome: "applied" },
  ): AdministratorsChanged {
    const administrators = this.set.keys.length;
    if (deciding.outcome === "applied") return { key, outcome, administrators };
    return { key, outcome: "deciding", deciding, administrators };
  }
}

function includesKey(keys: readonly Uint8Array[], key: Uint8Array): boolean {
  return keys.some((known) => equalBytes(known, key));
}
