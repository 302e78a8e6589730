import { equalBytes, toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { MINUTE_MS } from "../base/units.ts";
import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, type Signed, signStatement } from "../crypto/signed.ts";
import {
  type Approval,
  type Proposal,
  type RecordStore,
  type Roster,
  type RosterEntry,
  readApproval,
  readProposal,
} from "../membership/index.ts";
import type { Clock } from "../ports/index.ts";
import {
  APPROVAL_SLOTS,
  type ApprovalBody,
  approvalBody,
  PROPOSAL_SLOTS,
  type ProposalBody,
  proposalBody,
} from "../wire/proposal.ts";

export interface ProposalRecordsComponents {
  readonly roster: Pick<Roster, "swarm">;
  readonly records: RecordStore;
  readonly clock: Pick<Clock, "wallMs">;
}

type Kind = "proposal" | "approval";

/** One that nobody could sign any more in time is not worth making. */
const EXPIRES_MIN_MS = MINUTE_MS;

/**
 * Proposals and approvals as the records that they are: which slot each has, and what is in it. Read once, when they come
 * in: a proposal may have 256 entries, and all are looked at whenever the roster changes.
 */
export class ProposalRecords {
  readonly #c: ProposalRecordsComponents;
  /** By the hex of the signer and the slot. Bounded by the slots of those who are or were administrators. */
  readonly #proposals = new Map<string, readonly Proposal[]>();
  readonly #approvals = new Map<string, readonly Approval[]>();

  constructor(components: ProposalRecordsComponents) {
    this.#c = components;
    const { records } = components;
    for (const record of records.ofType("proposal")) this.#note(record);
    for (const record of records.ofType("approval")) this.#note(record);
    records.onChange(({ record }) => this.#note(record));
  }

  proposals(): Proposal[] {
    return [...this.#proposals.values()].flat();
  }

  approvals(): Approval[] {
    return [...this.#approvals.values()].flat();
  }

  /** `open`: what waits already, the slots of which are taken. */
  async propose(
    entries: readonly RosterEntry[],
    administrator: Signer,
    { expiresMs, open }: { readonly expiresMs: number; readonly open: readonly Proposal[] },
  ): Promise<void> {
    const issuedMs = this.#c.clock.wallMs();
    if (expiresMs < issuedMs + EXPIRES_MIN_MS) {
      throw new Fault({ code: "USAGE", reason: "It would expire before anybody else could sign it." });
    }
    const own = open.filter(({ proposer }) => equalBytes(proposer, administrator.publicKey));
    const slot = freeSlot(PROPOSAL_SLOTS, own);
    if (slot === undefined) {
      const reason = `${PROPOSAL_SLOTS} proposals of this administrator wait for signatures already; withdraw one`;
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    const encoded = entries.map(({ bytes }) => bytes);
    const keptMs = Math.max(expiresMs, this.#keptMs("proposal", administrator, slot));
    await this.#put(administrator, "proposal", { v: 1, slot, entries: encoded, issuedMs, expiresMs, keptMs });
  }

  async takeBack({ slot, expiresMs }: Proposal, administrator: Signer): Promise<void> {
    const issuedMs = this.#c.clock.wallMs();
    const keptMs = Math.max(expiresMs, this.#keptMs("proposal", administrator, slot));
    await this.#put(administrator, "proposal", { v: 1, slot, entries: [], issuedMs, expiresMs, keptMs });
  }

  /** What an administrator says to another's proposal. */
  async say(
    { id, expiresMs }: Proposal,
    administrator: Signer,
    said: Pick<ApprovalBody, "verdict" | "endorsements" | "signature">,
    open: readonly Proposal[],
  ): Promise<void> {
    const waiting = new Set(open.map((one) => toHex(one.id)));
    const taken = this.approvals().filter(
      ({ signer, proposal }) => equalBytes(signer, administrator.publicKey) && waiting.has(toHex(proposal)),
    );
    const known = taken.find(({ proposal }) => equalBytes(proposal, id));
    const slot = known?.slot ?? freeSlot(APPROVAL_SLOTS, taken);
    if (slot === undefined) {
      const reason = `${APPROVAL_SLOTS} proposals that this administrator has signed wait already`;
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    const issuedMs = this.#c.clock.wallMs();
    const keptMs = Math.max(expiresMs, this.#keptMs("approval", administrator, slot));
    const body = { v: 1 as const, slot, proposal: id, ...said, issuedMs, expiresMs, keptMs };
    await this.#put(administrator, "approval", body);
  }

  async #put(administrator: Signer, type: "proposal", body: ProposalBody): Promise<void>;
  async #put(administrator: Signer, type: "approval", body: ApprovalBody): Promise<void>;
  async #put(administrator: Signer, type: Kind, body: ProposalBody | ApprovalBody): Promise<void> {
    const { records, roster, clock } = this.#c;
    const key = { type, signer: administrator.publicKey, subkey: Uint8Array.of(body.slot) };
    const statement = {
      type,
      swarm: roster.swarm,
      incarnation: NO_INCARNATION,
      epoch: records.nextEpoch(key, clock.wallMs()),
      body: "entries" in body ? proposalBody.encode(body) : approvalBody.encode(body),
    };
    await records.put(signStatement(statement, administrator));
  }

  /** Both statements of a fork: one key in two homes may have said two things at once, and neither is lost. */
  #note({ type, signer, body }: Signed): void {
    if (type !== "proposal" && type !== "approval") return;
    const { slot } = decoded(type, body);
    const versions = this.#c.records.versions({ type, signer, subkey: Uint8Array.of(slot) });
    const name = `${toHex(signer)}/${slot}`;
    if (type === "approval") this.#approvals.set(name, versions.map(readApproval));
    else
      this.#proposals.set(
        name,
        versions.flatMap((record) => readProposal(record) ?? []),
      );
  }

  /** So long what is in a slot is kept; 0 where nothing is. */
  #keptMs(type: Kind, { publicKey }: Signer, slot: number): number {
    const known = this.#c.records.get({ type, signer: publicKey, subkey: Uint8Array.of(slot) });
    return known === undefined ? 0 : decoded(type, known.body).keptMs;
  }
}

function decoded(type: Kind, body: Uint8Array): Pick<ProposalBody, "slot" | "keptMs"> {
  return type === "proposal" ? proposalBody.decode(body) : approvalBody.decode(body);
}

function freeSlot(slots: number, taken: readonly { readonly slot: number }[]): number | undefined {
  for (let slot = 0; slot < slots; slot++) if (taken.every((one) => one.slot !== slot)) return slot;
  return undefined;
}
