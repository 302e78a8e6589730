import type { Guest } from "../adapters/libp2p/index.ts";
import { Fault, isFault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { TokenContent } from "../membership/index.ts";

/** The first member that answers. */
async function dialAny(guest: Guest, addresses: readonly string[], advice: string): Promise<PeerId> {
  const failed: Fault[] = [];
  for (const address of addresses) {
    try {
      return await guest.dial(address);
    } catch (error) {
      if (!isFault(error)) throw error;
      failed.push(error);
    }
  }
  throw dialFault(failed, advice);
}

/** What says most of why none of these members let us in: that one does not, before that others are away. */
export function dialFault(failed: readonly Fault[], advice: string): Fault {
  const telling = failed.find(
    ({ detail }) => detail.code !== "PEER_UNREACHABLE" && detail.code !== "PEER_TIMEOUT",
  );
  const first = telling ?? failed[0];
  if (first === undefined)
    return new Fault({ code: "USAGE", reason: "There is no address of any member to dial." });
  const { detail } = first;
  if (detail.code !== "PEER_UNREACHABLE") return first;
  const others = failed.length === 1 ? "" : ` (nor can the ${failed.length - 1} other address(es))`;
  return new Fault({ ...detail, reason: `${detail.reason}${others}`, advice }, { cause: first });
}

const TOKEN_ADVICE =
  "Is a daemon running there, and does its port let this machine in? A token names members as they were when it was made: " +
  'a new one from a member that is up ("cairn invite") names others.';

/** The first of the members that a token names and that knows it. */
export async function dialByToken(guest: Guest, token: TokenContent): Promise<PeerId> {
  try {
    return await dialAny(guest, addressesOf(token), TOKEN_ADVICE);
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
