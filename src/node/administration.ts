import { must } from "../base/assert.ts";
import { compareBytes, toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Signer } from "../crypto/sign.ts";
import type { Fence } from "../exchange/index.ts";
import {
  certifyAnew,
  checkSiteName,
  endorse,
  type FormerMember,
  type Member,
  type PendingDecision,
  type Roster,
  type RosterEntry,
  removeMember,
  withdraw,
} from "../membership/index.ts";
import type { Clock, Rng } from "../ports/index.ts";

export interface AdministrationComponents {
  readonly roster: Roster;
  readonly self: PeerId;
  /** A machine whose owner was recovered elsewhere decides nothing any more. */
  readonly fence: Pick<Fence, "check">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly rng: Pick<Rng, "bytes">;
  readonly log: Log;
}

/** What a decision of this node's administrator came to. */
export interface Decided {
  readonly member: Member | FormerMember;
  /** `known`: this administrator had said so before. */
  readonly outcome: "announced" | "confirmed" | "known";
  /** What is still to come; absent where it is in effect. */
  readonly pending: PendingDecision | undefined;
}

export interface Cancelled {
  readonly member: Member;
  readonly withdrawn: readonly PendingDecision[];
}

/**
 * What people decide about members with the administrator's key of this node: every decision is a signed entry of the
 * roster, which spreads by itself. Throws `NOT_ALLOWED` where this node has no administrator's key.
 */
export class Administration {
  readonly #c: AdministrationComponents;
  readonly #keys: readonly Signer[];

  /** `keys`: those that this home has, whether they are an administrator's or not. */
  constructor(components: AdministrationComponents, keys: readonly Signer[]) {
    this.#c = components;
    this.#keys = keys;
  }

  get isAdministrator(): boolean {
    return this.#findKey() !== undefined;
  }

  /** To sign with. */
  key(): Signer {
    this.#c.fence.check();
    const key = this.#findKey();
    if (key !== undefined) return key;
    throw new Fault({ code: "NOT_ALLOWED", reason: "this node has no administrator's key" });
  }

  /** Takes a node out of the swarm, or adds this administrator's word to another's that is waiting. */
  async remove(asked: string, init: { reason: string; barsOwner: boolean }): Promise<Decided> {
    const administrator = this.key();
    const member = this.member(asked);
    if (member.peer === this.#c.self) {
      const reason = "A node does not remove itself: run this on another administrator's node.";
      throw new Fault({ code: "USAGE", reason });
    }
    const generation = this.#newestGeneration(member);
    const waiting = this.#pendingOf(member).filter(
      (one) => one.kind === "removal" && one.generation >= generation && (one.barsOwner || !init.barsOwner),
    );
    const confirmed = await this.#confirm(administrator, waiting);
    if (confirmed !== undefined) return this.#decided(member, confirmed, "removal");
    const removal = removeMember(this.#c, { administrators: [administrator], member, generation, ...init });
    await this.#c.roster.apply(removal);
    return this.#decided(member, "announced", "removal");
  }

  /** Moves a node to another site, or adds this administrator's word to another's that is waiting. */
  async moveSite(asked: string, site: string): Promise<Decided> {
    const administrator = this.key();
    const member = this.member(asked);
    checkSiteName(site, this.#c.roster.sites());
    if (member.site === site) {
      throw new Fault({ code: "USAGE", reason: `${member.name} is at site ${site} already.` });
    }
    const waiting = this.#pendingOf(member).filter((one) => one.kind === "site-move" && one.to === site);
    const confirmed = await this.#confirm(administrator, waiting);
    if (confirmed !== undefined) return this.#decided(member, confirmed, "site-move");
    await this.#certify(administrator, member, { site });
    return this.#decided(member, "announced", "site-move");
  }

  /** Takes back what is waiting, whoever announced it. */
  async cancel(asked: string, kind: PendingDecision["kind"]): Promise<Cancelled> {
    const administrator = this.key();
    const member = this.member(asked);
    const withdrawn = this.#pendingOf(member).filter((one) => one.kind === kind);
    if (withdrawn.length === 0) {
      const what = kind === "removal" ? "removal" : "change of site";
      throw new Fault({ code: "USAGE", reason: `No ${what} of ${member.name} is waiting.` });
    }
    const entries = withdrawn.map(({ hash }) =>
      withdraw(this.#c, { administrators: [administrator], entry: hash }),
    );
    await this.#applyAll(entries);
    return { member, withdrawn };
  }

  /** Lets a recovered node hold shards of others. */
  async confirmHolder(asked: string): Promise<Member> {
    const administrator = this.key();
    const member = this.member(asked);
    if (member.holder) throw new Fault({ code: "USAGE", reason: `${member.name} holds shards already.` });
    await this.#certify(administrator, member, { holder: true });
    return must(this.#c.roster.member(member.peer), "confirmed member");
  }

  /** By name, peer id or a unique beginning of one. `PEER_UNKNOWN`, or `USAGE` where several fit. */
  member(asked: string): Member {
    const members = this.#c.roster.members();
    const exact = members.filter(({ peer, name }) => peer === asked || name === asked);
    const found = exact.length > 0 ? exact : members.filter(({ peer }) => peer.startsWith(asked));
    const [member, ...others] = found;
    if (member === undefined || asked === "") throw new Fault({ code: "PEER_UNKNOWN", asked });
    if (others.length === 0) return member;
    const ids = found.map(({ peer }) => peer).join(", ");
    throw new Fault({ code: "USAGE", reason: `"${asked}" is more than one node: ${ids}. Give the peer id.` });
  }

  #findKey(): Signer | undefined {
    const { keys } = this.#c.roster.administrators();
    return this.#keys.find(({ publicKey }) => keys.some((key) => compareBytes(key, publicKey) === 0));
  }

  #pendingOf({ owner }: Member): PendingDecision[] {
    return this.#c.roster.pending().filter((one) => one.owner === owner);
  }

  /** Of all certificates of the owner, those that wait included. */
  #newestGeneration({ owner, generation }: Member): number {
    return this.#c.roster.certificatesOf(owner)[0]?.body.generation ?? generation;
  }

  async #certify(
    administrator: Signer,
    member: Member,
    changes: { site?: string; holder?: boolean },
  ): Promise<void> {
    const generation = this.#newestGeneration(member);
    const init = { administrators: [administrator], member, generation, changes };
    await this.#c.roster.apply(certifyAnew(this.#c, init));
  }

  /** `undefined` where nothing is waiting that could be confirmed. */
  async #confirm(
    administrator: Signer,
    waiting: readonly PendingDecision[],
  ): Promise<"confirmed" | "known" | undefined> {
    const { roster } = this.#c;
    const entries = waiting.flatMap(({ hash }) => roster.entry(hash) ?? []);
    if (entries.length === 0) return undefined;
    const own = toHex(administrator.publicKey);
    if (entries.some((entry) => roster.supporters(entry).has(own))) return "known";
    await roster.apply(endorse(this.#c, { administrator, entries }));
    return "confirmed";
  }

  #decided(member: Member, outcome: Decided["outcome"], kind: PendingDecision["kind"]): Decided {
    const { roster } = this.#c;
    const pending = this.#pendingOf(member).find((one) => one.kind === kind);
    return { member: roster.memberOfOwner(member.owner) ?? member, outcome, pending };
  }

  async #applyAll(entries: readonly RosterEntry[]): Promise<void> {
    for (const outcome of await this.#c.roster.applyAll(entries)) if (outcome instanceof Fault) throw outcome;
  }
}
