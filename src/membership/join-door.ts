import { equalBytes } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import { Fault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Clock, NetMessage } from "../ports/index.ts";
import {
  type Accepted,
  type JoinAnswer,
  type JoinRequest,
  joinAnswerCodec,
  joinRequestCodec,
  PAGE_BYTES_MAX,
} from "../wire/membership.ts";
import { type CertificateEntry, type DelegationEntry, decodeEntry } from "./entry.ts";
import { refusalOf } from "./refusal.ts";
import type { Roster } from "./roster.ts";
import { rosterPage } from "./roster-pages.ts";
import { CLOCK_SKEW_MS } from "./rules.ts";

export interface DoorComponents {
  readonly roster: Roster;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

/** A page of the roster and what goes with it. */
export const JOIN_ANSWER_BYTES_MAX = 2 * PAGE_BYTES_MAX;

const NO_BODY = new Uint8Array(0);

/** The handler of protocol `join`: every refusal is an answer. */
export function admitNewcomer(
  components: DoorComponents,
): (from: PeerId, message: NetMessage) => Promise<NetMessage> {
  // One at a time: of two newcomers with the same use of a token, the later must find it taken.
  const door = new Semaphore(1);
  return async (from, { head }) => {
    const answer = await door.run(() => answerGuest(components, from, head));
    return { head: joinAnswerCodec.encode(answer), body: NO_BODY };
  };
}

async function answerGuest(components: DoorComponents, from: PeerId, head: Uint8Array): Promise<JoinAnswer> {
  try {
    const delegation = guestDelegation(components, from);
    return await answerRequest(components, delegation, joinRequestCodec.decode(head));
  } catch (error) {
    const refusal = refusalOf(error);
    components.log.warn("join-refused", { guest: from, refusal: refusal.refusal, reason: refusal.reason });
    return refusal;
  }
}

async function answerRequest(
  components: DoorComponents,
  delegation: DelegationEntry,
  request: JoinRequest,
): Promise<JoinAnswer> {
  const { roster, clock } = components;
  switch (request.kind) {
    case "hello":
      return {
        v: 1,
        kind: "welcome",
        nowMs: clock.wallMs(),
        freeUses: freeUses(roster, delegation.body.token),
        page: rosterPage(roster, request.page),
      };
    case "submit":
      return { v: 1, kind: "accepted", accepted: await submit(components, delegation, request.certificate) };
  }
}

function guestDelegation({ roster, clock }: DoorComponents, from: PeerId): DelegationEntry {
  const delegation = roster.delegationOfGuest(from);
  if (delegation === undefined) throw new Fault({ code: "NOT_ALLOWED", reason: "no token names this guest" });
  checkNotExpired(delegation, clock);
  return delegation;
}

function checkNotExpired(delegation: DelegationEntry, clock: Pick<Clock, "wallMs">): void {
  const { expiresMs } = delegation.body;
  if (clock.wallMs() > expiresMs) {
    throw new Fault({ code: "TOKEN_EXPIRED", expiredAt: new Date(expiresMs).toISOString() });
  }
}

function freeUses(roster: Roster, token: Uint8Array): number[] {
  return roster
    .delegations()
    .filter((one) => equalBytes(one.body.token, token) && roster.useOf(one.hash) === undefined)
    .map((one) => one.body.useIndex)
    .sort((a, b) => a - b);
}

async function submit(
  { roster, clock, log }: DoorComponents,
  guest: DelegationEntry,
  bytes: Uint8Array,
): Promise<Accepted> {
  const entry = decodeEntry(bytes);
  if (entry.type !== "certificate") {
    throw new Fault({ code: "NOT_ALLOWED", reason: `a guest hands in a certificate, not a ${entry.type}` });
  }
  // The same certificate again: the answer was lost on the way, and it gets the same one.
  if (roster.entry(entry.hash) === undefined) {
    checkNewcomer(roster, clock, guest, entry);
    await roster.apply(entry);
    log.info("member-joined", { peer: entry.body.peer, site: entry.body.site, name: entry.body.name });
  }
  return { certificate: entry.bytes, page: rosterPage(roster, {}) };
}

/** What is checked only here, where somebody comes in, and not when rosters are compared later. */
function checkNewcomer(
  roster: Roster,
  clock: Pick<Clock, "wallMs">,
  guest: DelegationEntry,
  { body, hash }: CertificateEntry,
): void {
  if (body.by !== "delegation") {
    throw new Fault({ code: "NOT_ALLOWED", reason: "the certificate does not use a token" });
  }
  const delegation = roster.delegation(body.delegation);
  if (delegation === undefined || !equalBytes(delegation.body.token, guest.body.token)) {
    throw new Fault({ code: "NOT_ALLOWED", reason: "the certificate uses another token" });
  }
  checkNotExpired(delegation, clock);
  const used = roster.useOf(delegation.hash);
  if (used !== undefined && !equalBytes(used.hash, hash)) throw new Fault({ code: "TOKEN_USED" });
  checkIssuedNow(body.issuedMs, clock);
  if (roster.member(body.peer) !== undefined) {
    throw new Fault({ code: "NOT_ALLOWED", reason: "this node is a member already" });
  }
  const known = roster.certificatesOf(body.owner)[0];
  if (known !== undefined && known.body.generation >= body.generation) {
    throw new Fault({
      code: "NOT_ALLOWED",
      reason: "this owner is in the swarm already; recover it instead",
    });
  }
}

export function checkIssuedNow(issuedMs: number, clock: Pick<Clock, "wallMs">): void {
  if (Math.abs(issuedMs - clock.wallMs()) > CLOCK_SKEW_MS) {
    throw new Fault({ code: "NOT_ALLOWED", reason: "the certificate's time is not now; check the clock" });
  }
}
