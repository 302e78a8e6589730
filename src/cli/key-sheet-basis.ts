import { isFault } from "../base/fault.ts";
import { membersForSheet, type Sheet } from "./key-sheet.ts";
import type { SheetMember } from "./local-operations.ts";
import type { Session } from "./session.ts";

/** All of a sheet but the words. */
export async function keySheetBasis(session: Session): Promise<Omit<Sheet, "words">> {
  const { identityOfHome } = await session.world.localOperations();
  const identity = await identityOfHome(session.home);
  const known = await knownMembers(session);
  const time = new Date(session.world.wallMs()).toISOString();
  return { identity, members: membersForSheet(known), membersKnown: known.length, time };
}

/** As the daemon knows them, and from the home while none runs. */
async function knownMembers(session: Session): Promise<SheetMember[]> {
  try {
    const { peers } = await session.daemon.peers({}, session.context);
    return peers
      .filter(({ state }) => state !== "self" && state !== "removed" && state !== "lost")
      .map(({ peerId, name, site, addresses, state }) => ({
        peerId,
        name,
        site,
        addresses,
        isAlive: state === "alive",
      }));
  } catch (error) {
    if (!isFault(error, "DAEMON_NOT_RUNNING")) throw error;
    const { membersOfHome } = await session.world.localOperations();
    return membersOfHome(session.home);
  }
}
