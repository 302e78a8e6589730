import { equalBytes, toHex } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS } from "../base/units.ts";
import type { Signer } from "../crypto/sign.ts";
import {
  decisionOf,
  type Proposal,
  type ProposalStanding,
  proposalId,
  purposeOf,
  type RecordStore,
  type Roster,
  type RosterEntry,
  readProposal,
  signProposal,
  standingOf,
} from "../membership/index.ts";
import type { Clock } from "../ports/index.ts";
import { type ApprovalBody, proposalBody } from "../wire/proposal.ts";
import { ProposalRecords } from "./proposal-records.ts";

export interface ProposalsComponents {
  readonly roster: Roster;
  readonly records: RecordStore;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

/** So long a proposal waits for signatures, unless what it proposes ends sooner. */
export const PROPOSAL_EXPIRES_MS = 7 * DAY_MS;

/** An invitation has up to a thousand entries. */
const DECIDED_HERE_MAX = 4096;

/** What became of a decision that this node's administrator took. */
export type Deciding =
  /** It is in the roster: one signature is enough. */
  | { readonly outcome: "applied" }
  /** `signed`: somebody had proposed the same, and has this signature now. `known`: this administrator had before. */
  | { readonly outcome: "proposed" | "signed" | "known"; readonly proposal: ProposalStanding };

/**
 * Where several administrators must sign: their proposals and each other's signatures, as records that spread to every
 * member. Whichever node first sees enough of them puts the decision into the roster; it needs neither the proposer nor
 * an administrator's key for that.
 */
export class Proposals {
  readonly #c: ProposalsComponents;
  readonly #box: ProposalRecords;
  readonly #saying = new Semaphore(1);
  readonly #said = new Set<string>();
  readonly #decidedHere = new Set<string>();
  #completing: Promise<void> = Promise.resolve();
  #isWaiting = false;

  constructor(components: ProposalsComponents) {
    this.#c = components;
    this.#box = new ProposalRecords(components);
  }

  /** Returns how to stop. */
  start(): () => void {
    const { records, roster } = this.#c;
    const look = (): void => this.#lookSoon();
    const ends = [
      records.onChange(({ record }) => {
        if (record.type === "proposal" || record.type === "approval") look();
      }),
      roster.onChange(look),
    ];
    look();
    return () => {
      for (const end of ends) end();
    };
  }

  /** Resolves when nothing of it is under way. */
  async idle(): Promise<void> {
    await this.#completing;
  }

  /** All that are known, the oldest first; those that are done, too late or out of date included. */
  list({ quick = false }: { readonly quick?: boolean } = {}): ProposalStanding[] {
    const { roster, clock } = this.#c;
    const nowMs = clock.wallMs();
    const approvals = this.#box.approvals();
    return this.#box
      .proposals()
      .flatMap((proposal) => standingOf(proposal, approvals, roster, nowMs, { quick }) ?? [])
      .sort((a, b) => a.proposal.issuedMs - b.proposal.issuedMs || compareIds(a, b));
  }

  /** What waits for signatures, or lost its purpose while it did. */
  open(depth: { readonly quick?: boolean } = {}): ProposalStanding[] {
    return this.list(depth).filter(
      ({ state }) => state === "open" || state === "complete" || state === "outdated",
    );
  }

  /** By its id or a unique beginning of one; `undefined` where nothing that is open fits. */
  find(asked: string): ProposalStanding | undefined {
    const found = this.open().filter(({ proposal }) => toHex(proposal.id).startsWith(asked.toLowerCase()));
    if (found.length > 1) throw new Fault({ code: "USAGE", reason: `"${asked}" is more than one proposal.` });
    return found[0];
  }

  /** Puts entries that this administrator alone has signed into the roster, or before the others where they must sign. */
  async decide(
    entries: readonly RosterEntry[],
    administrator: Signer,
    { expiresMs = Number.POSITIVE_INFINITY }: { readonly expiresMs?: number } = {},
  ): Promise<Deciding> {
    const { roster } = this.#c;
    if (roster.administrators().threshold === 1) {
      for (const outcome of await roster.applyAll(entries)) if (outcome instanceof Fault) throw outcome;
      for (const { hash } of entries) this.#decidedHere.add(toHex(hash));
      for (const oldest of this.#decidedHere) {
        if (this.#decidedHere.size <= DECIDED_HERE_MAX) break;
        this.#decidedHere.delete(oldest);
      }
      return { outcome: "applied" };
    }
    return this.#saying.run(async () => {
      const alike = this.#alike(entries);
      if (alike !== undefined) return this.#sign(alike, administrator);
      const latestMs = this.#c.clock.wallMs() + PROPOSAL_EXPIRES_MS;
      const limits = { expiresMs: Math.min(latestMs, expiresMs), open: this.#openProposals() };
      await this.#box.propose(entries, administrator, limits);
      return { outcome: "proposed", proposal: this.#standing(proposalId(entries)) };
    });
  }

  /** Whether somebody at this node decided it since the start, by one signature. A thief of its key did so elsewhere. */
  isDecidedHere({ hash }: Pick<RosterEntry, "hash">): boolean {
    return this.#decidedHere.has(toHex(hash));
  }

  sign(standing: ProposalStanding, administrator: Signer): Promise<Deciding> {
    return this.#saying.run(() => this.#sign(standing, administrator));
  }

  /** Says that this administrator does not sign it; a signature that it gave does not count any more. */
  refuse({ proposal }: ProposalStanding, administrator: Signer): Promise<void> {
    return this.#saying.run(async () => {
      if (equalBytes(proposal.proposer, administrator.publicKey))
        await this.#box.takeBack(proposal, administrator);
      else await this.#say(proposal, administrator, { verdict: "refused", endorsements: [] });
    });
  }

  /** Takes back an own proposal, or an own word on another's. */
  withdraw(standing: ProposalStanding, administrator: Signer): Promise<void> {
    const { proposal, signers, refusers } = standing;
    return this.#saying.run(async () => {
      if (equalBytes(proposal.proposer, administrator.publicKey)) {
        await this.#box.takeBack(proposal, administrator);
      } else if ([...signers, ...refusers].some((key) => equalBytes(key, administrator.publicKey))) {
        await this.#say(proposal, administrator, { verdict: "none", endorsements: [] });
      } else {
        const reason = "this node's administrator has neither proposed nor signed it";
        throw new Fault({ code: "NOT_ALLOWED", reason });
      }
    });
  }

  async #sign(standing: ProposalStanding, administrator: Signer): Promise<Deciding> {
    const { proposal, state, why, signers } = standing;
    if (state === "outdated") {
      const reason = `it cannot be decided any more: ${why}. Have it proposed anew`;
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    const isSigned = signers.some((key) => equalBytes(key, administrator.publicKey));
    if (!isSigned) {
      const nowMs = this.#c.clock.wallMs();
      const signed = signProposal({ roster: this.#c.roster, nowMs }, proposal, administrator);
      await this.#say(proposal, administrator, { verdict: "signed", ...signed });
    }
    await this.#complete();
    return { outcome: isSigned ? "known" : "signed", proposal: this.#standing(proposal.id) };
  }

  #alike(entries: readonly RosterEntry[]): ProposalStanding | undefined {
    const body = { v: 1, slot: 0, issuedMs: 0, expiresMs: 0, keptMs: 0 } as const;
    const signer = new Uint8Array(32);
    const encoded = proposalBody.encode({ ...body, entries: entries.map(({ bytes }) => bytes) });
    const mine = readProposal({ body: encoded, signer });
    if (mine === undefined) return undefined;
    const purpose = purposeOf(mine.deed);
    return this.open().find(({ proposal, state }) => {
      return state !== "outdated" && purposeOf(proposal.deed) === purpose;
    });
  }

  #say(
    proposal: Proposal,
    administrator: Signer,
    said: Pick<ApprovalBody, "verdict" | "endorsements" | "signature">,
  ): Promise<void> {
    return this.#box.say(proposal, administrator, said, this.#openProposals());
  }

  #openProposals(): Proposal[] {
    return this.open({ quick: true }).map(({ proposal }) => proposal);
  }

  #standing(id: Uint8Array): ProposalStanding {
    const found = this.list().find(({ proposal }) => equalBytes(proposal.id, id));
    if (found === undefined) throw new Fault({ code: "NOT_ALLOWED", reason: "it is no proposal any more" });
    return found;
  }

  #lookSoon(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#completing = this.#completing.then(async () => {
      this.#isWaiting = false;
      try {
        this.#tell();
        await this.#complete();
      } catch (error) {
        if (!isFault(error)) throw error;
        this.#c.log.warn("proposal-not-applied", { code: error.code, why: messageOf(error) });
      }
    });
  }

  async #complete(): Promise<void> {
    const { roster, log } = this.#c;
    // One at a time: each may make others out of date.
    for (;;) {
      const ready = this.list({ quick: true }).find(
        (one) => one.state === "complete" && !this.#said.has(failed(one)),
      );
      if (ready === undefined) return;
      const id = toHex(ready.proposal.id);
      for (const outcome of await roster.applyAll(decisionOf(ready, this.#box.approvals(), roster))) {
        if (!(outcome instanceof Fault)) continue;
        // Tried again when the administrators or their signatures change; never in a circle.
        this.#remember(failed(ready));
        log.warn("proposal-not-applied", { id, code: outcome.code, why: outcome.message });
      }
      if (this.#said.has(failed(ready))) continue;
      // Whatever became of it, it is not done twice.
      this.#remember(failed(ready));
      const signers = ready.signers.map(toHex);
      log.warn("proposal-decided", { id, kind: ready.proposal.deed.kind, signers });
    }
  }

  /** Every node says once what administrators propose: a thief's proposal is seen before it could be signed. */
  #tell(): void {
    for (const { proposal, missing } of this.open({ quick: true })) {
      const id = toHex(proposal.id);
      if (this.#said.has(id)) continue;
      this.#remember(id);
      const expiresAt = new Date(proposal.expiresMs).toISOString();
      const { kind } = proposal.deed;
      this.#c.log.warn("proposal-made", { id, kind, by: toHex(proposal.proposer), missing, expiresAt });
    }
  }

  #remember(name: string): void {
    if (this.#said.size >= SAID_MAX) this.#said.clear();
    this.#said.add(name);
  }
}

/** Names in memory of what was said already. */
const SAID_MAX = 4096;

function failed({ proposal, signers }: ProposalStanding): string {
  return `failed/${toHex(proposal.id)}/${signers.map(toHex).sort().join("/")}`;
}

function compareIds(a: ProposalStanding, b: ProposalStanding): number {
  return toHex(a.proposal.id) < toHex(b.proposal.id) ? -1 : 1;
}
