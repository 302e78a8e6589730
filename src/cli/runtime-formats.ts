import { Fault } from "../base/fault.ts";
import { FORMAT_VERSIONS, type FormatVersions } from "../membership/index.ts";

/**
 * For rehearsals of an upgrade, in tests and nowhere else: the daemon says that it reads and writes so many versions more
 * than it does, whose layouts are this one's under another number. What it writes then, this program reads; a later
 * one, to which the number means something, need not.
 */
export const REHEARSAL_VARIABLE = "CAIRN_REHEARSE_FORMATS";
const FURTHER_MAX = 8;

/** Throws `USAGE`: a rehearsal is not begun by mistake. */
export function formatVersions(environment: Readonly<Record<string, string | undefined>>): FormatVersions {
  const asked = environment[REHEARSAL_VARIABLE];
  if (asked === undefined) return FORMAT_VERSIONS;
  const further = Number(asked);
  if (!Number.isInteger(further) || further < 0 || further > FURTHER_MAX)
    throw new Fault({ code: "USAGE", reason: `${REHEARSAL_VARIABLE} is a number from 0 to ${FURTHER_MAX}` });
  const { reads, writes } = FORMAT_VERSIONS;
  const added = Array.from({ length: further }, (_, i) => writes + 1 + i);
  return { reads: [...reads, ...added], writes: writes + further };
}
