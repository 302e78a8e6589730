import type { Guest } from "../adapters/libp2p/index.ts";
import { Fault, isFault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { TokenContent } from "../membership/index.ts";

/** The first member that answers. */
export async function dialAny(guest: Guest, addresses: readonly string[]): Promise<PeerId> {
  let last: unknown;
  for (const address of addresses) {
    try {
      return await guest.dial(address);
    } catch (error) {
      if (!isFault(error)) throw error;
      last = error;
    }
  }
  throw last ?? new Fault({ code: "USAGE", reason: "There is no address of any member to dial." });
}

/** The first of the members that a token names and that knows it. */
export async function dialByToken(guest: Guest, token: TokenContent): Promise<PeerId> {
  try {
    return await dialAny(guest, addressesOf(token));
  } catch (error) {
    if (isFault(error, "NOT_A_MEMBER"))
      throw new Fault({ code: "NOT_A_MEMBER", token: "unknown" }, { cause: error });
    throw error;
  }
}

/** Of the members that a token names, as a guest dials them. */
export function addressesOf(token: TokenContent): string[] {
  return token.addresses.map(({ peer, address }) => `${address}/p2p/${peer}`);
}
