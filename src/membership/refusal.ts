import { Fault, messageOf } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { Refusal } from "../wire/membership.ts";

/** A fault as the answer that carries it to the peer. Other errors are not the peer's business and are thrown on. */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof Fault)) throw error;
  const { detail } = error;
  return {
    v: 1,
    kind: "refused",
    refusal: detail.code,
    reason: ("reason" in detail ? detail.reason : messageOf(error)).slice(0, 500),
    ...(detail.code === "TOKEN_EXPIRED" ? { expiredMs: Date.parse(detail.expiredAt) } : {}),
  };
}

/** The refusal as the fault that the caller handles; what it does not know by name becomes `PEER_REFUSED`. */
export function faultOf(peer: PeerId, { refusal, reason, expiredMs }: Refusal): Fault {
  switch (refusal) {
    case "TOKEN_USED":
      return new Fault({ code: "TOKEN_USED" });
    case "TOKEN_INVALID":
      return new Fault({ code: "TOKEN_INVALID", reason });
    case "TOKEN_EXPIRED":
      return new Fault({ code: "TOKEN_EXPIRED", expiredAt: isoOf(expiredMs) });
    case "NOT_ALLOWED":
      return new Fault({ code: "NOT_ALLOWED", reason });
    default:
      return new Fault({ code: "PEER_REFUSED", peer, refusal, reason });
  }
}

/** Dates end in the year 275760: a peer's number beyond that must not throw. */
function isoOf(ms: number | undefined): string {
  return ms === undefined || ms > 8.64e15 ? "an unknown time" : new Date(ms).toISOString();
}
