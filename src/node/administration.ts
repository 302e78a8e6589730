import { must } from "../base/assert.ts";
import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { Signer } from "../crypto/sign.ts";
import {
  certifyAnew,
  checkSiteName,
  endorse,
  type FormerMember,
  type Member,
  type PendingDecision,
  type Roster,
  removeMember,
  withdraw,
} from "../membership/index.ts";
import type { Clock, Rng } from "../ports/index.ts";
import type { Administrators } from "./administrators.ts";
import { findMember } from "./find-member.ts";
import type { Deciding, Proposals } from "./proposals.ts";

export interface AdministrationComponents {
  readonly roster: Roster;
  readonly self: PeerId;
  readonly administrators: Pick<Administrators, "key">;
  readonly proposals: Pick<Proposals, "decide">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly rng: Pick<Rng, "bytes">;
}

/** What a decision of this node's administrator came to. */
export interface Decided {
  readonly member: Member | FormerMember;
  /** `known`: this administrator had said so before. `deciding`: several must sign. */
  readonly outcome: "announced" | "confirmed" | "known" | "deciding";
  readonly deciding?: Deciding;
  /** What is still to come; absent where it is in effect, or not decided. */
  readonly pending: PendingDecision | undefined;
}

export interface Cancelled {
  readonly member: Member;
  readonly withdrawn: readonly PendingDecision[];
  /** What became of it. */
  readonly deciding: Deciding;
}

/**
 * What people decide about members with the administrator's key of this node: every decision is a signed entry of the
 * roster, which spreads by itself. Throws `NOT_ALLOWED` where this node has no administrator's key.
 */
export class Administration {
  readonly #c: AdministrationComponents;

  constructor(components: AdministrationComponents) {
    this.#c = components;
  }

  /** Takes a node out of the swarm, or adds this administrator's word to another's that is waiting. */
  async remove(asked: string, init: { reason: string; barsOwner: boolean }): Promise<Decided> {
    const administrator = this.#c.administrators.key();
    const member = findMember(this.#c.roster, asked);
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
    const deciding = await this.#c.proposals.decide([removal], administrator);
    return this.#decided(member, "announced", "removal", deciding);
  }

  /** Moves a node to another site, or adds this administrator's word to another's that is waiting. */
  async moveSite(asked: string, site: string): Promise<Decided> {
    const administrator = this.#c.administrators.key();
    const member = findMember(this.#c.roster, asked);
    checkSiteName(site, this.#c.roster.sites());
    if (member.site === site) {
      throw new Fault({ code: "USAGE", reason: `${member.name} is at site ${site} already.` });
    }
    const waiting = this.#pendingOf(member).filter((one) => one.kind === "site-move" && one.to === site);
    const confirmed = await this.#confirm(administrator, waiting);
    if (confirmed !== undefined) return this.#decided(member, confirmed, "site-move");
    const deciding = await this.#certify(administrator, member, { site });
    return this.#decided(member, "announced", "site-move", deciding);
  }

  /** Takes back what is waiting, whoever announced it. */
  async cancel(asked: string, kind: PendingDecision["kind"]): Promise<Cancelled> {
    const administrator = this.#c.administrators.key();
    const member = findMember(this.#c.roster, asked);
    const withdrawn = this.#pendingOf(member).filter((one) => one.kind === kind);
    if (withdrawn.length === 0) {
      const what = kind === "removal" ? "removal" : "change of site";
      throw new Fault({ code: "USAGE", reason: `No ${what} of ${member.name} is waiting.` });
    }
    const entries = withdrawn.map(({ hash }) =>
      withdraw(this.#c, { administrators: [administrator], entry: hash }),
    );
    return { member, withdrawn, deciding: await this.#c.proposals.decide(entries, administrator) };
  }

  /** Takes back one decision that is waiting. */
  async cancelOne(decision: PendingDecision): Promise<Deciding> {
    const administrator = this.#c.administrators.key();
    const entry = withdraw(this.#c, { administrators: [administrator], entry: decision.hash });
    return this.#c.proposals.decide([entry], administrator);
  }

  /** This administrator stands behind a decision that is waiting, too. */
  async endorse(decision: PendingDecision): Promise<"confirmed" | "known"> {
    const confirmed = await this.#confirm(this.#c.administrators.key(), [decision]);
    return must(confirmed, "entry of a decision that waits");
  }

  /** What its owner may have stored at others from now on; `undefined`: without bound. */
  async setQuota(asked: string, quotaBytes: number | undefined): Promise<Decided> {
    const administrator = this.#c.administrators.key();
    const member = findMember(this.#c.roster, asked);
    if (member.quotaBytes === quotaBytes) return { member, outcome: "known", pending: undefined };
    const deciding = await this.#certify(administrator, member, { quotaBytes: quotaBytes ?? "none" });
    const after = this.#c.roster.memberOfOwner(member.owner) ?? member;
    if (deciding.outcome === "applied") return { member: after, outcome: "announced", pending: undefined };
    return { member: after, outcome: "deciding", deciding, pending: undefined };
  }

  /** Lets a recovered node hold shards of others. */
  async confirmHolder(asked: string): Promise<{ readonly member: Member; readonly deciding: Deciding }> {
    const administrator = this.#c.administrators.key();
    const member = findMember(this.#c.roster, asked);
    if (member.holder) throw new Fault({ code: "USAGE", reason: `${member.name} holds shards already.` });
    const deciding = await this.#certify(administrator, member, { holder: true });
    return { member: this.#c.roster.member(member.peer) ?? member, deciding };
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
    changes: { site?: string; holder?: boolean; quotaBytes?: number | "none" },
  ): Promise<Deciding> {
    const generation = this.#newestGeneration(member);
    const waiting = this.#pendingOf(member).find(({ kind }) => kind !== "removal");
    // A newer certificate would take the place of the one that waits, and say nothing of what that changes.
    if (waiting !== undefined && changes.site === undefined) {
      const reason = `another certificate of ${member.name} is waiting for its day; take it back first, or wait`;
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    const init = { administrators: [administrator], member, generation, changes };
    return this.#c.proposals.decide([certifyAnew(this.#c, init)], administrator);
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

  #decided(
    member: Member,
    outcome: Decided["outcome"],
    kind: PendingDecision["kind"],
    deciding: Deciding = { outcome: "applied" },
  ): Decided {
    const { roster } = this.#c;
    const pending = this.#pendingOf(member).find((one) => one.kind === kind);
    const common = { member: roster.memberOfOwner(member.owner) ?? member, pending };
    if (deciding.outcome === "applied") return { ...common, outcome };
    return { ...common, outcome: "deciding", deciding };
  }
}
